"""`openmm-pqeq relax`: a structure to the nearest minimum of its energy."""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from openmm_pqeq.cli.at_rest import AtRest, atoms_at_rest, of_run
from openmm_pqeq.jobs import quantities, values
from openmm_pqeq.jobs.failure import RunFailure, on_the_way, reason_of
from openmm_pqeq.jobs.folder import Kind, begin, check_file, owned
from openmm_pqeq.jobs.settings import add_existing, add_flags, configured, flags_given, setting
from openmm_pqeq.jobs.stop import StopSignals

HELP = "Relax the atoms of a structure, or atoms and cell."

EPILOG = """examples:
  openmm-pqeq relax BaTiO3.cif --model batio3 -o relaxed
  openmm-pqeq relax NaCl.cif --model sevennet-0 --cell free --largest-force 0.005 -o relaxed
  openmm-pqeq relax POSCAR --model sevennet-0 --cell isotropic --pressure 10 -o at_10_GPa
  openmm-pqeq relax film.cif --model universal --field 0 0 0.01 -o in_the_field

The folder gets relaxed.extxyz and, of a crystal, relaxed.cif; steps.csv, relaxation.png and facts.json. What the file fixes stays
fixed. A stopped relaxation leaves what it has reached (exit code 130); one that was killed, relaxed.extxyz of at most ten
steps before."""

INTERRUPTED, UNFINISHED = 130, 1
STEPS_BETWEEN_FILES = 10
KIND = Kind(
    "relaxation",
    ("relaxed.extxyz", "relaxed.cif", "steps.csv", "relaxation.png"),
)
"""What a relaxation leaves in its folder."""


@dataclass(frozen=True)
class Settings(AtRest):
    """A flag each: those of `energy`, and how to relax."""

    tolerance: float = of_run("tolerance", 1e-7)
    cell: str = setting(
        "relaxation",
        values.choice("fixed", "isotropic", "free"),
        "fixed",
        "how the cell may change: not, in size, in size and shape",
    )
    largest_force: float = setting(
        "relaxation", values.within(values.positive, 1e-6, 10.0, "eV/Å"), 0.01, "where it ends, eV/Å", "F"
    )  # fmt: skip
    steps: int = setting("relaxation", values.positive_count, 500, "most steps", "N")
    pressure: float = setting(
        "relaxation",
        values.within(quantities.gigapascals, -1e3, 1e4, "GPa"),
        0.0,
        "of a cell that changes, GPa (not bar, as in run), or with a unit such as 500bar",
        "P",
    )
    optimizer: str = setting(
        "relaxation",
        values.choice("bfgs", "lbfgs", "fire"),
        "bfgs",
        "of ASE; lbfgs for many atoms, fire is the more patient",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The structure and how to relax it."""
    parser.add_argument("structure", metavar="FILE", help="structure file, anything ASE reads")
    parser.add_argument(
        "--output", "-o", required=True, metavar="FOLDER", help="folder for what is written"
    )
    add_existing(parser, "relaxation", resume=False)
    add_flags(parser, Settings)


def command(options: argparse.Namespace) -> int:
    """Relax with a line of news, and write structure, table and plot."""
    settings = configured(Settings, flags_given(Settings, options))
    folder, source = values.path("output", options.output), Path(options.structure)
    from rich.console import Console

    from openmm_pqeq.jobs.facts import facts_of
    from openmm_pqeq.jobs.files import sha256

    console = Console(highlight=False, markup=False)
    for name in KIND.files:
        check_file(folder / name, overwrite=True, inputs=[source])
    with owned(folder, KIND, options.overwrite):
        atoms, notes = atoms_at_rest(options.structure, settings)
        for note in notes:
            console.print(f"from the structure file: {note}")
        if settings.pressure:
            bar = settings.pressure * quantities.BAR["GPa"]
            console.print(f"pressure: {quantities.pressure_in_words(bar)}")
        checksums = {"structure": sha256(source)}
        path = _path(atoms, settings)
        steps = [next(path)]  # what can be refused is, before there is a file
        _say(console, steps[0])
        begin(folder, KIND, facts_of(asdict(settings), None, checksums))
        try:
            stopped = _follow(console, path, steps, lambda: _keep(folder, atoms))
            _write(folder, atoms, steps, settings, source.name)
        except (RuntimeError, ValueError, OSError) as error:
            raise _failure(folder, steps[-1].step, error) from error
    last = steps[-1]
    ended = last.largest_force <= settings.largest_force
    how = "stopped" if stopped else ("relaxed" if ended else "not relaxed yet")
    console.print(
        f"{how} after {last.step} steps: {last.energy:.6f} eV, largest force "
        f"{last.largest_force:.4f} eV/Å"
    )
    if atoms.pbc.all():
        a, b, c, *angles = atoms.cell.cellpar()
        console.print(
            f"cell {a:.4f} {b:.4f} {c:.4f} Å, {' '.join(f'{angle:.2f}' for angle in angles)}°, "
            f"volume {last.volume:.2f} Å³"
        )
    console.print(f"written to {folder}")
    return INTERRUPTED if stopped else (0 if ended else UNFINISHED)


def _path(atoms: Any, settings: Settings) -> Iterator[Any]:
    """The steps of the relaxation."""
    from openmm_pqeq.relaxation import relax

    return relax(
        atoms,
        settings.cell,
        settings.largest_force,
        settings.steps,
        settings.pressure,
        settings.optimizer,
    )


def _follow(console: Any, path: Iterator[Any], steps: list[Any], keep: Callable[[], None]) -> bool:
    """Go on to the end, taking the steps; whether somebody stopped it, by Ctrl-C or SIGTERM."""
    with StopSignals() as stop:
        try:
            for step in path:
                steps.append(step)
                _say(console, step)
                if step.step % STEPS_BETWEEN_FILES == 0:
                    keep()
                if stop.requested:
                    break
        except KeyboardInterrupt:  # the second Ctrl-C
            return True
    return stop.requested


def _failure(folder: Path, step: int, error: Exception) -> RunFailure:
    """What went wrong on the way, and how to go on."""
    reached, again = folder / "relaxed.extxyz", "the same command with --overwrite"
    kept = str(reached) if reached.is_file() else None
    if kept:
        again = f"openmm-pqeq relax {kept}, the same flags, and another folder"
    return on_the_way("relaxation", step, "step", reason_of(error), kept, again)


def _say(console: Any, step: Any) -> None:
    if console.is_terminal or step.step % STEPS_BETWEEN_FILES == 0:
        end = "\r" if console.is_terminal else "\n"
        console.print(
            f"step {step.step:4d}   {step.energy:.6f} eV   {step.largest_force:.4f} eV/Å", end=end
        )


def _keep(folder: Path, atoms: Any) -> None:
    """Write the structure as it is now."""
    import ase.io

    from openmm_pqeq.jobs.files import whole

    with whole(folder / "relaxed.extxyz") as part:
        ase.io.write(part, atoms, format="extxyz")


def _write(folder: Path, atoms: Any, steps: list[Any], settings: Settings, name: str) -> None:
    import ase.io
    import numpy as np

    from openmm_pqeq.jobs.files import whole, write_text
    from openmm_pqeq.report.plots import Curve, Panel, plot_panels

    _keep(folder, atoms)
    if atoms.pbc.all():
        with whole(folder / "relaxed.cif") as part:
            ase.io.write(part, atoms, format="cif")
    rows = ["step,energy_eV,largest_force_eV_per_A,volume_A3"]
    rows += [f"{s.step},{s.energy:.9f},{s.largest_force:.6g},{s.volume:.6f}" for s in steps]
    write_text(folder / "steps.csv", "\n".join(rows) + "\n")
    energies = np.array([step.energy for step in steps])
    forces = np.array([step.largest_force for step in steps])
    panels = [
        Panel(
            "Energy above the last",
            "E (meV/atom)",
            [Curve("", 1000.0 * (energies - energies[-1]) / len(atoms))],
        ),
        Panel("Largest force", "log₁₀ F (eV/Å)", [Curve("", np.log10(forces.clip(min=1e-12)))]),
    ]
    if settings.cell != "fixed":
        panels.append(Panel("Volume", "V (Å³)", [Curve("", np.array([s.volume for s in steps]))]))
    note = f"Model {settings.model}, cell {settings.cell}, {settings.pressure:g} GPa."
    numbers = np.array([step.step for step in steps], dtype=float)
    figure = plot_panels(numbers, "step", panels, f"Relaxation of {name}", note)
    with whole(folder / "relaxation.png") as part:
        figure.savefig(part, format="png")
