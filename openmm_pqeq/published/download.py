"""Published models from figshare, into a cache, with checksums.

    article's list of files → the three files of a model, or the archive that holds them →
    cache/NAME/, each with its SHA-256

The first use of a file pins its SHA-256 in `FILE.sha256`; from then on a file that differs is an
error, whether it changed in the cache or at its source. What is in the cache is used without asking
the network, whoever put it there.

The list comes from figshare's public interface, https://docs.figshare.com (`/articles/ID/files`).
"""

import hashlib
import json
import logging
import os
import shutil
import tarfile
import tempfile
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

import pooch

from openmm_pqeq.jobs.files import parts_of, whole, write_text

API = "https://api.figshare.com/v2"
TIMEOUT = 60.0
"""Seconds without an answer."""

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
USUAL_NAMES = ("params.pickle", "model_config.yaml", "mapping.yaml")


class Article(NamedTuple):
    """Where a model is published: its number at figshare, its DOI."""

    number: int
    doi: str


ARTICLES = {"reaxnet-mp": Article(28407524, "10.6084/m9.figshare.28407524")}


class ModelFiles(NamedTuple):
    """The three files of a published model."""

    parameters: Path
    config: Path
    mapping: Path


class Remote(NamedTuple):
    """A file of an article; md5 is empty where the list has none."""

    name: str
    size: int
    url: str
    md5: str


def cache_folder(model: str, cache: str | os.PathLike[str] | None = None) -> Path:
    """Where the files of a model are kept; by default in the user's cache."""
    return Path(pooch.os_cache("openmm_pqeq") if cache is None else cache) / model


@contextmanager
def making(path: Path) -> Iterator[Path]:
    """Where to write what is to be the file `path`, which appears whole at the end, so that two
    processes may make it at once. OSError where the cache cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = tempfile.TemporaryDirectory(prefix="making-", dir=path.parent)
    except OSError as error:
        raise OSError(
            f"cache: {path.parent} cannot be written ({error}); make it writable, or let the "
            "variable XDG_CACHE_HOME name a folder that is"
        ) from error
    with made as folder:
        yield Path(folder, path.name)
        os.replace(Path(folder, path.name), path)


def download(
    model: str,
    cache: str | os.PathLike[str] | None = None,
    base_url: str = API,
    select: str = "",
    say: Callable[[str], None] = lambda line: None,
    progress: Any = False,
) -> ModelFiles:
    """The files of a published model, fetched unless they are in the cache.

    Parameters
    ----------
    model : one of `ARTICLES`
    cache : folder that holds a folder for each model; default: the user's cache
    base_url : of figshare's interface, or of another server that speaks it
    select : a part of the name, or of the folder in an archive, where an article has several models
    say : gets a line on each file, with its checksum
    progress : a progress bar as pooch takes it

    Raises ValueError for a checksum that is not the pinned one, for files that cannot be told
    apart, and for a model that is not known; ConnectionError, with what to do by hand, where the
    files cannot be fetched.
    """
    if model not in ARTICLES:
        raise ValueError(f"model {model!r} cannot be downloaded; these can: {', '.join(ARTICLES)}")
    folder = cache_folder(model, cache)
    folder.mkdir(parents=True, exist_ok=True)
    files = _in_cache(folder, select)
    if files is None:
        try:
            _fetch_all(list_files(model, base_url), folder, select, say, progress)
        except OSError as error:
            raise ConnectionError(_by_hand(model, folder, error)) from error
        files = _in_cache(folder, "")
        if files is None:
            raise ValueError(
                f"download: {folder} does not hold the three files of a model after all; remove it "
                "and try again"
            )
    for path in files:
        say(f"{path.name}: {path.stat().st_size} bytes, sha256 {pin(path)}")
    return files


def list_files(model: str, base_url: str = API) -> list[Remote]:
    """The files in the article of a model."""
    url = f"{base_url.rstrip('/')}/articles/{ARTICLES[model].number}/files?page_size=1000"
    with urllib.request.urlopen(checked_url(url), timeout=TIMEOUT) as answer:
        try:
            rows = json.load(answer)
            found = [
                Remote(
                    str(row["name"]),
                    int(row["size"]),
                    str(row["download_url"]),
                    str(row.get("computed_md5") or ""),
                )
                for row in rows
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise OSError(
                f"{url} did not answer with a list of files ({type(error).__name__}: {error})"
            ) from error
    for remote in found:
        if (
            not remote.name
            or PurePosixPath(remote.name).name != remote.name
            or remote.name == ".."
            or "\\" in remote.name
        ):
            raise ValueError(
                f"download: the article lists a file with the impossible name {remote.name!r}"
            )
    return found


def pin(path: Path) -> str:
    """The SHA-256 of a file, which is the one of its first use.

    Raises ValueError where it is another.
    """
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    record = path.with_name(f"{path.name}.sha256")
    if not record.exists():
        write_text(record, f"{found}  {path.name}\n")
        return found
    pinned = record.read_text(encoding="utf-8").split()[:1]
    if pinned != [found]:
        raise ValueError(
            f"download: {path} has the SHA-256 {found}, and had {' '.join(pinned) or 'none'} when "
            "it was first used. It is damaged"
            f" or was replaced: remove it to fetch it again, and {record.name} as well if the new "
            "file is the right one"
        )
    return found


def _in_cache(folder: Path, select: str) -> ModelFiles | None:
    names = choose([path.name for path in folder.iterdir() if path.is_file()], select)
    return None if names is None else ModelFiles(*(folder / name for name in names))


def choose(names: Sequence[str], select: str) -> tuple[str, str, str] | None:
    """Parameters, config and mapping among paths of one list, or None where one is missing.

    Raises ValueError where there is more than one of a kind.
    """
    chosen: list[str] = []
    for kind, word, endings, usual in zip(
        ("parameters", "config", "mapping"),
        ("", "config", "mapping"),
        ((".pickle", ".pkl"), *[(".yaml", ".yml")] * 2),
        USUAL_NAMES,
    ):
        files = [(name, PurePosixPath(name).name.lower()) for name in names]
        found = _narrowed(
            [name for name, file in files if file.endswith(endings) and word in file], select
        )
        if len(found) > 1:
            found = [name for name in found if PurePosixPath(name).name == usual] or found
        if len(found) > 1:
            raise ValueError(
                f"download: which {kind}? There are {', '.join(found)}; give a part of the right "
                "name with --select"
            )
        chosen += found
    return (chosen[0], chosen[1], chosen[2]) if len(chosen) == 3 else None


def _narrowed(names: list[str], select: str) -> list[str]:
    return [name for name in names if select in name] or names


def _fetch_all(
    remotes: list[Remote], folder: Path, select: str, say: Callable[[str], None], progress: Any
) -> None:
    """The three files, or those that an archive has."""
    by_name = {remote.name: remote for remote in remotes}
    names = choose(list(by_name), select)
    if names is not None:
        for name, usual in zip(names, USUAL_NAMES):
            fetch(by_name[name], folder, say, progress).rename(folder / usual)
        return
    archives = _narrowed([name for name in by_name if name.lower().endswith(ARCHIVES)], select)
    if len(archives) != 1:
        listed = (
            ", ".join(f"{remote.name} ({remote.size} bytes)" for remote in remotes) or "nothing"
        )
        raise ValueError(
            "download: which file has the model? It needs a .pickle and two .yaml files (config, "
            "mapping), or one archive of them,"
            f" and the article lists {listed}; give a part of the archive's name with --select, or "
            "fetch the files by hand and use"
            " openmm-pqeq import-reaxnet"
        )
    unpack(fetch(by_name[archives[0]], folder, say, progress), folder, select)


def fetch(remote: Remote, folder: Path, say: Callable[[str], None], progress: Any) -> Path:
    """A file into a folder, through a name of its own until it is whole."""
    say(f"fetching {remote.name} ({remote.size} bytes) from {remote.url}")
    logger = logging.getLogger(pooch.get_logger().name)
    level = logger.level
    logger.setLevel(logging.WARNING)  # pooch's own words; they are said above
    for part in parts_of(folder / remote.name):
        part.unlink(missing_ok=True)
    try:
        with whole(folder / remote.name) as part:
            pooch.retrieve(
                checked_url(remote.url),
                known_hash=f"md5:{remote.md5}" if remote.md5 else None,
                fname=part.name,
                path=folder,
                downloader=pooch.HTTPDownloader(progressbar=progress, timeout=TIMEOUT),
            )
    except ValueError as error:  # of pooch, on an MD5 that is not the list's
        raise OSError(f"{remote.name} did not arrive as the list describes it: {error}") from error
    finally:
        logger.setLevel(level)
    return folder / remote.name


def unpack(archive: Path, folder: Path, select: str) -> None:
    """The three files of an archive into a folder, and nothing else of it."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            names = _members(
                [name for name in zipped.namelist() if not name.endswith("/")], archive, select
            )
            for name, usual in zip(names, USUAL_NAMES):
                with zipped.open(name) as source:
                    _write(source, folder / usual)
        return
    try:
        with tarfile.open(archive) as tar:
            members = {member.name: member for member in tar.getmembers() if member.isfile()}
            for name, usual in zip(_members(list(members), archive, select), USUAL_NAMES):
                content = tar.extractfile(members[name])
                if content is not None:
                    with content:
                        _write(content, folder / usual)
    except tarfile.TarError as error:
        raise ValueError(f"download: {archive} cannot be unpacked ({error})") from error


def _write(source: IO[bytes], path: Path) -> None:
    with whole(path) as part, open(part, "wb") as file:
        shutil.copyfileobj(source, file)


def _members(names: list[str], archive: Path, select: str) -> tuple[str, str, str]:
    chosen = choose(names, select)
    if chosen is None:
        raise ValueError(
            f"download: {archive} does not hold a .pickle and two .yaml files (config, mapping); "
            "it has"
            f" {', '.join(names[:20]) or 'nothing'}"
        )
    return chosen


def checked_url(url: str) -> str:
    """An address, if it is one of the web; ValueError otherwise."""
    scheme = ""
    with suppress(ValueError):  # of an address that is none
        scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in ("http", "https"):
        raise ValueError(
            f"base_url: expected an address that begins with http:// or https://, got {url!r}"
        )
    return url


def _by_hand(model: str, folder: Path, error: Exception) -> str:
    doi = ARTICLES[model].doi
    return (
        f"download: {model} cannot be fetched ({error}). Without network: from another computer, "
        "take the parameters (.pickle),"
        f" model_config.yaml and mapping.yaml at https://doi.org/{doi}, put them into {folder} and "
        "run this command again, or"
        " convert them where they are: openmm-pqeq import-reaxnet params.pickle model_config.yaml "
        "mapping.yaml -o reaxnet-mp.pt"
    )
