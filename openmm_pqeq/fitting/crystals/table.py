"""The rows that are fitted: one for every element, and one for every type that has enough crystals.

A type is an element with its reference charge, rounded: `Cl-`, `Cl5+`, `S2-`. An atom without a row
of its type takes that of its element. In the coordinates of the fit every table is a convex one,
for any structure (charges by bonds), or nearly so (free flow):

    η = 2k_eγ/√π + 0.3 eV + exp(u_η),    K = Z² [1.1 k_e 4γ³/(3√π) + exp(u_K)],    γ of R = exp(u_R)

and χ, log Z, log σ, log a as they are. By bonds only K/Z² matters, and Z is 1.
Å, eV, e.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from openmm_pqeq.fitting.crystals.data import Crystal
from openmm_pqeq.fitting.crystals.waves import self_charge, self_dipole
from openmm_pqeq.pqeq.parameters import resolve_parameters, spring_constant_ev
from openmm_pqeq.structure import ATOMIC_NUMBERS, SYMBOLS
from openmm_pqeq.units import KCAL_PER_MOL_PER_EV

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
        size = str(abs(self.charge)) if abs(self.charge) != 1 else ""
        sign = "" if self.charge == 0 else "-" if self.charge < 0 else "+"
        return f"{SYMBOLS[self.number]}{size}{sign}"


class Columns(NamedTuple):
    """What a row has: names, starts of those that no published table has, how far a coordinate may
    go from its start, and the width that a prior of 1 gives it."""

    names: tuple[str, ...]
    reach: tuple[float, ...]
    width: tuple[float, ...]


BOND_COLUMNS = Columns(
    ("chi", "eta", "K", "R", "softness", "decay"),
    (20.0, 4.0, 4.0, 9.0, 4.0, 1.5),
    (6.0, 1.5, 1.5, 0.35, 1.5, 0.3),
)
SHELL_COLUMNS = Columns(
    ("chi", "eta", "K", "R", "Z"), (20.0, 4.0, 4.0, 9.0, 0.9), (6.0, 1.5, 1.5, 0.35, 0.5)
)
SOFTNESS, DECAY = 0.15, 4.5
"""Where σ (e/√eV) and a start: near what they became in earlier fits."""
LEAST = 1e-3
"""eV and eV/(e Å)², of what η and K/Z² have above their bounds at the start."""


def kinds_of(crystals: Sequence[Crystal], least: int, typed: bool) -> list[Kind]:
    """Rows of these crystals: all elements, then, where `typed`, all types that are in `least`
    crystals or more."""
    count: Counter[tuple[int, int]] = Counter()
    for crystal in crystals:
        charges = np.rint(crystal.charges).astype(int)
        count.update(set(zip(crystal.atoms.numbers.tolist(), charges.tolist())))
    elements = [Kind(number, None) for number in sorted({number for number, _ in count})]
    return elements + [Kind(*pair) for pair in sorted(count) if typed and count[pair] >= least]


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


class Row(NamedTuple):
    """A row of a table: χ eV, η eV, Z e, R Å, K eV/Å², σ e/√eV (0 where the table has none), a."""

    chi: float
    eta: float
    core: float
    radius: float
    spring: float
    softness: float = 0.0
    decay: float = 0.0


def rows_to_start(parameters: str) -> dict[Kind, Row]:
    """Rows of a table that a fit to crystals has written, or of a set of published parameters with
    harder charges, stiffer springs and a usual softness."""
    path = Path(parameters)
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
        if rows and "reference_charge" in rows[0]:
            return {_kind(row): _row(row, path) for row in rows}
    found = {}
    for symbol, p in resolve_parameters(parameters).items():
        core = p.core_charge if p.spring_constant > 0 else 1.0
        spring = max(STIFFER * spring_constant_ev(p) / core**2, 2.0) * core**2
        row = Row(p.electronegativity, HARDER * p.hardness, core, p.radius, spring, SOFTNESS, DECAY)
        found[Kind(ATOMIC_NUMBERS[symbol], None)] = row
    return found


def _kind(row: dict[str, str]) -> Kind:
    charge = row["reference_charge"]
    return Kind(ATOMIC_NUMBERS.get(row["element"], 0), int(charge) if charge else None)


def _row(row: dict[str, str], path: Path) -> Row:
    try:
        chi, eta, core, radius, spring = (
            float(row[c]) for c in ("chi", "eta", "Z", "R_core", "K2")
        )
        softness, decay = (float(row.get(c) or d) for c, d in (("softness", 0.0), ("decay", DECAY)))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"parameters {path}: expected numbers in chi, eta, Z, R_core and K2 ({error})"
        ) from None
    return Row(chi, eta, core, radius, spring / KCAL_PER_MOL_PER_EV, softness or SOFTNESS, decay)


def start_of(kinds: Sequence[Kind], columns: Columns, rows: dict[Kind, Row]) -> np.ndarray:
    """Coordinates of the rows, one after the other; a type that has none starts as its element."""
    values = []
    for kind in kinds:
        row = rows.get(kind, rows[Kind(kind.number, None)])
        radius = min(max(row.radius, NARROWEST), WIDEST)
        charge, dipole = (
            float(of(torch.tensor(radius, dtype=torch.float64)))
            for of in (self_charge, self_dipole)
        )
        core = row.core if "Z" in columns.names else 1.0
        own = {
            "chi": row.chi,
            "eta": np.log(max(row.eta - charge - HARDNESS_MARGIN, LEAST)),
            "K": np.log(max(row.spring / row.core**2 - SPRING_MARGIN * dipole, LEAST)),
            "R": np.log(radius),
            "Z": np.log(core),
            "softness": np.log(row.softness),
            "decay": np.log(row.decay),
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
    return self_charge(radius) + HARDNESS_MARGIN + torch.exp(u)


def stiffness_of(u: Tensor, radius: Tensor) -> Tensor:
    """K/Z² in eV/(e Å)²."""
    return SPRING_MARGIN * self_dipole(radius) + torch.exp(u)
