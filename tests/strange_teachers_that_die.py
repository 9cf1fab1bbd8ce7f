"""A file of somebody else that cannot be imported."""

raise ZeroDivisionError("by zero")
