"""A network made for evaluation gives the energies, forces and stress of the network it is made
from."""

import copy
import io

import laws
import pytest
import torch
from networks import MODELS, cluster, energy_of, network, perovskite

from openmm_pqeq import build, ops, save
from openmm_pqeq.gnn import InferenceNequIP, NequIP, can_be_fused
from openmm_pqeq.structure import Structure, structure_of

pytestmark = [
    pytest.mark.python_route,
    pytest.mark.skipif(
        not ops.available("equivariant_convolution"), reason=f"no such operator: {ops.status()}"
    ),
]

# eV/Å, forces of up to 3: in float64 the stated error of the tables; in float32 the rounding of
# both networks
FORCE = {torch.float64: 1e-9, torch.float32: 2e-5}


@pytest.fixture(params=list(MODELS))
def name(request):
    return request.param


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_same_energies_forces_and_stress(name, dtype):
    original = network(name).to(dtype)
    fast = InferenceNequIP(original)
    for structure in (perovskite(), cluster()):
        laws.close(
            energy_of(fast)(structure), energy_of(original)(structure), FORCE[dtype], "energy"
        )
        ours, expected = (laws.forces_of(energy_of(model), structure) for model in (fast, original))
        laws.close(ours, expected, FORCE[dtype], "forces")
    ours, expected = (laws.virial_of(energy_of(model), perovskite()) for model in (fast, original))
    laws.close(ours, expected, 10 * FORCE[dtype], "virial")  # eV, of vectors of 3 Å


def test_float32_is_as_near_float64_as_the_original_is(name):
    exact = laws.forces_of(energy_of(network(name)), perovskite())
    original = network(name).float()
    errors = [
        float((laws.forces_of(energy_of(m), perovskite()) - exact).abs().max())
        for m in (original, InferenceNequIP(original))
    ]
    assert errors[1] < 2.0 * errors[0] + 1e-6  # eV/Å


def test_laws(name):
    energy = energy_of(InferenceNequIP(network(name)))
    for structure in (perovskite(), cluster()):
        laws.assert_translation(energy, structure)
        laws.assert_rotation(energy, structure)
        laws.assert_permutation(energy, structure)
        laws.assert_forces(
            energy, structure, tolerance=2e-6
        )  # step² E‴/6, with E‴ up to 1000 eV/Å³
    laws.assert_any_image(energy, perovskite())
    laws.assert_supercell(energy, perovskite(), (2, 1, 2))
    laws.assert_batch(energy, [perovskite(), cluster()])
    laws.assert_stress(energy, perovskite(), tolerance=2e-7)


@pytest.mark.parametrize("species", [["Ti"], ["O", "Ti"], ["O", "Ti", "Ba", "Li"]])
def test_one_species_and_species_that_are_not_there(species):
    numbers = {"Ti": 22, "O": 8}
    present = [numbers[s] for s in species if s in numbers]
    structure = perovskite()._replace(
        numbers=torch.tensor([present[k % len(present)] for k in range(5)])
    )
    original = network("odd irreps", species=species)
    laws.close(
        laws.forces_of(energy_of(InferenceNequIP(original)), structure),
        laws.forces_of(energy_of(original), structure),
        1e-9,
        "forces",
    )


def test_atoms_without_neighbours(name):
    original = network(name)
    fast = InferenceNequIP(original)
    alone = structure_of(torch.zeros(1, 3, dtype=torch.float64), torch.tensor([8]))
    laws.close(energy_of(fast)(alone), energy_of(original)(alone), 1e-12, "energy")
    laws.close(
        laws.forces_of(energy_of(fast), alone),
        torch.zeros(1, 3, dtype=torch.float64),
        0.0,
        "forces",
    )
    laws.assert_size_consistency(energy_of(fast), alone, cluster())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_eager_scripted_frozen_loaded_and_copied_agree(name, dtype):
    fast = InferenceNequIP(network(name).to(dtype)).eval()
    scripted = torch.jit.script(fast)
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.freeze(scripted), buffer)
    buffer.seek(0)
    tolerance = 1e-12 if dtype == torch.float64 else 2e-6
    for other in (
        scripted,
        torch.jit.load(buffer),
        copy.deepcopy(fast),
        torch.jit.script(copy.deepcopy(fast)),
    ):
        for _ in range(3):  # the compiler changes its mind on the second and third call
            laws.close(
                energy_of(other)(perovskite()), energy_of(fast)(perovskite()), tolerance, "energy"
            )
            ours, expected = (
                laws.forces_of(energy_of(model), perovskite()) for model in (other, fast)
            )
            laws.close(ours, expected, tolerance, "forces")


def test_compiling_a_potential_leaves_it_as_it_is():
    potential = build(
        {
            "gnn": {
                "species": ["O", "Ti", "Ba"],
                "r_max": 3.2,
                "hidden_irreps": "8x0e + 4x1o",
                "sh_irreps": "1x0e + 1x1o",
            }
        }
    )
    fast = potential.compile_for_inference()
    assert isinstance(potential.gnn, NequIP)
    assert isinstance(fast.gnn, InferenceNequIP)
    assert isinstance(fast.compile_for_inference().gnn, InferenceNequIP)
    ours, expected = (p.evaluate(perovskite(), stress=True) for p in (fast, potential))
    laws.close(ours.energy, expected.energy, 1e-9, "energy")
    laws.close(ours.forces, expected.forces, 1e-9, "forces")
    laws.close(ours.stress, expected.stress, 1e-10, "stress")


def test_a_compiled_potential_is_not_saved(tmp_path):
    potential = build(
        {
            "gnn": {
                "species": ["O"],
                "hidden_irreps": "8x0e + 4x1o",
                "sh_irreps": "1x0e + 1x1o",
                "layers": 1,
            }
        }
    )
    with pytest.raises(ValueError, match="save the original"):
        save(potential.compile_for_inference(), tmp_path / "model.pt")
    assert not (tmp_path / "model.pt").exists()


def test_without_the_operators_the_network_stays(monkeypatch):
    monkeypatch.setattr(ops, "available", lambda operator=None: False)
    assert not can_be_fused(network("odd irreps"))
    potential = build(
        {
            "gnn": {
                "species": ["O", "Ti", "Ba"],
                "hidden_irreps": "8x0e + 4x1o",
                "sh_irreps": "1x0e + 1x1o",
                "layers": 1,
            }
        }
    )
    assert isinstance(potential.compile_for_inference().gnn, NequIP)


def test_second_derivatives_are_refused():
    energy = energy_of(InferenceNequIP(network("true parities")))
    positions = perovskite().positions.requires_grad_(True)
    (gradient,) = torch.autograd.grad(
        energy(perovskite()._replace(positions=positions)).sum(), positions, create_graph=True
    )
    with pytest.raises(RuntimeError, match="first derivatives"):
        torch.autograd.grad((gradient**2).sum(), positions)


def test_unknown_element_raises():
    structure = cluster()._replace(numbers=torch.tensor([22, 8, 1, 8, 56]))
    with pytest.raises(ValueError, match="atomic number 1"):
        energy_of(InferenceNequIP(network("true parities")))(structure)


@pytest.mark.gpu
def test_on_a_gpu(name, gpu):
    fast = InferenceNequIP(network(name))
    expected = laws.forces_of(energy_of(fast), perovskite())
    on_device = Structure(*(x.to(gpu) for x in perovskite()[:7]))
    laws.close(laws.forces_of(energy_of(fast.to(gpu)), on_device).cpu(), expected, 1e-9, "forces")
