"""The minimisation of a run (md/minimize.py): how far a step goes, where it ends, and what stays."""

from types import SimpleNamespace

import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_pqeq.md.minimize import LARGEST_FORCE, minimize

EV, ANGSTROM = 96.48533212331002, 10.0  # kJ/mol in an eV, Å in a nm
STEEP, SHALLOW = 0.5, 0.02  # eV/Å⁴
START = np.array([[1.5, 0, 0], [0, 2.0, 1.0], [0.3, 0, 0]])  # Å
PLACES = START + 40.0 * np.arange(3)[:, None]


@pytest.fixture
def simulation():
    """Three atoms, each in a well k|r − r₀|⁴ of its own, in which forces fall step by step."""
    system, topology = openmm.System(), app.Topology()
    residue = topology.addResidue("X", topology.addChain())
    well = openmm.CustomExternalForce("k*((x-a)^2+(y-a)^2+(z-a)^2)^2")
    well.addPerParticleParameter("k")
    well.addPerParticleParameter("a")
    for i, k in enumerate((STEEP, SHALLOW, STEEP)):
        topology.addAtom("Ar", app.Element.getBySymbol("Ar"), residue)
        system.addParticle(40.0)
        well.addParticle(i, [k * EV * ANGSTROM**4, 40.0 * i / ANGSTROM])
    system.addForce(well)
    platform = openmm.Platform.getPlatformByName("Reference")
    made = app.Simulation(topology, system, openmm.VerletIntegrator(0.001), platform)
    made.context.setPositions(PLACES / ANGSTROM)
    return made


def positions_of(simulation):
    state = simulation.context.getState(positions=True)
    return state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)


def minimized(simulation, most=500, stop_at=None):
    """What came of it, and positions (Å) at every step."""
    stop, path = SimpleNamespace(requested=False), []

    def watch(news):
        path.append(positions_of(simulation))
        stop.requested = news.step == stop_at

    return minimize(simulation, most, stop, watch), np.array(path)


def forces_of(positions):
    """|F| of each atom, eV/Å."""
    away = np.linalg.norm(positions - (PLACES - START), axis=-1)
    return 4 * np.array([STEEP, SHALLOW, STEEP]) * away**3


def test_no_atom_goes_farther_than_a_tenth_of_an_angstrom_in_a_step(simulation):
    found, path = minimized(simulation)
    moves = np.linalg.norm(np.diff(path, axis=0), axis=2)
    assert moves.max() == pytest.approx(0.1, abs=1e-6)  # OpenMM's positions round to 1e-7 nm
    assert found.steps == len(path) - 1 > 15


def test_it_ends_at_the_first_step_without_a_force_above_the_limit(simulation):
    found, path = minimized(simulation)
    forces = forces_of(path).max(axis=1)
    assert LARGEST_FORCE == 0.05
    assert (forces[:-1] > 0.05).all()
    assert 0.025 < forces[-1] < 0.05
    assert found.largest_force == pytest.approx(forces[-1], abs=1e-5)
    assert str(found) == f"minimised to {found.energy:.6f} eV in {found.steps} steps"


def test_what_has_no_mass_stays_and_its_force_does_not_count(simulation):
    simulation.system.setParticleMass(1, 0.0)
    found, path = minimized(simulation)
    assert np.abs(path[-1, 1] - PLACES[1]).max() < 1e-6
    assert forces_of(path[-1])[1] > 0.5
    assert found.largest_force < 0.05


def test_it_stops_where_it_is_asked_to_or_has_taken_all_its_steps(simulation):
    found, path = minimized(simulation, stop_at=3)
    assert found is None
    assert len(path) == 4
    found, path = minimized(simulation, most=2, stop_at=2)
    assert found.steps == 2
    assert "the most that minimize_steps allows: a force of" in str(found)
    assert f"{forces_of(path[-1]).max():.2f} eV/Å is left" in str(found)
