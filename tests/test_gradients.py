"""Forces are derivatives, and torch records none inside its inference mode: they are right there all
the same, or there is a message."""

import numpy as np
import openmm
import pytest
import torch
from through_openmm import (
    BOX,
    SALT,
    both_routes,
    context_of,
    evaluated,
    salt_positions,
    simulation_of,
    torchforce,
)

from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.gradients import recorded
from openmm_pqeq.potential import build
from openmm_pqeq.response import response
from openmm_pqeq.structure import structure_of

MODES = [torch.inference_mode, torch.no_grad, lambda: torch.set_grad_enabled(False)]
all_modes = pytest.mark.parametrize("mode", MODES, ids=["inference", "no_grad", "disabled"])
D3 = {"damping": "bj", "functional": "pbe", "cutoff": 7.0, "cn_cutoff": 5.0}
GNN = {"species": ["Na", "Cl"], "hidden_irreps": "4x0e+2x1o", "layers": 1, "r_max": 4.0, "seed": 1}
CONFIGS = {
    "network and ewald": {"gnn": GNN, "pqeq": {"protocol": "ewald", "tolerance": 1e-10}},
    "sweeps and d3": {"pqeq": {"protocol": "reaxnet", "cutoff": 5.0}, "d3": D3},
    "repulsion": {"zbl": {"inner": 1.0, "outer": 4.0}},
}


def salt():
    numbers = torch.tensor([11, 11, 17, 17])
    return structure_of(torch.tensor(salt_positions()), numbers, torch.tensor(BOX))


@all_modes
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", CONFIGS)
def test_forces_and_stress_inside_a_mode_without_gradients(name, compiled, mode):
    """Potential, structure and all made inside, and what has been used inside works outside."""
    potential = build(CONFIGS[name])
    expected = potential.evaluate(salt(), stress=True)
    with mode():
        made = build(CONFIGS[name])
        made = made.compile_for_inference() if compiled else made
        inside = made.evaluate(salt(), stress=True)
    outside = made.evaluate(salt(), stress=True)
    assert float(expected.forces.abs().max()) > 0.02
    for found in (inside, outside):
        torch.testing.assert_close(found.forces, expected.forces, atol=1e-8, rtol=0)
        torch.testing.assert_close(found.stress, expected.stress, atol=1e-9, rtol=0)


def test_tensors_of_inference_mode_are_copied():
    """A potential that somebody has copied, or moved to another type, inside the mode."""
    potential = build(CONFIGS["network and ewald"])
    expected = potential.evaluate(salt()).forces
    with torch.inference_mode():
        potential = potential.to(torch.float32).to(torch.float64)
        assert next(potential.parameters()).is_inference()
    found = potential.evaluate(salt()).forces
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert not next(potential.parameters()).is_inference()


@all_modes
def test_calculator_and_response(mode):
    import ase

    potential = build({"pqeq": {"protocol": "ewald", "tolerance": 1e-10}})
    atoms = ase.Atoms(SALT, salt_positions(), cell=BOX, pbc=True)
    wanted = PQEqCalculator(potential).get_property("forces", atoms)
    born = response(potential, salt())[1]
    with mode():
        assert np.allclose(
            PQEqCalculator(potential).get_property("forces", atoms), wanted, atol=1e-8
        )
        torch.testing.assert_close(response(potential, salt())[1], born, atol=1e-8, rtol=0)


@all_modes
def test_python_force_inside(network, mode):
    with mode():
        inside = evaluated(simulation_of(network, "python", precision="double").context)
    outside = evaluated(simulation_of(network, "python", precision="double").context)
    assert np.abs(outside[1]).max() > 0.01
    assert np.abs(inside[1] - outside[1]).max() < 1e-8


@torchforce
@all_modes
def test_torch_force_inside_says_so(network, mode):
    context = simulation_of(network, "torchscript").context
    with mode(), pytest.raises(openmm.OpenMMException, match=r"torch\.inference_mode.*outside"):
        evaluated(context)
    with mode(), recorded():
        evaluated(context)


@both_routes
def test_a_system_made_inside_works_outside(network, backend):
    with torch.inference_mode():
        system = simulation_of(network, backend, precision="double").system
    made = simulation_of(network, backend, precision="double").system
    inside, outside = (evaluated(context_of(one, salt_positions())) for one in (system, made))
    assert np.abs(inside[1] - outside[1]).max() < 1e-8


def test_no_derivative_is_zero_without_neighbours_only():
    """A silent zero would stand for any term that forgets to record."""
    potential = build(CONFIGS["repulsion"])
    far = structure_of(torch.tensor([[0.0, 0, 0], [0, 0, 30.0]]).double(), torch.tensor([11, 17]))
    assert float(potential.evaluate(far).forces.abs().max()) == 0.0

    class Forgetful(torch.nn.Module):
        def __init__(self, term):
            super().__init__()
            self.term = term

        def forward(self, structure, pairs, unstrained):
            part = self.term(structure, pairs, unstrained)
            return part._replace(energy=part.energy.detach())

    potential.terms["zbl"] = Forgetful(potential.terms["zbl"])
    with pytest.raises(RuntimeError, match="atoms have neighbours, and the energy has no deriv"):
        potential.evaluate(salt())


@pytest.mark.parametrize("name", CONFIGS)
def test_memories_of_inference_mode_do_no_harm(name):
    """Lists and solutions that a call of the module itself has left inside the mode."""
    made = build(CONFIGS[name]).compile_for_inference()
    with torch.inference_mode():
        made(salt())
    expected = build(CONFIGS[name]).evaluate(salt()).forces
    torch.testing.assert_close(made.evaluate(salt()).forces, expected, atol=1e-8, rtol=0)
