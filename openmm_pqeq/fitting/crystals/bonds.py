"""Bonds of small crystals, and how softly charge flows along them.

    E_b = p_b²/2σ_b + p_b (χ'_head − χ'_tail)(x − 1),   σ_b = σ_i σ_j f(x)
    f = exp(−a(x − 1)) (1 − (x/1.6)²)³,   x = r/(R_i + R_j),   zero beyond x = 1.6

with covalent radii R (Cordero et al., Dalton Trans. 2832 (2008), doi:10.1039/b801115j) and
a = ½(a_i + a_j). Bonds are between images; one from an atom to its own image moves no charge but
polarizes. Å, eV, e.
"""

from collections.abc import Sequence
from typing import NamedTuple

import ase
import numpy as np
import torch
from ase.neighborlist import neighbor_list
from torch import Tensor

from openmm_pqeq.covalent_radii import covalent_radii
from openmm_pqeq.pqeq.bonds import BOND_RANGE

FAR = 50.0
"""Å, the length of a bond that only fills up a batch."""


class Bonds(NamedTuple):
    """incidence : (b, n_bonds, n), +1 at the head, −1 at the tail, 0 for an atom and its own image
    ends : (b, n_bonds, n), ½ at both ends, 1 where they are one atom
    vectors : (b, n_bonds, 3) Å, r_head − r_tail
    reduced : (b, n_bonds) r/(R_i + R_j); lengths : (b, n_bonds) Å"""

    incidence: Tensor
    ends: Tensor
    vectors: Tensor
    reduced: Tensor
    lengths: Tensor


class OfLength(NamedTuple):
    """A property of bonds, (b, n_bonds), and its slope in r: σ_b (e²/eV), or h_b (V), the difference of
    potentials that a bond has by its length."""

    value: Tensor
    slope: Tensor


def make_bonds(crystals: Sequence[ase.Atoms]) -> Bonds:
    """Bonds of crystals with equally many atoms."""
    lists = [_half_list(atoms) for atoms in crystals]
    most, n = max(1, *(len(one[0]) for one in lists)), len(crystals[0])
    shape = (len(crystals), most)
    incidence, ends = np.zeros((*shape, n)), np.zeros((*shape, n))
    vectors = np.zeros((*shape, 3))
    vectors[..., 0] = FAR
    reduced = np.full(shape, 2.0 * BOND_RANGE)
    for index, (head, tail, vector, x) in enumerate(lists):
        row = np.arange(len(head))
        np.add.at(incidence[index], (row, head), 1.0)
        np.add.at(incidence[index], (row, tail), -1.0)
        np.add.at(ends[index], (row, head), 0.5)
        np.add.at(ends[index], (row, tail), 0.5)
        vectors[index, : len(head)] = vector
        reduced[index, : len(head)] = x
    of = torch.from_numpy
    lengths = of(np.linalg.norm(vectors, axis=2))
    return Bonds(of(incidence), of(ends), of(vectors), of(reduced), lengths)


def _half_list(atoms: ase.Atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Head, tail, r_head − r_tail, r/(R_i + R_j); each bond once."""
    radii = covalent_radii().numpy()[atoms.numbers]
    tail, head, vector, distance, shift = neighbor_list("ijDdS", atoms, BOND_RANGE * radii)
    first = np.array([tuple(s) > (0, 0, 0) for s in shift], dtype=bool)
    once = (tail < head) | ((tail == head) & first)
    reduced = distance / (radii[head] + radii[tail])
    return head[once], tail[once], vector[once], reduced[once]


def softness_of(bonds: Bonds, softness: Tensor, decay: Tensor) -> OfLength:
    """σ_b and dσ_b/dr from softness (b, n) e/√eV and decay (b, n)."""
    x = torch.clamp(bonds.reduced, max=BOND_RANGE)
    y = x / BOND_RANGE
    inside = 1 - y**2
    a = (bonds.ends @ decay.unsqueeze(2)).squeeze(2)
    both = torch.exp(2 * (bonds.ends @ torch.log(softness).unsqueeze(2)).squeeze(2))
    value = both * torch.exp(-a * (x - 1)) * inside**3
    slope = -both * torch.exp(-a * (x - 1)) * inside**2 * (a * inside + 6 * y / BOND_RANGE)
    return OfLength(value, slope * bonds.reduced / bonds.lengths)


def lean_of(bonds: Bonds, slope: Tensor) -> OfLength:
    """h_b = −(χ'_head − χ'_tail)(x − 1) and dh_b/dr from χ' (b, n) eV."""
    apart = -(bonds.incidence @ slope.unsqueeze(2)).squeeze(2)
    return OfLength(apart * (bonds.reduced - 1), apart * bonds.reduced / bonds.lengths)
