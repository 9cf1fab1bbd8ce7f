"""What is minimised, and what is reported.

From one derivative of the network's energy with respect to the pair vectors r_ij = r_j − r_i + S·cell, g_ij = ∂E/∂r_ij:

    F_i = Σ_j g_ij − Σ_j g_ji          σ_ab = (1/V) Σ_ij ½ (r_ij,a g_ij,b + r_ij,b g_ij,a)

so that training needs one double backward for forces and stress together. With the force scale f = RMS of the training labels,

    L = w_E ⟨(ΔE/N)²⟩ / f² + w_F ⟨ΔF²⟩ / f² + w_S ⟨(V Δσ/N)²⟩ / f²         (lengths in Å)

in which ⟨⟩ runs over frames, force components, and stress components of the frames that have stress.
"""

from typing import NamedTuple, Sequence

import torch
from torch import Tensor, nn

from openmm_pqeq.neighbors import Pairs
from openmm_pqeq.training.data import Edges, join


class Prediction(NamedTuple):
    """energy (n_frames,) eV without the shifts; forces (n_atoms, 3) eV/Å; stress (n_frames, 3, 3) eV/Å³, 0 without a cell."""

    energy: Tensor
    forces: Tensor
    stress: Tensor


class Weights(NamedTuple):
    """w_E, w_F, w_S of the loss and the force scale f (eV/Å)."""

    energy: float
    force: float
    stress: float
    scale: float


class Errors(NamedTuple):
    """energy meV/atom, force meV/Å (components), stress eV/Å³ (components; NaN without stress labels): MAE and RMSE of each."""

    energy_mae: float
    energy_rmse: float
    force_mae: float
    force_rmse: float
    stress_mae: float
    stress_rmse: float


def predict(gnn: nn.Module, edges: Edges, create_graph: bool = False) -> Prediction:
    """Energy, forces and stress of the network alone; `create_graph` where a loss of them will be differentiated."""
    with torch.enable_grad():
        vectors = edges.vectors.detach().requires_grad_(True)
        shifts = torch.zeros_like(vectors)  # the network reads vectors and distances only
        pairs = Pairs(edges.centers, edges.neighbors, shifts, vectors, vectors.norm(2, dim=1))
        atomic = gnn(edges.numbers, pairs).reshape(-1)
        (gradient,) = torch.autograd.grad([atomic.sum()], [vectors], create_graph=create_graph)
        n_frames = len(edges.counts)
        energy = atomic.new_zeros(n_frames).index_add(0, edges.batch, atomic)
        forces = gradient.new_zeros(len(edges.numbers), 3).index_add(0, edges.centers, gradient)
        forces = forces.index_add(0, edges.neighbors, -gradient)
        outer = edges.vectors.unsqueeze(2) * gradient.unsqueeze(1)
        virial = outer.new_zeros(n_frames, 3, 3).index_add(0, edges.batch[edges.centers], 0.5 * (outer + outer.transpose(1, 2)))
        per_volume = torch.where(edges.volume > 0, 1 / edges.volume.clamp(min=1e-12), torch.zeros_like(edges.volume))
        return Prediction(energy, forces, virial * per_volume[:, None, None])


def loss_of(predicted: Prediction, edges: Edges, weights: Weights) -> Tensor:
    """The loss L of a batch; unitless."""
    energy = ((predicted.energy - edges.energy) / edges.counts).square().mean()
    forces = (predicted.forces - edges.forces).square().mean()
    per_atom = (edges.volume / edges.counts)[:, None, None]
    labelled = torch.isfinite(edges.stress)
    virial = torch.where(labelled, (predicted.stress - torch.nan_to_num(edges.stress)) * per_atom, torch.zeros_like(edges.stress))
    stress = virial.square().sum() / labelled.sum().clamp(min=1)
    return (weights.energy * energy + weights.force * forces + weights.stress * stress) / weights.scale**2


def predict_all(gnn: nn.Module, frames: Sequence[Edges]) -> Prediction:
    """Predictions for many frames, one at a time on the network's device, laid end to end on the CPU."""
    device = next(gnn.parameters()).device
    parts = [predict(gnn, Edges(*(values.to(device) for values in frame))) for frame in frames]
    return Prediction(*(torch.cat([value.detach().cpu() for value in values]) for values in zip(*parts)))


def errors_of(predicted: Prediction, frames: Sequence[Edges]) -> Errors:
    """Errors of predictions of `frames`."""
    edges = join(frames)
    energy = 1000 * (predicted.energy - edges.energy) / edges.counts
    forces = 1000 * (predicted.forces - edges.forces).ravel()
    stress = (predicted.stress - edges.stress)[torch.isfinite(edges.stress)]

    def both(difference: Tensor) -> tuple[float, float]:
        difference = difference.to(torch.float64)
        return float(difference.abs().mean()), float(difference.square().mean().sqrt())

    return Errors(*both(energy), *both(forces), *both(stress))
