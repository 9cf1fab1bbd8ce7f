"""Every potential on a GPU that is not there: no operation meets tensors on two devices, and forces
are those of the CPU."""

import copy
from collections import Counter

import numpy as np
import pytest
import torch
import vesin_torch
from emulated_cuda import emulated
from openmm import unit
from pqeq_potentials import BONDED, TIGHT, potential_of
from pretend_cuda import PretendCuda, undisturbed
from structures import periodic_along, perovskite, rock_salt, salt, water, waters
from through_openmm import BOX, SALT, salt_positions, topology_of

from openmm_pqeq.d3 import dispersion
from openmm_pqeq.force import python_force
from openmm_pqeq.force.create import create_energy
from openmm_pqeq.force.module import FIELD_PARAMETERS, PeriodicEnergy
from openmm_pqeq.potential import build
from openmm_pqeq.pqeq import groups_of
from openmm_pqeq.pqeq.coulomb import splines
from openmm_pqeq.pqeq.sweeps import tapered
from openmm_pqeq.response import response
from openmm_pqeq.structure import Structure, collate, structure_of

NETWORK = {"species": ["Ba", "O", "Ti"], "hidden_irreps": "4x0e + 2x1o", "layers": 2, "r_max": 4.0}
D3 = {"functional": "pbe", "cutoff": 7.0, "cn_cutoff": 5.0}
BONDS = {"parameters": BONDED, "charge_flow": "bonds"}


def bonds(**settings):
    return build({"pqeq": {"protocol": "pme", "tolerance": TIGHT, **BONDS, **settings}})


MOST_WAITS = {"network": 12, "dispersion": 10, "pme": 16, "by bonds": 19, "reaxnet": 20}
"""Of a step: docs/performance.md."""

REAL_SEARCH = vesin_torch.NeighborList

CASES = {
    "network": lambda: (build({"gnn": NETWORK}), perovskite()),
    "dispersion": lambda: (build({"d3": {**D3, "damping": "bj"}}), perovskite()),
    "dispersion, zero damping": lambda: (build({"d3": {**D3, "damping": "zero"}}), perovskite()),
    "repulsion": lambda: (build({"zbl": {"species": ["Ba", "Ti", "O"]}}), perovskite()),
    "ewald": lambda: (potential_of("ewald"), salt()),
    "ewald, in a field": lambda: (potential_of("ewald"), salt((0.01, 0.0, 0.02))),
    "pme": lambda: (potential_of("pme"), rock_salt((11, 17), 5.64, repeat=1)),
    "direct": lambda: (potential_of("direct"), water()),
    "direct, full": lambda: (potential_of("direct", "full"), water()),
    "reaxnet": lambda: (potential_of("reaxnet", cutoff=5.0, tolerance=TIGHT), salt()),
    "reaxnet, published gradient": lambda: (
        potential_of("reaxnet", cutoff=5.0, stop_gradient=True),
        salt(),
    ),
    "slab": lambda: (potential_of("ewald"), slab()),
    "slab, pme": lambda: (potential_of("pme"), slab()),
    "fragments": lambda: (fragments(None), waters()),
    "electrodes": lambda: (fragments([([0, 1, 2], 0.3), ([3, 4, 5], -0.3)]), waters()),
    "batch": lambda: (potential_of("pme"), collate([salt(), salt((0.01, 0.0, 0.02))])),
    "by bonds": lambda: (bonds(), with_reference(rock_salt((11, 17), 5.64, repeat=1))),
    "by bonds, direct": lambda: (bonds(protocol="direct"), molecule_with_reference()),
    "energy of the field": lambda: (
        bonds(energy="field"),
        with_reference(rock_salt((11, 17), 5.64, repeat=1)),
    ),
}


def slab() -> Structure:
    return periodic_along(
        salt()._replace(field=torch.zeros(1, 3, dtype=torch.float64)), (True, True, False)
    )


def fragments(electrodes):
    n = len(waters().numbers)
    molecules = [[3 * k, 3 * k + 1, 3 * k + 2] for k in range(2 if electrodes else 0, n // 3)]
    groups = groups_of(n, molecules, electrodes=electrodes)
    return potential_of("ewald", "fragment").configured(groups=groups)


def with_reference(given: Structure) -> Structure:
    return given._replace(reference_charges=(14.0 - given.numbers).sign().to(torch.float64))


def molecule_with_reference() -> Structure:
    charges = torch.tensor([-2.0, 1.0, 1.0], dtype=torch.float64)
    return water()._replace(reference_charges=charges)


def moved(structure: Structure, device: str) -> Structure:
    return Structure(*(x.to(device) if isinstance(x, torch.Tensor) else x for x in structure))


class SearchOnAnyDevice:
    """vesin's search, which has CUDA kernels of its own: pairs come where the positions are."""

    def __init__(self, **settings):
        self._c, self.search = self, REAL_SEARCH(**settings)._c

    def compute(self, points, box, periodic, quantities, copy):
        assert points.device == box.device == periodic.device
        found = undisturbed(self.search.compute, points, box, periodic, quantities, copy)
        return [tensor.to(points.device) for tensor in found]


@pytest.fixture(autouse=True)
def searches(monkeypatch):
    monkeypatch.setattr(vesin_torch, "NeighborList", SearchOnAnyDevice)


@pytest.fixture
def cuda_kernels(monkeypatch):
    """Operators that have CUDA kernels run them, as a library built with CUDA does."""
    for module in (splines, dispersion, tapered):
        monkeypatch.setattr(module, "native_on", lambda tensor: True)
    with emulated(keep_calls=False):
        yield


def transfers(potential, steps: list[Structure]) -> Counter:
    """Transfers at the last of some steps on the GPU, where forces are those of the CPU."""
    again = copy.deepcopy(potential)
    with PretendCuda() as pretended:
        again.to("cuda")
        for step in steps:
            expected = undisturbed(potential.evaluate, step).forces
            there = moved(step, "cuda")
            pretended.transfers.clear()
            found = again.evaluate(there, stress=bool(step.pbc.any()))
            counted = pretended.transfers.copy()
            assert found.forces.is_cuda
            torch.testing.assert_close(found.forces.cpu(), expected, rtol=0.0, atol=1e-8)
    return counted


def walk(structure: Structure) -> list[Structure]:
    """Atoms move, then the cell changes with them."""
    moved = structure._replace(positions=1.01 * structure.positions)
    return [
        structure,
        moved,
        moved._replace(positions=1.001 * moved.positions, cell=1.001 * moved.cell),
        moved,
    ]


def test_the_pretended_gpu_refuses_what_a_gpu_does():
    with PretendCuda() as pretended:
        there = torch.arange(3.0, device="cuda").requires_grad_(True)
        here = torch.arange(3.0)
        assert there.is_cuda
        assert here.is_cpu
        assert there[here.long()].is_cuda  # torch allows that
        (slope,) = torch.autograd.grad((there * torch.tensor(2.0)).sum(), there)
        assert slope.is_cuda
        for operation in (torch.add, torch.mul, torch.dot):
            with pytest.raises(RuntimeError, match="tensors on two devices"):
                operation(there, here)
        with pytest.raises(RuntimeError, match="tensors on two devices"):
            torch.cat([there, here])
        with pytest.raises(TypeError, match="numpy"):
            there.detach().numpy()
        assert not pretended.transfers
        assert float(there.detach().sum()) == 3.0
        assert there.detach().cpu().is_cpu
        assert {why for why, _ in pretended.transfers} == {"a number is read", "cuda to cpu"}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_compiled_potentials_stay_on_one_device(case):
    torch.manual_seed(0)
    potential, structure = case()
    transfers(potential.compile_for_inference(), walk(structure))


@pytest.mark.usefixtures("cuda_kernels")
@pytest.mark.parametrize(
    "case", ["network", "dispersion", "pme", "batch", "reaxnet", "energy of the field"]
)
def test_so_do_their_cuda_kernels(case):
    torch.manual_seed(0)
    potential, structure = CASES[case]()
    transfers(potential.compile_for_inference(), walk(structure))


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_forces_on_a_gpu_are_those_of_the_cpu(case, gpu, monkeypatch):
    """A real one, with the search it has, and what OpenMM runs: scripted, step after step."""
    monkeypatch.undo()
    torch.manual_seed(0)
    potential, structure = case()
    on_cpu = potential.compile_for_inference()
    on_gpu = torch.jit.script(copy.deepcopy(on_cpu).to(gpu))
    for step in walk(structure):
        there = moved(step, str(gpu))
        positions = there.positions.clone().requires_grad_(True)
        energy = on_gpu(there._replace(positions=positions)).energy.sum()
        (gradient,) = torch.autograd.grad(energy, positions)
        expected = on_cpu.evaluate(step)
        torch.testing.assert_close(energy.cpu(), expected.energy.sum(), rtol=0.0, atol=1e-7)
        torch.testing.assert_close(-gradient.cpu(), expected.forces, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_potentials_as_trained_stay_on_one_device(case):
    torch.manual_seed(0)
    potential, structure = case()
    transfers(potential, [structure])


@pytest.mark.usefixtures("cuda_kernels")
@pytest.mark.parametrize("case", MOST_WAITS)
def test_a_step_seldom_waits_for_the_device(case):
    """A step without a new search, charges warm: docs/performance.md lists what it waits for."""
    torch.manual_seed(0)
    potential, structure = CASES[case]()
    counted = transfers(potential.compile_for_inference(), [structure] * 5)
    waits = {place: n for place, n in counted.items() if place[0] != "cpu to cuda"}
    assert sum(waits.values()) <= MOST_WAITS[case], waits


SOLVERS = ("minimum/ahead.py", "minimum/newton.py", "minimum/by_bonds.py", "sweeps/minres.py")


@pytest.mark.parametrize(("case", "most"), [("pme", 1.4), ("by bonds", 0.5), ("reaxnet", 0.6)])
def test_solutions_go_on_unwatched(case, most):
    """From nothing: how often the host looks at a solution, per product; watched, it is three times.
    Five looks belong to a Newton step itself."""
    torch.manual_seed(0)
    potential, structure = CASES[case]()
    compiled = potential.compile_for_inference()
    counted = transfers(compiled, [structure])
    looks = sum(n for (_, place), n in counted.items() if place.split(":")[0].endswith(SOLVERS))
    products = compiled.terms["pqeq"].products()
    assert products >= 5
    assert 0 < looks <= most * products, (looks, products, counted)


def test_a_solution_that_there_is_not_is_found_by_watching():
    """The message, and the atom, are those of the CPU."""
    two = structure_of(torch.tensor([[0.0, 0.0, 0.0], [0.3, 0.0, 0.0]]), torch.tensor([1, 1]))
    potential = potential_of("direct", parameters="pqeq0")
    with pytest.raises(RuntimeError, match="negative curvature") as on_cpu:
        potential.evaluate(two)
    with PretendCuda(), pytest.raises(RuntimeError, match="negative curvature") as on_gpu:
        copy.deepcopy(potential).to("cuda").evaluate(moved(two, "cuda"))
    assert str(on_gpu.value).split("residual")[0] == str(on_cpu.value).split("residual")[0]


@pytest.mark.parametrize("case", ["ewald", "pme", "by bonds", "fragments"])
def test_responses_stay_on_one_device(case):
    potential, structure = CASES[case]()
    expected = response(potential, structure)
    with PretendCuda():
        found = response(potential.to("cuda"), moved(structure, "cuda"))
        for ours, theirs in zip(found, expected):
            torch.testing.assert_close(ours.cpu(), theirs, rtol=0.0, atol=1e-8)


class State:
    """What PythonForce hands over."""

    def __init__(self, positions, box):
        self.positions, self.box = positions * unit.angstrom, box * unit.angstrom

    def getPositions(self, asNumpy):
        return self.positions

    def getPeriodicBoxVectors(self, asNumpy):
        return self.box

    def getParameters(self):
        return dict.fromkeys(FIELD_PARAMETERS, 0.0)


@pytest.mark.parametrize("precision", ["double", "mixed", "single"])
def test_the_python_route_moves_what_it_has_and_is_given(precision, monkeypatch):
    """The module before it is scripted; OpenMM's State has arrays of the CPU."""
    torch.manual_seed(0)
    config = {"pqeq": {"protocol": "pme"}, "gnn": {**NETWORK, "species": ["Na", "Cl"]}, "d3": D3}
    energy = create_energy(build(config), topology_of(SALT, BOX), precision=precision)
    module = PeriodicEnergy(energy).requires_grad_(False)
    states = [State(salt_positions() + 0.01 * step, np.array(BOX)) for step in range(3)]
    monkeypatch.setattr(python_force, "_device", lambda: "cpu")
    on_cpu = python_force.EnergyAndForces(copy.deepcopy(module), True)
    expected = [on_cpu(state) for state in states]
    monkeypatch.setattr(python_force, "_device", lambda: "cuda")
    with PretendCuda():
        on_gpu = python_force.EnergyAndForces(module, True)
        assert all(tensor.is_cuda for tensor in module.buffers())
        for state, (energy_expected, forces_expected) in zip(states, expected):
            found, forces = on_gpu(state)
            assert abs(found - energy_expected) < 1e-3
            np.testing.assert_allclose(forces, forces_expected, rtol=0.0, atol=0.05)
