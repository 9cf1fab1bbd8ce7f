"""PQEq, and the whole potential with it, obey the laws: in every protocol and coupling, with and
without a field, with net charge, in bulk, slabs, wires and molecules."""

import laws
import pytest
import torch
from pqeq_potentials import TIGHT
from structures import FIELD, periodic_along, perovskite, tensor, water

from openmm_pqeq.potential import build
from openmm_pqeq.pqeq import groups_of
from openmm_pqeq.structure import structure_of

SLAB, WIRE = (True, True, False), (False, True, False)


def waters(field=None):
    """Two molecules, six atoms."""
    one = water()
    positions = torch.cat([one.positions, one.positions + tensor([2.9, 0.3, -0.2])])
    return structure_of(positions, one.numbers.repeat(2), field=field)


def potential(protocol, coupling="shell", others=False):
    """PQEq alone, or the network and dispersion beside it."""
    settings = {"protocol": protocol, "coupling": coupling}
    settings |= {"cutoff": 8.37} if protocol == "reaxnet" else {"tolerance": TIGHT}
    config = {"pqeq": settings}
    if others:
        torch.manual_seed(1)
        network = {"hidden_irreps": "4x0e + 2x1o", "layers": 1, "r_max": 4.0}
        config["gnn"] = {"species": ["H", "O", "Ti", "Ba"], **network}
        config["d3"] = {"functional": "pbe", "cutoff": 6.0, "cn_cutoff": 5.0}
    return build(config)


def energy_of(model):
    return lambda structure: model(structure).energy


def case(name, protocol, structure, coupling="shell", others=False):
    return pytest.param(protocol, coupling, structure, others, id=name)


CASES = [
    *(case(f"{p}, bulk", p, perovskite()) for p in ("ewald", "pme", "reaxnet")),
    *(case(f"{p}, bulk in a field", p, perovskite(0.0, FIELD)) for p in ("ewald", "pme")),
    case("reaxnet, bulk in a field", "reaxnet", perovskite(0.0, FIELD)),
    *(case(f"{p}, charged, in a field", p, perovskite(1.5, FIELD)) for p in ("ewald", "pme")),
    case("pme, slab in a field", "pme", periodic_along(perovskite(0.0, FIELD), SLAB)),
    case("pme, wire", "pme", periodic_along(perovskite(0.5), WIRE)),
    case("reaxnet, slab", "reaxnet", periodic_along(perovskite(0.0, FIELD), SLAB)),
    case("direct, cation", "direct", water(1.0)),
    case("direct, cation in a field", "direct", water(1.0, FIELD)),
    case("direct, full", "direct", water(0.0, FIELD), "full"),
    case("reaxnet, cation in a field", "reaxnet", water(1.0, FIELD)),
    case("reaxnet, full", "reaxnet", water(0.0, FIELD), "full"),
    case("whole, ewald", "ewald", perovskite(0.0, FIELD), others=True),
    case("whole, pme", "pme", perovskite(0.0, FIELD), others=True),
    case("whole, reaxnet", "reaxnet", perovskite(), others=True),
    case("whole, direct", "direct", water(1.0, FIELD), others=True),
]
every_case = pytest.mark.parametrize(("protocol", "coupling", "structure", "others"), CASES)


def push_of(model, structure, coupling):
    """+qF on every atom, which belongs to `shell`."""
    charges = model.evaluate(structure, forces=False).charges
    return charges[:, None] * structure.field if coupling == "shell" else None


@every_case
def test_translation(protocol, coupling, structure, others):
    model = potential(protocol, coupling, others)
    push = push_of(model, structure, coupling)
    laws.assert_translation(energy_of(model), structure, push=push)


@every_case
def test_rotation(protocol, coupling, structure, others):
    laws.assert_rotation(energy_of(potential(protocol, coupling, others)), structure)


@every_case
def test_permutation(protocol, coupling, structure, others):
    laws.assert_permutation(energy_of(potential(protocol, coupling, others)), structure)


@every_case
def test_forces_are_the_gradient_plus_the_push(protocol, coupling, structure, others):
    model = potential(protocol, coupling, others)
    push = push_of(model, structure, coupling)
    laws.assert_forces(energy_of(model), structure, push=push, samples=5)


@pytest.mark.parametrize(
    ("protocol", "coupling", "structure", "others"),
    [row for row in CASES if bool(row.values[2].pbc.any())],
)
def test_any_image_of_an_atom(protocol, coupling, structure, others):
    laws.assert_any_image(energy_of(potential(protocol, coupling, others)), structure)


@pytest.mark.parametrize("protocol", ["ewald", "pme", "reaxnet"])
@pytest.mark.parametrize("charge", [0.0, 1.0])
def test_a_supercell_is_its_cells(protocol, charge):
    """With a net charge too: the uniform background is that of the cell."""
    model = potential(protocol)
    laws.assert_supercell(energy_of(model), perovskite(charge, FIELD), (2, 1, 1))


@pytest.mark.parametrize("protocol", ["ewald", "pme", "reaxnet"])
def test_stress(protocol):
    laws.assert_stress(energy_of(potential(protocol)), perovskite(0.5))


@pytest.mark.parametrize("protocol", ["ewald", "pme", "reaxnet"])
def test_a_batch_is_its_structures(protocol):
    structures = [perovskite(0.5, FIELD), water(1.0, FIELD), perovskite()]
    laws.assert_batch(energy_of(potential(protocol)), structures)


@pytest.mark.parametrize("protocol", ["direct", "reaxnet"])
def test_fragments(protocol):
    """Within fragments charge is kept, and their energy has a gradient: no push where none is
    charged."""
    groups = groups_of(6, [[0, 1, 2], [3, 4, 5]])
    model = potential(protocol, "fragment").configured(groups=groups)
    energy = energy_of(model)
    laws.assert_translation(energy, waters(FIELD))
    laws.assert_rotation(energy, waters(FIELD))
    laws.assert_forces(energy, waters(FIELD))
    charges = model.evaluate(waters(FIELD), forces=False).charges
    laws.close(charges.reshape(2, 3).sum(1), torch.zeros(2), 1e-9, "charges of the fragments")
