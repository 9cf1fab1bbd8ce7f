"""What the ASE calculator refuses."""

import numpy as np
import pytest
from ase import Atoms
from calculated import crystal, with_calculator

from openmm_pqeq.calculator import PQEqCalculator

pytestmark = pytest.mark.python_route  # needs no TorchForce, and people use it with a current torch


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"total_charge": "one"}, "total_charge: expected a finite number"),
        ({"total_charge": float("nan")}, "total_charge: expected a finite number"),
        ({"field": 0.1}, "field: expected three"),
        ({"field": (0.0, 0.1)}, "field: expected three"),
        ({"field": (0.0, 0.1, float("inf"))}, "field: expected three"),
        ({"coupling": "fragments"}, "coupling: expected one of"),
        ({"tolerance": 0.0}, "tolerance: expected a positive"),
        ({"dtype": "float16"}, "dtype: expected one of"),
        ({"device": "cuda:99"}, "device: no 'cuda:99' here"),
        ({"device": "gpu"}, "device: expected a torch device"),
        ({"device": "meta"}, "device: expected 'cpu' or 'cuda'"),
    ],
)
def test_bad_arguments_are_refused(ewald, settings, message):
    with pytest.raises(ValueError, match=message):
        PQEqCalculator(ewald, **settings)


def test_what_is_no_potential_is_refused(dispersion):
    with pytest.raises(ValueError, match="potential: expected a Potential"):
        PQEqCalculator(3.0)
    with pytest.raises(FileNotFoundError, match="no-such-model"):
        PQEqCalculator("no-such-model")
    with pytest.raises(ValueError, match="field: this potential has no charges"):
        PQEqCalculator(dispersion, field=(0, 0, 0.1))
    with pytest.raises(ValueError, match="total_charge: this potential has no charges"):
        PQEqCalculator(dispersion, total_charge=1)
    with pytest.raises(ValueError, match="electrodes: this potential has no charges"):
        PQEqCalculator(dispersion, electrodes=[([0], 0.0), ([1], 1.0)])
    with pytest.raises(ValueError, match="fragments: this potential has no charges"):
        PQEqCalculator(dispersion, coupling="fragment", fragments=[[0, 1]])


def broken(what: str) -> Atoms:
    atoms = crystal()
    if what == "nan":
        atoms.positions[2, 1] = np.nan
    elif what == "element":
        atoms.numbers[0] = 79
    elif what == "no element":
        atoms.numbers[0] = 0
    elif what == "same place":
        atoms.positions[1] = atoms.positions[0] + atoms.cell[0]
    elif what == "singular":
        atoms.cell[2] = atoms.cell[0] + atoms.cell[1]
    elif what == "no cell":
        atoms.cell[:] = 0.0
    elif what == "nan cell":
        atoms.cell[0, 0] = np.nan
    elif what == "charge":
        atoms.info["charge"] = "+1"
    return atoms if what != "empty" else Atoms()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("empty", "atoms: expected at least one atom"),
        ("nan", r"positions: expected finite numbers.*atoms \[2\]"),
        ("element", "elements: .* Au"),
        ("no element", "elements: .* (X|0)"),
        ("same place", "positions: atoms 0 and 1 .* same place"),
        ("singular", "cell: singular"),
        ("no cell", "cell: singular"),
        ("nan cell", "cell: expected finite"),
        ("charge", r'info\["charge"\]: expected the total charge'),
    ],
)
def test_bad_structures_are_refused(ewald, what, message):
    atoms = with_calculator(broken(what), ewald)
    for _ in range(2):  # what failed once is not remembered as done
        with pytest.raises(ValueError, match=message):
            atoms.get_potential_energy()
