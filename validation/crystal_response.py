"""Born charges and ε∞ of crystals from a table of response parameters, by chemistry.

    python validation/crystal_response.py --data FILE [FILE ...] [--table CSV] [--most-atoms 14]

FILE is .jsonl, .jsonl.gz (one crystal a line: cell, numbers, frac, born, eps_inf), or anything ASE
reads. Without --table it is openmm_pqeq/data/pqeq_response.csv. A table with a column `softness` is
one for charges by bonds. Reference charges are the oxidation states of the compositions; crystals
without, and those of elements that the table has no fitted row for, are left out and counted.
"""

import argparse
from importlib import resources
from pathlib import Path

from rich.console import Console

from openmm_pqeq.fitting.crystals import report, table
from openmm_pqeq.fitting.crystals.data import read_crystals
from openmm_pqeq.fitting.crystals.problem import Problem
from openmm_pqeq.fitting.crystals.run import with_charges

SHIPPED = str(resources.files("openmm_pqeq.data").joinpath("pqeq_response.csv"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", required=True, metavar="FILE")
    parser.add_argument("--table", default=SHIPPED, metavar="CSV")
    parser.add_argument("--most-atoms", type=int, default=14)
    options = parser.parse_args()
    rows = table.rows_to_start(options.table)
    by_bonds = "softness" in Path(options.table).read_text(encoding="utf-8")
    columns = table.BOND_COLUMNS if by_bonds else table.SHELL_COLUMNS
    read = [one for one in read_crystals(options.data, options.most_atoms) if one.labelled]
    known, left_out = with_charges(read)
    elements = {kind.number for kind in rows}
    crystals = [one for one in known if set(one.atoms.numbers.tolist()) <= elements]
    kinds = sorted(rows, key=lambda kind: (kind.charge is not None, kind.number, kind.charge or 0))
    start = table.start_of(kinds, columns, rows)
    measured = report.measure(Problem(crystals, kinds, columns, start, 1e-8), crystals, start)
    print(f"{len(read)} crystals; {len(left_out)} without reference charges")
    Console(width=120).print(
        report.table_of(Path(options.table).name, report.by_chemistry(measured))
    )


if __name__ == "__main__":
    main()
