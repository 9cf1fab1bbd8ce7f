"""The site of the documentation: it builds strictly, and nothing in it comes from a network."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("material", reason="the extra docs is not installed")
pytest.importorskip("mkdocstrings", reason="the extra docs is not installed")

ROOT = Path(__file__).parent.parent
REMOTE = re.compile(
    r"<(?:script|img|iframe)[^>]*\ssrc=[\"']?(?:https?:)?//[^>]*>"
    r"|<link(?=[^>]*rel=[\"']?(?:stylesheet|preload|preconnect|modulepreload))[^>]*href=[\"']?(?:https?:)?//[^>]*>"
)
REMOTE_IN_STYLE = re.compile(r"(?:url\(|@import\s+)[\"']?(?:https?:)?//[^)]*")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` does."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True)
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    return folder


def test_nothing_comes_from_a_network(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        found = REMOTE.findall(page.read_text(encoding="utf-8"))
        assert not found, f"{page.name}: {found}"
    for style in site.rglob("*.css"):
        assert not REMOTE_IN_STYLE.findall(style.read_text(encoding="utf-8")), style.name


def test_every_local_source_is_there(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"(?:src|href)=\"([^\"#?]+)[\"#?]", text):
            if page.name != "404.html" and not re.match(r"\w+:", target):
                assert (page.parent / target).exists(), f"{page.relative_to(site)}: {target}"
        for image in re.findall(r"<img[^>]*>", text):
            assert 'alt=""' not in image, f"{page.name}: an image without words: {image}"


def test_equations_are_marked_and_their_fonts_ship(site):
    physics = (site / "physics.html").read_text(encoding="utf-8")
    assert physics.count('<div class="arithmatex">') >= 10
    style = (site / "assets" / "katex" / "katex.min.css").read_text(encoding="utf-8")
    fonts = re.findall(r"url\((fonts/[^)]+)\)", style)
    assert len(fonts) == 20
    assert all((site / "assets" / "katex" / font).is_file() for font in fonts)


def test_pages_opened_from_the_disk_can_be_searched(site):
    """The index is a script, which needs no server, and there is what stands in for a worker. Pages
    are found, code that they link to is not."""
    index = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    found = json.loads(index.removeprefix("var __index = "))["docs"]
    places = {entry["location"].partition("#")[0] for entry in found}
    assert {"physics.html", "tutorials/crystal.html", "repository/studies/index.html"} <= places
    assert not [place for place in places if ".py." in place]
    home = (site / "index.html").read_text(encoding="utf-8")
    assert '<script src="assets/iframe-worker/shim.js"></script>' in home


def test_equations_in_a_line_have_no_scroll_bars(site):
    """Only displayed ones scroll: with rounded widths a browser shows bars in others, too."""
    style = (site / "assets" / "site.css").read_text(encoding="utf-8")
    rules = re.findall(r"([^{}]+)\{([^{}]*)\}", re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL))
    of_equations = [rule for rule in rules if "arithmatex" in rule[0] and "overflow" in rule[1]]
    assert of_equations
    for selector, _ in of_equations:
        assert all("div.arithmatex" in one for one in selector.split(",")), selector
