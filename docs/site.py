"""Hook of MkDocs: files of the repository that pages link to are part of the site.

A link out of this folder, such as ../validation/results/gradients.md, leads to a copy below
repository/, Markdown as a page and code as a page that shows it; so do the links of such a page. On
a site that is opened without the repository no link is dead.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)")
COPIES = "repository"
NOT_FOUND_BY_SEARCH = "---\nsearch: { exclude: true }\n---\n"
"""Of code: a search should find the page that explains."""
LANGUAGES = {".py": "python", ".toml": "toml", ".csv": "text", ".json": "json"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what pages link to, and what that links to."""
    root = Path(config.config_file_path).parent
    waiting = [Path(file.abs_src_path) for file in files.documentation_pages()]
    while waiting:
        for path in _linked(waiting.pop(), root):
            uri = _uri(path, root)
            if uri.startswith(f"{COPIES}/") and files.get_file_from_path(uri) is None:
                files.append(_copy(path, uri, root, config))
                if path.suffix == ".md":
                    waiting.append(path)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to where their files are in the site."""
    if page.file.abs_src_path is None:  # a page that shows code
        return markdown
    source, root = Path(page.file.abs_src_path), Path(config.config_file_path).parent

    def moved(link: re.Match[str]) -> str:
        path = (source.parent / link[1]).resolve()
        if not path.is_file():
            return link[1]
        return posixpath.relpath(_uri(path, root), posixpath.dirname(page.file.src_uri) or ".")

    return LINK.sub(moved, markdown)


def _linked(page: Path, root: Path) -> Iterator[Path]:
    """Files of the repository that a page links to."""
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        path = (page.parent / target).resolve()
        if path.is_file() and path.is_relative_to(root):
            yield path


def _uri(path: Path, root: Path) -> str:
    """Where a file of the repository is among the site's sources."""
    relative = path.relative_to(root)
    if relative.parts[0] == "docs":
        return relative.relative_to("docs").as_posix()
    return f"{COPIES}/{relative.as_posix()}" + (".md" if path.suffix in LANGUAGES else "")


def _copy(path: Path, uri: str, root: Path, config: MkDocsConfig) -> File:
    if path.suffix not in LANGUAGES:
        return File.generated(config, uri, abs_src_path=str(path))
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(root).as_posix()
    content = f"# `{name}`\n\n````{LANGUAGES[path.suffix]}\n{text}\n````\n"
    return File.generated(config, uri, content=NOT_FOUND_BY_SEARCH + content)
