"""Dispersion by the operator and by its reference, and what they are compared on."""

import laws
import torch
from ase import Atoms
from ase.build import bulk
from structures import ethanol, quartz_like

from openmm_pqeq.d3.inference import InferenceD3
from openmm_pqeq.d3.model import D3
from openmm_pqeq.neighbors.half_list import KeptSearch
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.structure import Structure

SINGLE, DOUBLE = torch.float32, torch.float64
# Atoms have up to 0.5 eV of D3 and derivatives up to a few eV/Å in the cell; float32 carries 6e-8
# of each, tables included.
TOLERANCE = {DOUBLE: 1e-12, SINGLE: 2e-6}
LONG = {"cutoff": 13.0, "cn_cutoff": 9.0}


def salt() -> Atoms:
    """64 atoms, more than one block of pairs for every centre."""
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (2, 2, 2)
    atoms.rattle(0.1, seed=1)
    return atoms


STRUCTURES = {
    "three species, cell smaller than the cutoff": quartz_like(),
    "molecule": ethanol(),
    "slab": Atoms(quartz_like(), pbc=(True, True, False)),
    "wire": Atoms(quartz_like(), pbc=(False, False, True)),
    "one atom": Atoms("Xe"),
    "one atom and its images": bulk("Ar", "fcc", a=5.3),
    "two atoms": Atoms("ArXe", positions=[[0, 0, 0], [3.0, 2.0, 1.0]]),
    "no pairs": Atoms("ArXe", positions=[[0, 0, 0], [0, 60.0, 0]]),
    "a pair and an isolated atom": Atoms("CONe", positions=[[0, 0, 0], [1.1, 0, 0], [0, 0, 50.0]]),
    "one species, many pairs": bulk("Cu", cubic=True) * (2, 1, 1),
    "two species, many pairs": salt(),
}


def term(
    damping: str = "bj", width: float = 2.0, dtype: torch.dtype = DOUBLE, **settings: float
) -> D3:
    return D3(damping, "pbe", smoothing_width=width, **{**LONG, **settings}).to(dtype)


def energies_and_slopes(energies_of, structure: Structure) -> list[torch.Tensor]:
    """Atomic energies, and the derivatives of a sum in which every atom has another weight."""
    positions, cell = (
        x.detach().clone().requires_grad_(True) for x in (structure.positions, structure.cell)
    )
    energies = energies_of(structure._replace(positions=positions, cell=cell))
    weights = torch.linspace(0.5, 1.7, len(energies), dtype=energies.dtype)
    slopes = torch.autograd.grad((weights * energies).sum(), (positions, cell), allow_unused=True)
    return [
        energies.detach(),
        *(torch.zeros_like(x) if s is None else s for s, x in zip(slopes, (positions, cell))),
    ]


def native_of(d3: D3, skin: float = 1.0):
    fast, search = InferenceD3(d3), KeptSearch(d3.cutoff, skin)
    return lambda structure: fast(structure, search(structure))


def reference_of(d3: D3):
    """The module, in plain torch, with a list of all pairs in both directions."""
    search = NeighborSearch(d3.cutoff)
    return lambda structure: d3(structure, search(structure))


def energy_of_reference(d3: D3):
    """Energies of the structures of a batch."""
    reference = reference_of(d3)
    return lambda structure: laws.per_structure(reference(structure), structure)


def energy_of(d3: D3):
    native = native_of(d3)
    return lambda structure: laws.per_structure(native(structure), structure)


def assert_equal(ours: list[torch.Tensor], expected: list[torch.Tensor], tolerance: float) -> None:
    for one, other, what in zip(
        ours,
        expected,
        ("energies", "derivatives in positions", "derivatives in the cell"),
        strict=True,
    ):
        laws.close(
            one.double(), other.double(), tolerance * (10 if what.endswith("cell") else 1), what
        )
