"""Screened repulsion of nuclei at short distances, after Ziegler, Biersack and Littmark.

    E = ½ Σ_{i≠j or an image} (k_e Z_i Z_j / r) φ(r / a_ij) s(r),     a_ij = 0.46850 Å / (Z_i^0.23 + Z_j^0.23)
    φ(x) = 0.18175 e^(−3.19980 x) + 0.50986 e^(−0.94229 x) + 0.28022 e^(−0.40290 x) + 0.02817 e^(−0.20162 x)
    s(r) = 1 up to `inner`, 0 from `outer`;  x³ (10 − 15 x + 6 x²) between, x = (outer − r) / (outer − inner)

`inner` and `outer` are lengths, or multiples of the sum of both covalent radii (covalent_radii.py).

J. F. Ziegler, J. P. Biersack, U. Littmark, The Stopping and Range of Ions in Solids, vol. 1,
Pergamon, New York (1985), chapter 2: the universal screening function, a fit to 261 pairs of
elements from hydrogen to uranium, with the digits of LAMMPS's pair_style zbl; 0.46850 Å is 0.8854
bohr. eV, Å. Differentiable any number of times; two derivatives are continuous at `inner` and
`outer`.

A network knows nothing of atoms closer than those it was trained on. With this term beneath it
they repel each other as nuclei do.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from openmm_pqeq.contract import Contribution, dtype_of, made_of, of_atoms
from openmm_pqeq.covalent_radii import covalent_radii
from openmm_pqeq.jobs.values import is_finite
from openmm_pqeq.neighbors.pairs import Pairs, subset
from openmm_pqeq.structure import ATOMIC_NUMBERS, SYMBOLS, Structure
from openmm_pqeq.units import COULOMB

FARTHEST = 100.0
"""Å, of the end of the repulsion."""
AMPLITUDES = (0.18175, 0.50986, 0.28022, 0.02817)
DECAYS = (3.19980, 0.94229, 0.40290, 0.20162)
SCREENING_LENGTH, SCREENING_POWER = 0.46850, 0.23
"""Å, and of Z."""


class ZBL(nn.Module):
    """Repulsion of nuclei; a `contract.Term`.

    Parameters
    ----------
    inner : Å, up to which the repulsion is whole
    outer : Å, from which there is none
    species : elements to be known, default all
    of_radii : `inner` and `outer` are multiples of the sum of both covalent radii instead, as one
        length is too long for O–H where it is short for Cs–I. Bonds are as short as 0.68 of that
        (uranyl), 0.77 (N2) and 0.72 (vanadyl)

    The defaults touch no bond of 1.6 Å or more, such as those of metals with oxygen. Shorter ones
    they do (5.1 eV for O–H at 0.96 Å, 2.2 eV for C–H at 1.09 Å): for molecules take `inner=0.4,
    outer=0.9`. A network is to be trained with the term, which is subtracted from its labels.

    Raises ValueError for distances that are none, and for an element that is not known.
    """

    charges: Tensor
    lengths: Tensor
    amplitudes: Tensor
    decays: Tensor

    __jit_ignored_attributes__ = ("settings",)

    def __init__(
        self,
        inner: float = 0.8,
        outer: float = 1.6,
        species: Sequence[str] | None = None,
        of_radii: bool = False,
    ):
        super().__init__()
        numbers = is_finite(inner) and is_finite(outer)
        if not (numbers and 0.0 <= inner < outer <= FARTHEST):
            raise ValueError(
                f"inner, outer: expected distances in Å, 0 <= inner < outer <= {FARTHEST:g}; got "
                f"{inner}, {outer}"
            )
        self.species = SYMBOLS[1:] if species is None else list(species)
        if unknown := [symbol for symbol in self.species if symbol not in ATOMIC_NUMBERS]:
            raise ValueError(
                f"species: expected element symbols such as ['Ba', 'Ti', 'O'], got {unknown[0]!r}"
            )
        self.label = "repulsion"
        self.inner, self.outer = float(inner), float(outer)
        self.settings: dict[str, Any] = {"inner": self.inner, "outer": self.outer}
        if species is not None:
            self.settings["species"] = self.species
        if of_radii:
            self.settings["of_radii"] = True
        # of two atoms their sum is the unit of `inner` and `outer`: 1 Å, unless these are multiples
        lengths = covalent_radii() if of_radii else torch.full([len(SYMBOLS)], 0.5)
        longest = max(float(lengths[ATOMIC_NUMBERS[symbol]]) for symbol in self.species)
        self.cutoff = self.outer * 2.0 * longest
        self.length, self.power, self.coulomb = SCREENING_LENGTH, SCREENING_POWER, COULOMB
        for name, values in (
            ("charges", range(len(SYMBOLS))),
            ("lengths", lengths.tolist()),
            ("amplitudes", AMPLITUDES),
            ("decays", DECAYS),
        ):
            table = torch.tensor(values, dtype=torch.float64)
            self.register_buffer(name, table, persistent=False)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], species: list[str] | None) -> Self:
        """One with these arguments."""
        return made_of("zbl", cls, settings)

    def forward(self, structure: Structure, pairs: Pairs, unstrained: Tensor) -> Contribution:
        """Half of each pair's energy to each of its atoms; computed in the dtype of the tables."""
        lengths = self.lengths[structure.numbers]
        unit = lengths[pairs.centers] + lengths[pairs.neighbors]
        # mostly there are none, and nothing else to compute
        near = subset(pairs, torch.nonzero(pairs.distances < self.outer * unit).squeeze(1))
        z = self.charges[structure.numbers]
        energies = 0.5 * self.repulsion(
            z[near.centers], z[near.neighbors], near.distances.to(z.dtype)
        )
        return of_atoms(torch.zeros_like(z).index_add(0, near.centers, energies), structure)

    def repulsion(self, z_i: Tensor, z_j: Tensor, r: Tensor) -> Tensor:
        """Energies of pairs, eV, from nuclear charges and distances (Å), all (n_pairs,)."""
        reduced = r * (z_i**self.power + z_j**self.power) / self.length
        screening = (self.amplitudes * torch.exp(-reduced.unsqueeze(1) * self.decays)).sum(1)
        unit = self.lengths[z_i.to(torch.int64)] + self.lengths[z_j.to(torch.int64)]
        x = ((self.outer - r / unit) / (self.outer - self.inner)).clamp(0.0, 1.0)
        switch = x * x * x * (10.0 + x * (6.0 * x - 15.0))
        return self.coulomb * z_i * z_j / r * screening * switch

    def in_precision(self, precision: str) -> Self:
        """Tables in float64 or float32."""
        return self.to(dtype_of(precision))

    def for_inference(self, skin: float) -> Self:
        """Itself: it has no list of its own, and nothing to prepare."""
        return self
