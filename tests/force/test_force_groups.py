"""Fragments and electrodes through OpenMM: molecules of the topology, ions by residue, both routes,
and what is refused."""

import numpy as np
import openmm as mm
import pytest
from openmm import app, unit

import openmm_pqeq as pq
from openmm_pqeq import versions

WATER = np.array([[0.0, 0.0, 0.0], [0.0757, 0.0586, 0.0], [-0.0757, 0.0586, 0.0]])


def salt_water(bonds: bool = True):
    """Two waters and an ion pair; positions in nm."""
    topology = app.Topology()
    chain = topology.addChain()
    for _ in range(2):
        residue = topology.addResidue("HOH", chain)
        atoms = [
            topology.addAtom(name, app.Element.getBySymbol(name[0]), residue)
            for name in ("O", "H1", "H2")
        ]
        if bonds:
            topology.addBond(atoms[0], atoms[1])
            topology.addBond(atoms[0], atoms[2])
    for name, symbol in (("NA", "Na"), ("CL", "Cl")):
        topology.addAtom(symbol, app.Element.getBySymbol(symbol), topology.addResidue(name, chain))
    positions = np.concatenate(
        [WATER, WATER + np.array([0.0, 0.0, 0.3]), [[0.4, 0.0, 0.0]], [[0.0, 0.8, 0.0]]]
    )
    return topology, positions


def context_of(topology, positions, **settings):
    system = pq.create_system(
        pq.build({"pqeq": {"protocol": "direct"}}), topology, precision="double", **settings
    )
    context = mm.Context(
        system, mm.VerletIntegrator(0.001), mm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(positions)
    return context


@pytest.mark.python_route
def test_molecules_of_the_topology_are_fragments_and_ions_have_the_charges_of_their_residues():
    topology, positions = salt_water()
    charges = {"NA": 1, "CL": -1}
    energies = []
    for fragments in (
        {"fragment_charges": charges},
        {"fragments": [[0, 1, 2], [3, 4, 5], [6], [7]], "fragment_charges": [0, 0, 1, -1]},
    ):
        context = context_of(
            topology,
            positions,
            coupling="fragment",
            backend="python",
            field=(0, 0, 0.05),
            **fragments,
        )
        state = context.getState(energy=True, forces=True)
        energies.append(state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole))
        assert np.isfinite(state.getForces(asNumpy=True)._value).all()
    assert abs(energies[0] - energies[1]) < 1e-9
    alone = context_of(topology, positions, backend="python")
    assert abs(alone.getState(energy=True).getPotentialEnergy()._value - energies[0]) > 1.0


@pytest.mark.python_route
def test_routes_and_calculator_agree_with_fragments_and_electrodes():
    """1e-6 eV; lithium plates around the two waters, as far as OpenMM's topology is concerned a
    molecule and two electrodes."""
    from ase import Atoms

    topology, positions = salt_water()
    chain = topology.addChain()
    for k in range(2):
        topology.addAtom(
            "Li", app.Element.getBySymbol("Li"), topology.addResidue("LI", chain, str(k))
        )
    positions = np.concatenate([positions, [[0.0, 0.0, -1.0]], [[0.0, 0.0, 1.3]]])
    settings = {
        "fragment_charges": [0, 0, 1, -1],
        "electrodes": [([8], 0.0), ([9], 1.0)],
        "coupling": "fragment",
    }
    fragments = [[0, 1, 2], [3, 4, 5], [6], [7]]
    symbols = [atom.element.symbol for atom in topology.atoms()]
    model = pq.build({"pqeq": {"protocol": "direct"}})
    calculator = pq.PQEqCalculator(model, fragments=fragments, tolerance=1e-8, **settings)
    atoms = Atoms(symbols, 10 * positions, calculator=calculator)
    backends = ["python"] + (["torchscript"] if not versions.problems("torchscript") else [])
    for backend in backends:
        context = context_of(
            topology, positions, backend=backend, tolerance=1e-8, fragments=fragments, **settings
        )
        state = context.getState(energy=True, forces=True)
        assert (
            abs(state.getPotentialEnergy()._value / 96.48533212331 - atoms.get_potential_energy())
            < 1e-6
        )
        np.testing.assert_allclose(
            state.getForces(asNumpy=True)._value / 964.8533212331, atoms.get_forces(), atol=1e-6
        )
    assert abs(atoms.get_charges()[8:].sum()) < 1e-9
    assert abs(atoms.get_charges()[8]) > 1e-3


def test_the_calculator_finds_molecules_by_covalent_radii():
    from ase import Atoms

    _, positions = salt_water()
    atoms = Atoms("OH2OH2", 10 * positions[:6])
    atoms.calc = pq.PQEqCalculator(
        pq.build({"pqeq": {"protocol": "direct"}}), coupling="fragment", tolerance=1e-8
    )
    np.testing.assert_allclose(atoms.get_charges().reshape(2, 3).sum(1), 0.0, atol=1e-10)
    with pytest.raises(ValueError, match="fragments: expected None with coupling"):
        atoms.calc.set(coupling="shell", fragments=[[0]])


def test_molecules_are_those_of_the_structure_at_hand():
    """Four hydrogens in the same order, paired otherwise: the calculator that saw the first pairs
    agrees with a new one."""
    from ase import Atoms

    ends = np.array([[0.0, 0.0, 0.0], [0.74, 0.0, 0.0], [0.0, 0.0, 8.0], [0.74, 0.0, 8.0]])
    pairs, others = Atoms("H4", ends), Atoms("H4", ends[[0, 2, 1, 3]])
    potential = pq.build({"pqeq": {"protocol": "direct"}})
    settings = {"coupling": "fragment", "field": (0.1, 0.0, 0.1), "tolerance": 1e-8}
    used = pq.PQEqCalculator(potential, **settings)
    used.get_property("charges", pairs)
    fresh = pq.PQEqCalculator(potential, **settings).get_property("charges", others)
    np.testing.assert_allclose(used.get_property("charges", others), fresh, atol=1e-7)
    assert abs(fresh[[0, 2]].sum()) < 1e-10


@pytest.mark.parametrize("electrodes", [[[0, 1]], [3], 3])
def test_the_calculator_names_wrong_electrodes(electrodes):
    from ase import Atoms

    calculator = pq.PQEqCalculator(
        pq.build({"pqeq": {"protocol": "direct"}}), coupling="fragment", electrodes=electrodes
    )
    with pytest.raises(ValueError, match="electrodes"):
        calculator.get_property("energy", Atoms("H2", [[0, 0, 0], [0.74, 0, 0]]))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"coupling": "fragment"}, "2 atoms are bonded to nothing"),
        ({"coupling": "fragment", "fragment_charges": {"K": 1}}, "no fragment is of a residue 'K'"),
        ({"coupling": "fragment", "fragment_charges": {"NA": 1}}, "add up to 1 e"),
        (
            {"coupling": "fragment", "fragments": [[0, 1, 2, 99]]},
            r"fragments\[0\]: expected indices from 0 to 7, got 99",
        ),
        ({"coupling": "shell", "fragments": [[0]]}, 'coupling="fragment" takes them'),
        ({"electrodes": [([0, 1], 0.0), ([2], 1.0)]}, "in no fragment and no electrode"),
        (
            {"coupling": "fragment", "electrodes": [[0, 1]]},
            r"electrodes\[0\] atoms: expected indices of atoms, got 0",
        ),
        (
            {"coupling": "fragment", "electrodes": [3]},
            r"electrodes\[0\]: expected \(atoms, voltage\), got 3",
        ),
        ({"coupling": "fragment", "electrodes": 3}, "electrodes: expected a list"),
        ({"coupling": "fragment", "fragments": 3}, "fragments: expected a list"),
        ({"coupling": "fragment", "fragment_charges": 1}, "fragment_charges: expected 4 numbers"),
        (
            {"coupling": "fragment", "fragment_charges": {"NA": "1"}},
            "fragment_charges: expected 4 numbers",
        ),
    ],
)
def test_wrong_fragments_are_named(settings, words):
    topology, positions = salt_water()
    with pytest.raises(ValueError, match=words):
        context_of(topology, positions, backend="python", **settings)


@pytest.mark.python_route
def test_a_slab_needs_room_in_its_box():
    topology, positions = salt_water()
    periodic = {
        "periodic": (True, True, False),
        "backend": "python",
        "coupling": "fragment",
        "fragment_charges": {"NA": 1, "CL": -1},
    }
    potential = pq.build({"pqeq": {"protocol": "pme"}})
    energies = []
    for height in (3.0, 4.0, 0.35):
        topology.setUnitCellDimensions((2.0, 2.0, height))
        system = pq.create_system(potential, topology, precision="double", **periodic)
        context = mm.Context(
            system, mm.VerletIntegrator(0.001), mm.Platform.getPlatformByName("Reference")
        )
        context.setPositions(positions + 0.05)
        if height < 1.0:
            with pytest.raises(mm.OpenMMException, match="Leave at least 1"):
                context.getState(energy=True)
        else:
            energies.append(context.getState(energy=True).getPotentialEnergy()._value)
    assert abs(energies[0] - energies[1]) < 1e-6
