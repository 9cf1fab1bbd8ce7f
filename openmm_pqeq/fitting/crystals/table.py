"""The rows that are fitted: one for every element, and one for every type that has enough crystals.

A type is an element with its reference charge, rounded: `Cl-`, `Cl5+`, `S2-`. An atom without a row
of its type takes that of its element. In the coordinates of the fit every table is a convex one,
for any structure (charges by bonds), or nearly so (free flow):

    η = 2k_eγ/√π + 0.3 eV + exp(u_η),    K = Z² [1.1 k_e 4γ³/(3√π) + exp(u_K)],    γ of R = exp(u_R)

and χ, log Z, log σ, log a, χ' as they are. By bonds only K/Z² matters, and Z is 1.
Å, eV, e.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from openmm_pqeq.fitting.crystals.data import Crystal
from openmm_pqeq.pqeq.coulomb.kernels import dipole_self_energy, gaussian_self_energy
from openmm_pqeq.pqeq.kinds import kind_name, split_kind
from openmm_pqeq.pqeq.parameters import (
    PUBLISHED_SETS,
    ElementParameters,
    resolve_parameters,
    spring_constant_ev,
)
from openmm_pqeq.structure import ATOMIC_NUMBERS, SYMBOLS

HARDNESS_MARGIN = 0.3
"""eV, of a hardness above a Gaussian's interaction with itself."""
SPRING_MARGIN = 1.1
"""Smallest K over that of a Gaussian dipole with itself."""
NARROWEST, WIDEST = 0.5, 2.8
"""Å, of the Gaussians' radii."""
HARDER, STIFFER = 1.5, 6.0
"""Where a fit starts: factors on published hardnesses and springs, which give ε∞ far too large."""


class Kind(NamedTuple):
    """A row: an atomic number, and a reference charge or None for the element's own row."""

    number: int
    charge: int | None

    @property
    def label(self) -> str:
        """Such as Cl, Cl-, Cl5+, Cl0."""
        if self.charge is None:
            return SYMBOLS[self.number]
        return kind_name(SYMBOLS[self.number], self.charge)


class Columns(NamedTuple):
    """What a row has: names, starts of those that no published table has, how far a coordinate may
    go from its start, and the width that a prior of 1 gives it."""

    names: tuple[str, ...]
    reach: tuple[float, ...]
    width: tuple[float, ...]


BOND_COLUMNS = Columns(
    ("chi", "eta", "K", "R", "softness", "decay", "slope"),
    (20.0, 4.0, 4.0, 9.0, 4.0, 1.5, 30.0),
    (6.0, 1.5, 1.5, 0.35, 1.5, 0.3, 6.0),
)
SHELL_COLUMNS = Columns(
    ("chi", "eta", "K", "R", "Z"), (20.0, 4.0, 4.0, 9.0, 0.9), (6.0, 1.5, 1.5, 0.35, 0.5)
)
SOFTNESS = 0.15
"""e/√eV, where a table has none: near what it became in earlier fits."""
NO_SHELL = 40.0
"""eV/(e Å)², K/Z² where a table has no shell."""
LEAST = 1e-3
"""eV and eV/(e Å)², of what η and K/Z² have above their bounds at the start."""


def kinds_of(crystals: Sequence[Crystal], least: int, typed: bool) -> list[Kind]:
    """Rows of these crystals: all elements, then, where `typed`, all types that are in `least`
    crystals or more."""
    count = count_ions(crystals)
    elements = [Kind(number, None) for number in sorted({kind.number for kind in count})]
    return elements + [kind for kind in sorted(count) if typed and count[kind] >= least]


def ions_of(crystal: Crystal) -> set[Kind]:
    """Its elements with their reference charges, to the next whole one."""
    charges = np.rint(crystal.charges).astype(int)
    return set(map(Kind, crystal.atoms.numbers.tolist(), charges.tolist()))


def count_ions(crystals: Sequence[Crystal]) -> Counter[Kind]:
    """In how many crystals each of their ions is."""
    return Counter(ion for crystal in crystals for ion in ions_of(crystal))


def parents_of(kinds: Sequence[Kind]) -> list[int]:
    """The index of each type's element, −1 for elements."""
    return [-1 if kind.charge is None else kinds.index(Kind(kind.number, None)) for kind in kinds]


def rows_of(crystal: Crystal, kinds: Sequence[Kind]) -> list[int]:
    """For each atom the index of its row, −1 where its element has none."""
    place = {kind: index for index, kind in enumerate(kinds)}
    charges = np.rint(crystal.charges).astype(int)
    return [
        place.get(Kind(int(number), int(charge)), place.get(Kind(int(number), None), -1))
        for number, charge in zip(crystal.atoms.numbers, charges)
    ]


def rows_to_start(parameters: str) -> dict[Kind, ElementParameters]:
    """Rows of a fitted set or of the table of an earlier fit as they are; of a published set with
    harder charges and stiffer springs."""
    rows = {Kind(*_split(name)): p for name, p in resolve_parameters(parameters).items()}
    if parameters not in PUBLISHED_SETS:
        return rows
    return {
        kind: p._replace(hardness=HARDER * p.hardness, spring_constant=STIFFER * p.spring_constant)
        for kind, p in rows.items()
    }


def _split(name: str) -> tuple[int, int | None]:
    element, charge = split_kind(name)
    return ATOMIC_NUMBERS[element], charge


def start_of(
    kinds: Sequence[Kind], columns: Columns, rows: dict[Kind, ElementParameters]
) -> np.ndarray:
    """Coordinates of the rows, one after the other; a type that has none starts as its element."""
    values = []
    for kind in kinds:
        p = rows.get(kind, rows[Kind(kind.number, None)])
        radius = torch.tensor(min(max(p.radius, NARROWEST), WIDEST), dtype=torch.float64)
        charge, dipole = float(gaussian_self_energy(radius)), float(dipole_self_energy(radius))
        shell = p.core_charge > 0 and p.spring_constant > 0
        stiffness = spring_constant_ev(p) / p.core_charge**2 if shell else NO_SHELL
        own = {
            "chi": p.electronegativity,
            "eta": np.log(max(p.hardness - charge - HARDNESS_MARGIN, LEAST)),
            "K": np.log(max(stiffness - SPRING_MARGIN * dipole, LEAST)),
            "R": np.log(float(radius)),
            "Z": np.log(p.core_charge if shell else 1.0),
            "softness": np.log(p.softness or SOFTNESS),
            "decay": np.log(p.decay),
            "slope": p.electronegativity_slope,
        }
        values.append([own[name] for name in columns.names])
    return np.array(values).ravel()


def bounds_of(start: np.ndarray, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest coordinates."""
    n_columns = len(columns.names)
    reach = np.tile(columns.reach, len(start) // n_columns)
    low, high = start - reach, start + reach
    radii = slice(columns.names.index("R"), None, n_columns)
    low[radii], high[radii] = np.log(NARROWEST), np.log(WIDEST)
    return low, high


def hardness_of(u: Tensor, radius: Tensor) -> Tensor:
    """η in eV."""
    return gaussian_self_energy(radius) + HARDNESS_MARGIN + torch.exp(u)


def stiffness_of(u: Tensor, radius: Tensor) -> Tensor:
    """K/Z² in eV/(e Å)²."""
    return SPRING_MARGIN * dipole_self_energy(radius) + torch.exp(u)
