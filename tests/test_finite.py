"""Energies and forces that are not finite end at every door with the atom that has them."""

import math

import openmm
import pytest
import torch
from ase import Atoms
from openmm import unit
from through_openmm import (
    BOX,
    SALT,
    both_routes,
    context_of,
    evaluated,
    salt_positions,
    topology_of,
)

from openmm_pqeq import ops
from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.contract import Contribution, of_atoms
from openmm_pqeq.finite import check_energy, check_forces
from openmm_pqeq.force.create import create_system
from openmm_pqeq.neighbors.pairs import Pairs
from openmm_pqeq.potential import Potential
from openmm_pqeq.structure import Structure, structure_of

pytestmark = pytest.mark.python_route


class Spoilt(torch.nn.Module):
    """E = Σ √x: NaN for x < 0, and at x = 0 an infinite slope of a finite energy."""

    label, species, cutoff = "spoilt", ["Na", "Cl"], 3.0
    settings: dict[str, float] = {}  # noqa: RUF012

    def __init__(self, shift: float):
        super().__init__()
        self.shift = shift

    def forward(self, structure: Structure, pairs: Pairs, unstrained: torch.Tensor) -> Contribution:
        x = structure.positions[:, 0]
        return of_atoms((x - x.min().detach() + self.shift).sqrt(), structure)

    def in_precision(self, precision):
        return self

    def for_inference(self, skin):
        return self


def spoilt(shift):
    return Potential({"spoilt": Spoilt(shift)})


# the atom with the least x
FIRST = int(salt_positions()[:, 0].argmin())
NAME = rf"atom {FIRST} \({SALT[FIRST]}\)"
CASES = [
    (-0.1, rf"energy: not finite, first that of {NAME}"),
    (0.0, rf"forces: not finite, first that on {NAME}"),
]
cases = pytest.mark.parametrize(("shift", "words"), CASES, ids=["energy", "force"])


@cases
def test_evaluate_and_calculator(shift, words):
    numbers = torch.tensor([11, 11, 17, 17])
    structure = structure_of(torch.tensor(salt_positions()), numbers, torch.tensor(BOX))
    with pytest.raises(RuntimeError, match=words):
        spoilt(shift).evaluate(structure)
    atoms = Atoms(
        SALT, salt_positions(), cell=BOX, pbc=True, calculator=PQEqCalculator(spoilt(shift))
    )
    with pytest.raises(RuntimeError, match=words):
        atoms.get_forces()
    assert spoilt(1.0).evaluate(structure).forces.isfinite().all()


@both_routes
@cases
@pytest.mark.parametrize("precision", ["double", "mixed"])
def test_openmm(backend, shift, words, precision):
    """In the first evaluation. OpenMM's C++ asks TorchForce's module for the energy and takes the
    forces itself; without the native library one that is not finite is seen a step later."""
    system = create_system(
        spoilt(shift), topology_of(SALT, BOX), backend=backend, precision=precision
    )
    context = context_of(system, salt_positions())
    if backend == "torchscript" and shift == 0.0 and not ops.available("finite_gradient"):
        words = rf"positions: finite numbers are expected, and {NAME} has NaN"
        context.getIntegrator().step(1)
    with pytest.raises(openmm.OpenMMException, match=words):
        context.getState(forces=True)


def test_a_subset_is_called_by_its_particles():
    topology = topology_of(["X", "Na", "X", "Cl"])
    system = create_system(spoilt(-0.1), topology, atoms=[3, 1], backend="python")
    context = context_of(system, [[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]])
    with pytest.raises(openmm.OpenMMException, match=r"first that of atom 1 \(Na\)"):
        evaluated(context)
    context.setPositions([[0, 0, 0], [0.1, 0, 0], [0.2, 0, 0], [math.nan, 0, 0]] * unit.nanometer)
    with pytest.raises(openmm.OpenMMException, match=r"atom 3 \(Cl\) has NaN"):
        evaluated(context)


def test_of_no_atom():
    """A sum that is infinite though its parts are not."""
    finite = torch.ones(2)
    with pytest.raises(RuntimeError, match=r"energy: not finite\. Are"):
        check_energy(torch.tensor([math.inf]), [finite], torch.tensor([1, 8]))
    check_energy(torch.ones(1), [finite * math.nan], torch.tensor([1, 8]))
    check_forces(torch.zeros(0, 3), torch.zeros(0))
