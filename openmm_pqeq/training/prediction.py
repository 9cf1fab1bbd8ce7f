"""Predictions of the network for frames laid end to end.

From one derivative of the network's energy with respect to the pair vectors r_ij = r_j − r_i +
S·cell, g_ij = ∂E/∂r_ij:

    F_i = Σ_j g_ij − Σ_j g_ji          σ_ab = (1/V) Σ_ij ½ (r_ij,a g_ij,b + r_ij,b g_ij,a)

so that training needs one double backward for forces and stress together. eV, eV/Å, eV/Å³.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from openmm_pqeq.neighbors.pairs import Pairs
from openmm_pqeq.training.samples import Samples


class Prediction(NamedTuple):
    """energy (n_frames,) eV without the shifts; forces (n_atoms, 3) eV/Å; stress (n_frames, 3, 3)
    eV/Å³, 0 without a cell."""

    energy: Tensor
    forces: Tensor
    stress: Tensor


def network_prediction(gnn: nn.Module, samples: Samples, create_graph: bool = False) -> Prediction:
    """Energy, forces and stress of the network alone; `create_graph` where a loss of them will be
    differentiated."""
    with torch.enable_grad():
        vectors = samples.vectors.detach().requires_grad_(True)
        atomic = atomic_energies(gnn, samples, vectors)
        (gradient,) = torch.autograd.grad([atomic.sum()], [vectors], create_graph=create_graph)
        return assembled(samples, atomic, gradient)


def atomic_energies(gnn: nn.Module, samples: Samples, vectors: Tensor) -> Tensor:
    """(n_atoms,) eV, with other pair vectors (n_pairs, 3) Å than those of the samples."""
    shifts = torch.zeros_like(vectors)  # the network reads vectors and distances only
    pairs = Pairs(samples.centers, samples.neighbors, shifts, vectors, vectors.norm(2, dim=1))
    energies: Tensor = gnn(samples.numbers, pairs)
    return energies.reshape(-1)


def assembled(samples: Samples, atomic: Tensor, gradient: Tensor) -> Prediction:
    """The prediction from atomic energies (n_atoms,) eV and g (n_pairs, 3) eV/Å."""
    n_frames = len(samples.counts)
    energy = atomic.new_zeros(n_frames).index_add(0, samples.batch, atomic)
    forces = gradient.new_zeros(len(samples.numbers), 3).index_add(0, samples.centers, gradient)
    forces = forces.index_add(0, samples.neighbors, -gradient)
    outer = samples.vectors.unsqueeze(2) * gradient.unsqueeze(1)
    virial = outer.new_zeros(n_frames, 3, 3).index_add(
        0, samples.batch[samples.centers], 0.5 * (outer + outer.transpose(1, 2))
    )
    per_volume = torch.where(
        samples.volume > 0,
        1 / samples.volume.clamp(min=1e-12),
        torch.zeros_like(samples.volume),
    )
    return Prediction(energy, forces, virial * per_volume[:, None, None])
