"""`openmm-pqeq models`: the models by name, their cards, and published models to download."""

import argparse
import shutil
from contextlib import ExitStack
from typing import Any

from openmm_pqeq.cli import import_reaxnet
from openmm_pqeq.jobs import values
from openmm_pqeq.jobs.files import whole
from openmm_pqeq.jobs.folder import kept_if_used, made, owned_file

HELP = "List the models, show the card of one, or download a published one."

EPILOG = """examples:
  openmm-pqeq models                        list
  openmm-pqeq models batio3                 data, licence, level of theory, errors, and what it must not be used for
  openmm-pqeq models my-model.pt            the card of a file
  openmm-pqeq models download sevennet-0    fetch SevenNet-0, so that --model sevennet-0 needs no network any more
  openmm-pqeq models download reaxnet-mp    fetch ReaxNet-MP (doi 10.6084/m9.figshare.28407524) and write reaxnet-mp.pt

A download goes into the user's cache, with the SHA-256 of each file beside it; a file that is not the same later is an error. The
downloaded files are converted as by openmm-pqeq import-reaxnet or import-sevennet. SevenNets, and the universal models that are
made of them, stay in the cache under their names: a cache that is copied to a computer without network serves them there."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The name of a model, and how to download one."""
    parser.add_argument(
        "name",
        nargs="?",
        metavar="MODEL",
        help="name of a model, or path to a .pt file; or: download",
    )
    parser.add_argument(
        "published",
        nargs="?",
        metavar="NAME",
        help="after download: the published model: universal, universal-l3i5, sevennet-0, "
        "sevennet-l3i5 or reaxnet-mp",
    )
    group = parser.add_argument_group("download")
    group.add_argument(
        "--output",
        "-o",
        metavar="FILE",
        help="model file to write (default: NAME.pt; of the others than reaxnet-mp none but that in the cache)",
    )
    group.add_argument(
        "--cache",
        metavar="FOLDER",
        help="where downloaded files are kept (default: the user's cache)",
    )
    group.add_argument(
        "--base-url",
        metavar="URL",
        help="address of the figshare interface, or of a mirror that speaks it",
    )
    group.add_argument(
        "--select",
        metavar="TEXT",
        default="",
        help="a part of the file's name, where there are several models",
    )
    import_reaxnet.add_choices(group)


def command(options: argparse.Namespace) -> int:
    """Print the list or a card, or download."""
    if options.name == "download":
        return _download(options)
    if options.published is not None:
        raise ValueError(
            f"models: expected one model or 'download NAME', got {options.name!r} and "
            f"{options.published!r}"
        )
    return _show(options)


def _download(options: argparse.Namespace) -> int:
    from rich.console import Console

    from openmm_pqeq import checkpoint
    from openmm_pqeq.jobs.lock import locked
    from openmm_pqeq.published import download

    known = ", ".join([*checkpoint.PUBLISHED, *download.ARTICLES])
    if options.published is None:
        raise ValueError(f"models download: which one? There is {known}")
    if options.published in checkpoint.PUBLISHED:
        return _download_named(options)
    if options.published not in download.ARTICLES:
        ships = options.published in checkpoint.available_models()
        raise ValueError(
            f"models download: {options.published!r} "
            + ("is here already, as it ships" if ships else "cannot be downloaded")
            + f"; there is {known}"
        )
    output = values.path("output", options.output or f"{options.published}.pt")
    base_url = download.checked_url(options.base_url or download.API)
    console = Console(highlight=False, markup=False)
    cache = download.cache_folder(options.published, options.cache)
    with (
        owned_file(output, "download", options.overwrite),
        kept_if_used(cache),
        locked(made(cache), "download"),
    ):
        files = download.download(
            options.published,
            options.cache,
            base_url,
            options.select,
            say=lambda line: console.print(line, soft_wrap=True),
            progress=_Bar(console),
        )
        import_reaxnet.convert(options, files.parameters, files.config, files.mapping, output)
    return 0


def _download_named(options: argparse.Namespace) -> int:
    from rich.console import Console

    from openmm_pqeq import checkpoint

    others = {"base_url": None, "select": "", "edge_sign": "training", "stop_gradient": True}
    for name, default in {**others, "d3": False}.items():
        if getattr(options, name) != default:
            flag = name.replace("_", "-")
            raise ValueError(f"--{flag}: means nothing for {options.published}; leave it away")
    console = Console(highlight=False, markup=False)

    def say(line: str) -> None:
        console.print(line, soft_wrap=True)

    with ExitStack() as owned:
        if options.output is not None:
            output = values.path("output", options.output)
            owned.enter_context(owned_file(output, "download", options.overwrite))
        maker = checkpoint.maker(options.published)
        path = maker.model_file(options.published, options.cache, say)
        say(f"{options.published}: {path} ({path.stat().st_size / 1e6:.1f} MB)")
        if options.output is not None:
            with whole(output, options.overwrite) as part:
                shutil.copyfile(path, part)
            say(f"written: {output}")
    if options.output is None and options.cache is None:
        say(f"--model {options.published} needs no network any more")
    return 0


class _Bar:
    """A progress bar as pooch drives it: `total`, `update`, `reset`, `close`."""

    def __init__(self, console: Any):
        self.console = console
        self.bar: Any = None
        self._total = 0

    @property
    def total(self) -> int:
        """Bytes to come."""
        return self._total

    @total.setter
    def total(self, n_bytes: int) -> None:
        from rich import progress

        self._total = n_bytes
        columns = (
            progress.BarColumn(),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
        )
        self.bar = progress.Progress(*columns, console=self.console, transient=True)
        self.task = self.bar.add_task("", total=n_bytes or None)
        self.bar.start()

    def update(self, n_bytes: int) -> None:
        """More have come."""
        self.bar.advance(self.task, n_bytes)

    def reset(self) -> None:
        """Begin again."""
        self.bar.update(self.task, completed=0)

    def close(self) -> None:
        """Take the bar away."""
        self.bar.stop()


def _show(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from openmm_pqeq import checkpoint

    console = Console(highlight=False, markup=False)
    if options.name is None:
        table = Table("model", "elements", "about", "where")
        for name in checkpoint.available_models(published=True):
            table.add_row(*_row(name, checkpoint.at_hand(name)))
        console.print(table)
        console.print(
            "openmm-pqeq models MODEL shows the card of a model; openmm-pqeq models download "
            "NAME fetches a published one (these, and reaxnet-mp)."
        )
        return 0
    potential, card = checkpoint.load(options.name), checkpoint.card(options.name)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", vertical="top")
    table.add_column()
    facts = {
        "model": options.name,
        **card,
        "elements": potential.species,
        "terms": list(potential.config),
    }
    for name, value in facts.items():
        table.add_row(str(name).replace("_", " "), _text(value))
    console.print(table)
    return 0


def _row(name: str, at_hand: bool) -> tuple[str, str, str, str]:
    """Name, elements, what it is, and where it comes from."""
    from openmm_pqeq import checkpoint

    if name in checkpoint.PUBLISHED:
        title = checkpoint.maker(name).MODELS[name].title
        return name, "89, H to Pu", title, "cache" if at_hand else "download"
    species = " ".join(checkpoint.load(name).species)
    return name, species, str(checkpoint.card(name).get("title", "")), "ships"


def _text(value: Any, indent: int = 0) -> str:
    """A value of a card as text, nested mappings indented."""
    if isinstance(value, dict):
        lines = [
            f"{' ' * indent}{_with_unit(str(name))}: {_text(item, indent + 2)}"
            for name, item in value.items()
        ]
        return ("\n" if indent else "") + "\n".join(lines)
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _with_unit(name: str) -> str:
    """A quantity of a card as text; errors of a training have the units of their report."""
    from openmm_pqeq.training.report import HEADINGS

    return HEADINGS.get(name, name.replace("_", " "))
