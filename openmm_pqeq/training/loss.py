"""What is minimised, and what is reported.

With the force scale f = RMS of the training labels,

    L = w_E ⟨(ΔE/N)²⟩ / f² + w_F ⟨ΔF²⟩ / f² + w_S ⟨(V Δσ/N)²⟩ / f²         (lengths in Å)

in which ⟨⟩ runs over frames that have an energy, force components, and stress components of the
frames that have stress. With a force level F₀ the errors of an atom whose label is F count

    ΔF² F₀²/(F₀² + |F|²)

so that far above F₀ it is the relative error that is minimised: strong forces, of atoms that come
close in melts say, do not decide what becomes of the weak ones.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Sequence

import torch
from torch import Tensor, nn

from openmm_pqeq.training.pqeq import Polarizable
from openmm_pqeq.training.prediction import Prediction, network_prediction
from openmm_pqeq.training.samples import Samples, join


class Weights(NamedTuple):
    """w_E, w_F, w_S of the loss, the force scale f and the force level F₀ (eV/Å; 0: none)."""

    energy: float
    force: float
    stress: float
    scale: float
    level: float = 0.0


class Errors(NamedTuple):
    """energy meV/atom, force meV/Å (components), stress eV/Å³ (components; NaN without stress
    labels): MAE and RMSE of each."""

    energy_mae: float
    energy_rmse: float
    force_mae: float
    force_rmse: float
    stress_mae: float
    stress_rmse: float


def predict(model: nn.Module, samples: Samples, create_graph: bool = False) -> Prediction:
    """Energy, forces and stress of a network, or of a network and its PQEq, in the network's
    dtype."""
    if not isinstance(model, Polarizable):
        return network_prediction(model, samples, create_graph)
    network = network_prediction(model.gnn, samples, create_graph)
    charges = model.pqeq.predict(samples, create_graph)
    return Prediction(*(one + two.to(one.dtype) for one, two in zip(network, charges)))


def loss_of(predicted: Prediction, samples: Samples, weights: Weights) -> Tensor:
    """The loss L of a batch; unitless."""
    known = torch.isfinite(samples.energy)
    per_frame = torch.where(
        known,
        (predicted.energy - torch.nan_to_num(samples.energy)) / samples.counts,
        torch.zeros_like(samples.energy),
    )
    energy = per_frame.square().sum() / known.sum().clamp(min=1)
    forces = (
        by_level(samples.forces, weights.level) * (predicted.forces - samples.forces).square()
    ).mean()
    per_atom = (samples.volume / samples.counts)[:, None, None]
    labelled = torch.isfinite(samples.stress)
    virial = torch.where(
        labelled,
        (predicted.stress - torch.nan_to_num(samples.stress)) * per_atom,
        torch.zeros_like(samples.stress),
    )
    stress = virial.square().sum() / labelled.sum().clamp(min=1)
    return (
        weights.energy * energy + weights.force * forces + weights.stress * stress
    ) / weights.scale**2


def by_level(forces: Tensor, level: float) -> Tensor:
    """What squared errors of the forces (n_atoms, 3) count, (n_atoms, 1); 1 without a level."""
    if not level:
        return torch.ones_like(forces[:, :1])
    return level**2 / (level**2 + forces.square().sum(dim=1, keepdim=True))


def predict_all(model: nn.Module, frames: Sequence[Samples]) -> Prediction:
    """Predictions for many frames, one at a time on the network's device, laid end to end on the
    CPU; as the network evaluates, even while it is trained."""
    device, parts = next(model.parameters()).device, []
    with evaluating(model):
        for frame in frames:
            predicted = predict(model, Samples(*(one.to(device) for one in frame)))
            parts.append([value.detach().cpu() for value in predicted])  # not its graph
    return Prediction(*(torch.cat(values) for values in zip(*parts)))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """In evaluation mode: in training a network reads its radial weights between nodes. Then every
    part in the mode it had, which frozen ones have of their own."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def errors_of(predicted: Prediction, frames: Sequence[Samples]) -> Errors:
    """Errors of predictions of `frames`, over the labels that there are."""
    samples = join(frames)
    energy = (1000 * (predicted.energy - samples.energy) / samples.counts)[
        torch.isfinite(samples.energy)
    ]
    forces = 1000 * (predicted.forces - samples.forces).ravel()
    stress = (predicted.stress - samples.stress)[torch.isfinite(samples.stress)]

    def both(difference: Tensor) -> tuple[float, float]:
        difference = difference.to(torch.float64)
        return float(difference.abs().mean()), float(difference.square().mean().sqrt())

    return Errors(*both(energy), *both(forces), *both(stress))
