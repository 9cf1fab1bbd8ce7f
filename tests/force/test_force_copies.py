"""A System with the force can be copied, written and read, and a run continues from its checkpoint
and from its state."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import openmm
import pytest
from through_openmm import (
    BOX,
    FIELD,
    SALT,
    assert_same,
    both_routes,
    context_of,
    evaluated,
    salt_positions,
    simulation_of,
    topology_of,
)

from openmm_pqeq.force.create import create_system
from openmm_pqeq.units import KJ_PER_MOL_PER_EV

pytestmark = pytest.mark.python_route


@both_routes
def test_xml_and_copies(sweeps, backend):
    system = create_system(
        sweeps, topology_of(SALT, BOX), field=FIELD, backend=backend, precision="double"
    )
    wanted = evaluated(context_of(system, salt_positions()))
    copies = [
        openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(system)),
        copy.deepcopy(system),
    ]
    for again in [*copies, pickle.loads(pickle.dumps(system))]:
        context = context_of(again, salt_positions())
        assert context.getParameter("field_y") == FIELD[1]
        assert_same(evaluated(context), wanted, energy=1e-12, force=1e-12)


@both_routes
def test_xml_is_read_by_another_process_whatever_is_imported_first(network, backend, tmp_path):
    system = create_system(network, topology_of(SALT, BOX), backend=backend)
    (tmp_path / "system.xml").write_text(openmm.XmlSerializer.serialize(system))
    script = (
        "import openmm, openmm_pqeq, sys\n"  # openmm before torch: its plugins for torch fail to load, and are loaded later
        "system = openmm.XmlSerializer.deserialize(open(sys.argv[1]).read())\n"
        "platform = openmm.Platform.getPlatformByName('CPU')\n"
        "context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)\n"
        f"context.setPositions({(0.1 * salt_positions()).tolist()})\n"
        "print(context.getState(energy=True).getPotentialEnergy()._value)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "system.xml"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "simtk" not in result.stderr
    energy = evaluated(context_of(system, salt_positions()))[0]
    assert float(result.stdout) / KJ_PER_MOL_PER_EV == pytest.approx(energy, abs=1e-6)


@both_routes
def test_a_run_continues_from_a_checkpoint_and_from_a_state(network, backend, tmp_path):
    simulation = simulation_of(network, backend, precision="double")
    simulation.context.setParameter("field_z", 0.01)
    simulation.step(2)
    simulation.saveCheckpoint(str(tmp_path / "run.chk"))
    simulation.saveState(str(tmp_path / "run.xml"))
    simulation.step(3)
    wanted = simulation.context.getState(positions=True).getPositions(asNumpy=True)._value
    for load, name in (("loadCheckpoint", "run.chk"), ("loadState", "run.xml")):
        other = simulation_of(network, backend, precision="double")
        getattr(other, load)(str(tmp_path / name))
        assert other.context.getParameter("field_z") == 0.01
        other.step(3)
        got = other.context.getState(positions=True).getPositions(asNumpy=True)._value
        assert np.abs(got - wanted).max() < 1e-9  # nm
