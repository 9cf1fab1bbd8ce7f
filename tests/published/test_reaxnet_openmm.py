"""Imported models in OpenMM: the energies and forces that the potential itself gives, by both
routes."""

import numpy as np
import openmm
import pytest
import torch
from openmm import unit
from published import CELL, NUMBERS, POSITIONS, config_of, draw, write_model
from through_openmm import BACKENDS, evaluated, topology_of

import openmm_pqeq as pq
from openmm_pqeq.published.reaxnet.layout import expected_shapes
from openmm_pqeq.published.reaxnet.settings import read_settings
from openmm_pqeq.structure import SYMBOLS, structure_of

pytestmark = pytest.mark.python_route


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["published irreps", "odd irreps", "no self-connection"])
def test_an_imported_model_in_openmm(name, backend, tmp_path):
    config = config_of(name)
    files = write_model(tmp_path, config, {})
    files = write_model(tmp_path, config, draw(expected_shapes(read_settings(*files[1:])), config))
    pq.convert_reaxnet(*files, tmp_path / "model.pt", d3=True)
    potential = pq.load(tmp_path / "model.pt")
    wanted = potential.evaluate(
        structure_of(*(torch.tensor(x) for x in (POSITIONS, NUMBERS, CELL)))
    )
    topology = topology_of([SYMBOLS[number] for number in NUMBERS], CELL)
    system = pq.create_system(potential, topology, backend=backend, precision="double")
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(POSITIONS * unit.angstrom)
    energy, forces = evaluated(context)
    assert wanted.forces is not None
    # both routes agree with the potential to 1e-6 eV/atom and 1e-6 eV/Å
    assert abs(energy - float(wanted.energy)) < 1e-6 * len(NUMBERS)
    np.testing.assert_allclose(forces, wanted.forces, rtol=0, atol=1e-6)
