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
from openmm_pqeq.training.samples import Edges


class Prediction(NamedTuple):
    """energy (n_frames,) eV without the shifts; forces (n_atoms, 3) eV/Å; stress (n_frames, 3, 3)
    eV/Å³, 0 without a cell."""

    energy: Tensor
    forces: Tensor
    stress: Tensor


def network_prediction(gnn: nn.Module, edges: Edges, create_graph: bool = False) -> Prediction:
    """Energy, forces and stress of the network alone; `create_graph` where a loss of them will be
    differentiated."""
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
        virial = outer.new_zeros(n_frames, 3, 3).index_add(
            0, edges.batch[edges.centers], 0.5 * (outer + outer.transpose(1, 2))
        )
        per_volume = torch.where(
            edges.volume > 0, 1 / edges.volume.clamp(min=1e-12), torch.zeros_like(edges.volume)
        )
        return Prediction(energy, forces, virial * per_volume[:, None, None])
