"""`openmm-pqeq analyze hysteresis`: the loop of polarization against an alternating field."""

import argparse
from pathlib import Path

import numpy as np

from openmm_pqeq.cli.analyses.outcome import Outcome, Value, write_outcome
from openmm_pqeq.cli.analyses.run_files import table_of
from openmm_pqeq.jobs import quantities, values

HELP = "Hysteresis of the polarization in an alternating field: coercive field, remanence, loss."

EPILOG = """examples:
  openmm-pqeq run BaTiO3.cif --model batio3 --supercell 3 3 3 --field 0 0 "0.05*sin(2*pi*t/20)" --time 60ps -o loop
  openmm-pqeq analyze hysteresis loop --axis z --skip 20ps

Reads table.csv of the run. hysteresis.json and hysteresis.png are written beside the input, or into --output."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The table and the axis."""
    parser.add_argument("file", metavar="FILE", help="folder of a run, or its table.csv")
    parser.add_argument(
        "--axis", default="z", metavar="{x,y,z}", help="along the field (default: z)"
    )
    parser.add_argument(
        "--skip", metavar="TIME", default="0", help="leave out the beginning (default: nothing)"
    )
    parser.add_argument(
        "--not-centered",
        action="store_true",
        help="P counts from the start of the run and not from the middle of the loop",
    )
    parser.add_argument("--output", "-o", metavar="FOLDER", help="where to write")


def command(options: argparse.Namespace, folder: Path) -> None:
    """Loop, its numbers, its plot."""
    from openmm_pqeq.analysis.hysteresis import hysteresis
    from openmm_pqeq.report.plots import plot_loop
    from openmm_pqeq.units import E_PER_SQUARE_ANGSTROM_IN_MICROCOULOMB_PER_SQUARE_CM as UNIT
    from openmm_pqeq.units import EV_PER_CUBIC_ANGSTROM_IN_GPA

    source = Path(options.file)
    axis = values.choice("x", "y", "z")("axis", options.axis)
    path, columns = table_of(source)
    names = (f"field_{axis}_V_per_A", f"polarization_{axis}_uC_per_cm2")
    if missing := [name for name in names if name not in columns]:
        raise ValueError(
            f"file: {path} has no column {missing[0]}; expected table.csv of a crystal"
        )
    chosen = columns["time_ps"] >= quantities.picoseconds_or_zero("skip", options.skip)
    time, field, polarization = (columns[name][chosen] for name in ("time_ps", *names))
    found = hysteresis(field, polarization / UNIT, not options.not_centered)
    print(f"{found.branches} branches, {len(time)} moments, {time[-1] - time[0]:g} ps")
    mega = 1000 * EV_PER_CUBIC_ANGSTROM_IN_GPA  # eV/Å³ in MJ/m³
    results = {
        "coercive field": Value(found.coercive, found.coercive_error, "V/Å"),
        "remanent polarization": Value(
            UNIT * found.remanent, UNIT * found.remanent_error, "µC/cm²"
        ),
        "middle of the coercive fields": Value(found.bias, None, "V/Å"),
        "loss by cycle": Value(mega * found.loss, mega * found.loss_error, "MJ/m³"),
    }
    p = UNIT * found.polarization
    figure = plot_loop(
        field, p, ("field (V/Å)", "P (µC/cm²)"),
        f"Coercive field {results['coercive field']}\nremanent polarization {results['remanent polarization']}",
        f"{found.branches} branches in {time[-1] - time[0]:g} ps, field along {axis}.",
    )  # fmt: skip
    table = {"time (ps)": time, "field (V/Å)": field, "P (µC/cm²)": np.asarray(p)}
    outcome = Outcome({"axis": axis}, results, table, figure)
    write_outcome(folder, "hysteresis", outcome)
