"""The loss by its definition, and its limit laws in the force level."""

import pytest
import torch

from openmm_pqeq.training.loss import Weights, loss_of
from openmm_pqeq.training.prediction import Prediction
from openmm_pqeq.training.samples import Samples

N_ATOMS = 5


@pytest.fixture
def batch():
    """A frame whose forces go from 0.01 to 100 eV/Å."""
    generator = torch.Generator().manual_seed(2)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    forces = random(N_ATOMS, 3)
    forces *= torch.logspace(-2, 2, N_ATOMS, dtype=torch.float64)[:, None] / forces.norm(
        dim=1, keepdim=True
    )
    nothing, one = torch.zeros(0), torch.ones(1)
    samples = Samples(
        numbers=torch.ones(N_ATOMS),
        batch=torch.zeros(N_ATOMS, dtype=torch.int64),
        centers=nothing,
        neighbors=nothing,
        vectors=nothing,
        counts=one * N_ATOMS,
        volume=one * 30.0,
        energy=random(1),
        forces=forces,
        stress=random(1, 3, 3),
        positions=nothing,
        cell=nothing,
        pbc=nothing,
        total_charge=nothing,
        reference_charges=nothing,
    )
    return samples, Prediction(random(1), random(N_ATOMS, 3), random(1, 3, 3))


def loss(batch, **weights):
    samples, predicted = batch
    return float(
        loss_of(predicted, samples, Weights(**{"energy": 0, "force": 0, "stress": 0} | weights))
    )


def test_the_three_parts(batch):
    samples, predicted = batch
    errors = [
        one - other
        for one, other in zip(predicted, (samples.energy, samples.forces, samples.stress))
    ]
    energy = float(errors[0].square().sum()) / N_ATOMS**2
    force = float(errors[1].square().sum()) / (3 * N_ATOMS)
    stress = float(errors[2].square().mean()) * (30.0 / N_ATOMS) ** 2
    assert loss(batch, energy=2.0, scale=0.5) == pytest.approx(2.0 * energy / 0.25)
    assert loss(batch, force=3.0, scale=0.5) == pytest.approx(3.0 * force / 0.25)
    assert loss(batch, stress=4.0, scale=0.5) == pytest.approx(4.0 * stress / 0.25)


def test_a_level_far_above_all_forces_is_none(batch):
    whole = loss(batch, force=1.0, scale=1.0)
    assert loss(batch, force=1.0, scale=1.0, level=1e5) == pytest.approx(whole, rel=1e-5)
    assert loss(batch, force=1.0, scale=1.0, level=0.0) == whole
    assert loss(batch, force=1.0, scale=1.0, level=1.0) < whole


def test_a_level_far_below_all_forces_minimises_relative_errors(batch):
    """⟨(ΔF/|F|)²⟩ F₀²."""
    samples, predicted = batch
    relative = (predicted.forces - samples.forces) / samples.forces.norm(dim=1, keepdim=True)
    expected = float(relative.square().mean()) * 1e-10
    assert loss(batch, force=1.0, scale=1.0, level=1e-5) == pytest.approx(expected, rel=1e-5)
