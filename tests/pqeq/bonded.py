"""Potentials with charges by bonds, and structures for them."""

import laws
import torch
from pqeq_potentials import BONDED
from structures import tensor

from openmm_pqeq.potential import build
from openmm_pqeq.structure import ATOMIC_NUMBERS, structure_of

CHARGES = {"H": 1.0, "O": -2.0, "Na": 1.0, "Cl": -1.0, "Cs": 1.0, "Au": 0.0}
FIELD = (0.03, -0.02, 0.05)  # V/Å


def potential_of(protocol="ewald", parameters=BONDED, **settings):
    settings = {"tolerance": 1e-11, "charge_flow": "bonds", **settings}
    return build({"pqeq": {"protocol": protocol, "parameters": parameters, **settings}})


def structure(elements, positions, cell=None, pbc=None, field=(0, 0, 0), charges=CHARGES):
    reference = [charges[e] for e in elements]
    return structure_of(
        torch.as_tensor(positions, dtype=torch.float64),
        torch.tensor([ATOMIC_NUMBERS[e] for e in elements]),
        None if cell is None else torch.as_tensor(cell, dtype=torch.float64),
        None if pbc is None else torch.tensor(pbc),
        sum(reference),
        tensor(field),
        tensor(reference),
    )


WATER = [[0.0, 0.0, 0.0], [0.757, 0.586, 0.0], [-0.757, 0.586, 0.0]]


def crystal(pbc=(True, True, True), field=FIELD):
    """A distorted cell with an ion too many in it, when not all directions are periodic."""
    cell = tensor([[5.2, 0, 0], [0.3, 5.6, 0], [0.2, 0.4, 5.9]])
    places = [
        [0, 0, 0],
        [0.5, 0.5, 0],
        [0.5, 0, 0.5],
        [0, 0.5, 0.5],
        [0.5, 0.5, 0.55],
        [0.1, 0.05, 0.5],
    ]
    generator = torch.Generator().manual_seed(3)
    shaken = 0.2 * torch.rand(6, 3, generator=generator, dtype=torch.float64)
    elements = ["Na", "Na", "Na", "Cl", "Cl", "Cl"]
    return structure(elements, tensor(places) @ cell + shaken, cell, pbc, field)


def rock_salt_pair(shift=(0.1, 0.05, -0.07)):
    half = 2.8
    cell = [[0, half, half], [half, 0, half], [half, half, 0]]
    place = tensor([half, half, half]) + tensor(shift)
    return structure(["Na", "Cl"], [[0, 0, 0], place.tolist()], cell)


def caesium_chloride(layers, pbc=(True, True, True), a=4.12):
    """Cells of caesium chloride one on the other along z."""
    cell = torch.diag(tensor([a, a, a * layers]))
    up = a * torch.arange(layers, dtype=torch.float64)
    nothing = torch.zeros_like(up)
    cations = torch.stack([nothing, nothing, up], dim=1)
    anions = cations + 0.5 * a
    places = torch.stack([cations, anions], dim=1).flatten(0, 1)
    return structure(["Cs", "Cl"] * layers, places, cell, pbc)


def free_part(at):
    rows = torch.where(at.pbc[0][:, None], at.cell[0], torch.zeros_like(at.cell[0]))
    return at.field[0] - torch.linalg.pinv(rows) @ (rows @ at.field[0])


def assert_dipole(potential, at, tolerance):
    """The dipole (e Å) is −∂E/∂F by autograd."""
    field = at.field.clone().requires_grad_(True)
    found = potential(at._replace(field=field))
    (slope,) = torch.autograd.grad(found.energy.sum(), field)
    laws.close(-slope, found.dipole, tolerance, "dipole")
