"""A structure with a model, as analyses of crystals take it."""

import argparse
from typing import Any

from openmm_pqeq.jobs import values

LARGEST_PRESSURE = 0.5
"""GPa; elastic constants and phonons are of a relaxed crystal, and more is said."""


def add_structure(parser: argparse.ArgumentParser) -> None:
    """The input that analyses of a crystal share."""
    parser.add_argument("structure", metavar="FILE", help="crystal, anything ASE reads; relaxed")
    parser.add_argument(
        "--model", required=True, metavar="MODEL", help="name of a model or path of a file"
    )
    parser.add_argument(
        "--protocol", metavar="NAME", help="protocol of the charges (default: the model's)"
    )
    parser.add_argument(
        "--supercell", nargs=3, default=["1", "1", "1"], metavar="N", help="repeat the cell"
    )
    parser.add_argument(
        "--tolerance",
        default="1e-9",
        metavar="TOL",
        help="convergence of the charges, eV/e and eV/Å (default: 1e-9)",
    )
    parser.add_argument(
        "--largest-force",
        default="0.005",
        metavar="F",
        help="eV/Å, to which atoms relax in each cell (default: 0.005)",
    )
    parser.add_argument(
        "--output", "-o", metavar="FOLDER", help="where to write (default: beside the input)"
    )


def crystal_of(options: argparse.Namespace, repeats: Any = None) -> Any:
    """ASE's atoms with the model as calculator; ValueError for what is no crystal."""
    from openmm_pqeq import checkpoint
    from openmm_pqeq.calculator import PQEqCalculator
    from openmm_pqeq.topology.file import read_file

    supercell = values.cells("supercell", options.supercell) if repeats is None else repeats
    tolerance = values.within(values.positive, 1e-14, 1.0)("tolerance", options.tolerance)
    checkpoint.refuse_unknown({"model": options.model})
    atoms, facts = read_file(options.structure, -1, supercell)
    for note in facts.notes:
        print(f"from the structure file: {note}")
    if not atoms.pbc.all():
        raise ValueError(
            f"structure: {options.structure} is periodic along {atoms.pbc.tolist()}; expected a "
            "crystal"
        )
    potential = checkpoint.load(options.model, protocol=options.protocol)
    atoms.calc = PQEqCalculator(potential, tolerance=tolerance)
    return atoms


def say_what_is_not_relaxed(atoms: Any, force: float) -> None:
    """A warning for forces and pressures that a relaxed crystal does not have."""
    from openmm_pqeq.units import EV_PER_CUBIC_ANGSTROM_IN_GPA

    largest = float(abs(atoms.get_forces()).max())
    stress = float(abs(atoms.get_stress()).max()) * EV_PER_CUBIC_ANGSTROM_IN_GPA
    if largest > 2 * force or stress > LARGEST_PRESSURE:
        print(
            f"warning: the crystal is not relaxed (force {largest:.3g} eV/Å, stress {stress:.3g} "
            "GPa); openmm-pqeq relax --cell free comes first"
        )


def force_of(options: argparse.Namespace) -> float:
    """eV/Å, to which atoms relax."""
    return values.within(values.positive, 1e-6, 10.0, "eV/Å")(
        "largest_force", options.largest_force
    )
