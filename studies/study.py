"""What every study has: its three sizes, its folder, a table, a picture, and facts about the run.

    study, size = begin(__file__, __doc__, {"short": Size(...), "here": Size(...), "full": Size(...)})
    ...
    study.table(["r, Å", "E, eV"], rows)
    study.picture(figure)

`--short` is a check of a minute at most, `--here` an answer on two cores, `--full` the paper's size.
`--here` writes into the study's own folder, where its table and picture are kept; the others write
into `output/`. A study that takes long keeps what it has there and goes on from it.
"""

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from matplotlib.figure import Figure
from PIL import Image

import openmm_pqeq as pq
from openmm_pqeq.jobs.machine import machine
from openmm_pqeq.report.plots import finish, style

Size = TypeVar("Size")

BLUE, ORANGE, GREEN, PURPLE, BLACK, GREY = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#aa4499",
    "#1a1a1a",
    "#8a8a8a",
)
"""Told apart by colour-blind eyes (Okabe and Ito; Wong, Nat. Methods 8, 441 (2011))."""


class Cost(NamedTuple):
    """What dynamics take: atoms; steps of all runs together; processor time by atom and step, µs, as
    measured with `--here` on one core."""

    n_atoms: int
    n_steps: int
    microseconds: float

    def __str__(self) -> str:
        hours = self.n_atoms * self.n_steps * self.microseconds / 3.6e9
        return (
            f"{self.n_atoms:,} atoms, {self.n_steps:,} steps: {hours:,.1f} hours of one core, at "
            f"{self.microseconds:g} µs an atom and step as measured with --here; no GPU was measured"
        )


class Study:
    """A study that is being run.

    name, home : its folder
    setting : "short", "here" or "full"
    output : folder for table.csv, picture.png, facts.json and what is kept
    data : folder of data, or None
    seed : of all random numbers
    """

    def __init__(self, name: str, arguments: argparse.Namespace, home: Path):
        self.name = name
        self.home = home
        self.setting: str = arguments.setting
        place = home if self.setting == "here" else home / "output" / self.setting
        self.output: Path = arguments.output or place
        self.data: Path | None = arguments.data
        self.seed: int = arguments.seed
        self._begun = time.monotonic()
        self.output.mkdir(parents=True, exist_ok=True)

    def say(self, line: str) -> None:
        """A line of progress."""
        print(f"[{time.monotonic() - self._begun:6.1f} s] {line}", flush=True)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Print a table, and write it as table.csv, with facts.json beside it."""
        text = [list(header), *([_text(cell) for cell in row] for row in rows)]
        with (self.output / "table.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(text)
        widths = [max(map(len, column)) for column in zip(*text)]
        for line in text:
            print("  ".join(cell.rjust(width) for cell, width in zip(line, widths)))
        self._facts()

    def picture(self, figure: Figure, title: str, note: str = "") -> None:
        """Finish a figure in the package's style and write it as picture.png, of 256 colours: a third
        of the bytes, and no colour off by more than 8 of 255."""
        for axes in figure.axes:
            style(axes)
        finish(figure, title, note)
        with BytesIO() as drawn:
            figure.savefig(drawn, dpi=130)
            few = Image.open(drawn).convert("RGB").quantize(method=Image.Quantize.MAXCOVERAGE)
        few.save(self.output / "picture.png", optimize=True)
        self.say(f"table and picture in {self.output}")

    def kept(self, name: str) -> dict[str, Any]:
        """What an earlier run kept under a name, this one's or that of `--here`; empty where there
        is none."""
        for folder in (self.output, self.home):
            path = folder / f"{name}.json"
            if path.is_file():
                return json.loads(path.read_text(encoding="utf-8"))
        return {}

    def keep(self, name: str, content: Mapping[str, Any]) -> None:
        """Keep something, so that the study goes on from it after an interruption: in `runs/` what a
        model gave, which Git ignores; else a reference, which is part of the study."""
        unfinished = self.output / f"{name}.json.part"
        unfinished.parent.mkdir(exist_ok=True)
        unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(self.output / f"{name}.json")

    def _facts(self) -> None:
        here = machine()
        names = ("date", "processor", "cores", "threads", "load", "gpu", "versions")
        facts = {"study": self.name, "setting": self.setting, "seed": self.seed}
        facts |= {"seconds": round(time.monotonic() - self._begun, 1)}
        self.keep("facts", facts | {name: here[name] for name in names})


def begin(
    file: str,
    doc: str,
    sizes: Mapping[str, Size],
    cost: Callable[[Size], Cost | str] | None = None,
) -> tuple[Study, Size]:
    """Read the command line.

    file, doc : `__file__` and `__doc__` of the study
    sizes : what to do by setting
    cost : of a size, for --dry-run; None: minutes
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    which = parser.add_mutually_exclusive_group()
    for setting, meaning in (
        ("short", "a check, a minute at most"),
        ("here", "an answer on two cores (default)"),
        ("full", "the paper's size"),
    ):
        which.add_argument(
            f"--{setting}", dest="setting", action="store_const", const=setting, help=meaning
        )
    parser.add_argument("--dry-run", action="store_true", help="say what it would take, and end")
    parser.add_argument("--data", type=Path, help="folder of data that do not ship")
    parser.add_argument("--output", type=Path, help="folder for everything that is written")
    parser.add_argument("--seed", type=int, default=1, help="of all random numbers (default: 1)")
    parser.set_defaults(setting="here")
    arguments = parser.parse_args()
    home = Path(file).resolve().parent
    if arguments.dry_run:
        size = sizes[arguments.setting]
        print(f"{home.name} --{arguments.setting}: {size}")
        print("minutes on one core" if cost is None else cost(size))
        sys.exit()
    if arguments.data is not None and not arguments.data.is_dir():
        parser.error(f"--data: expected a folder, got {arguments.data}")
    return Study(home.name, arguments, home), sizes[arguments.setting]


def fetched(name: str) -> pq.Potential | None:
    """A published model; None, with the reason printed, where its weights cannot be had."""
    try:
        return pq.load(name)
    except (ImportError, OSError, RuntimeError) as error:
        print(f"{name} is left out: {error}")
        return None


def axes_of(columns: int, rows: int = 1) -> tuple[Figure, Any]:
    """A figure and its axes, (rows, columns) where there are several."""
    figure = Figure(figsize=(0.6 + 4.0 * columns, 0.9 + 3.1 * rows), layout="constrained")
    return figure, figure.subplots(rows, columns)


def _text(cell: Any) -> str:
    if cell is None or cell != cell:  # a number that there is none of
        return ""
    return f"{round(cell, 9) + 0.0:.5g}" if isinstance(cell, float) else str(cell)
