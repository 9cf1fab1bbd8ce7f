"""Reports: what a folder has, as one HTML page that needs no network and nothing beside it.

page.py         parts of a page as text
card.py         a model's card, and a run beside its limits
structure.py    the last frame for the viewer, viewer.js
curves.py       what a run's table shows
run.py          the page of a run
campaign.py     the page of a campaign
"""
