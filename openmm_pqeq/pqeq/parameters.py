"""PQEq parameters per element: published sets, tables, and mappings.

    electronegativity χ (eV), hardness η (eV; the energy is ½ηq²), core charge Z (e), radius R (Å),
    spring constant K (kcal/mol/Å² in every table and mapping; eV/Å² inside)

An element without a shell (K absent or 0) is a plain Gaussian charge: its Z is set to 0, so that
core and shell never divide by K.

Sets that ship (data/pqeq_parameters.csv): `pqeq0` (103 elements), `pqeq1` (H C N O F Si P S Cl),
`pqeq3` [Naserifar et al., J. Chem. Phys. 146, 124117 (2017), doi:10.1063/1.4978891] and `reaxnet`
[Gao et al., Nat. Commun. 16, 10484 (2025)], the default. Fitted to response, each for one kind of
structure (docs/fitting.md): `batio3`,
`sio2` (α-quartz), `qm7b` (molecules of H C N O S Cl).
"""

import csv
import math
from importlib import resources
from pathlib import Path
from typing import IO, Mapping, NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.jobs.values import is_finite
from openmm_pqeq.structure import ATOMIC_NUMBERS, SYMBOLS
from openmm_pqeq.units import KCAL_PER_MOL_PER_EV

PUBLISHED_SETS = ("pqeq0", "pqeq1", "pqeq3", "reaxnet")
FITTED_SETS = ("batio3", "sio2", "qm7b")
COLUMNS = {
    "chi": "electronegativity",
    "eta": "hardness",
    "Z": "core_charge",
    "R_core": "radius",
    "K2": "spring_constant",
}

POINT_RADIUS = 0.01
"""Å, of charges that are meant to be points."""


class ElementParameters(NamedTuple):
    """One element, in the units of the tables: eV, eV, e, Å, kcal/mol/Å² (0: no shell)."""

    electronegativity: float
    hardness: float
    core_charge: float
    radius: float
    spring_constant: float


Parameters = dict[str, ElementParameters]


def resolve_parameters(parameters: str | Mapping[str, Mapping[str, float]]) -> Parameters:
    """Parameters from a published set's name, a path to a table, or a mapping of elements.

    A table is CSV with the columns of `data/pqeq_parameters.csv` (element, pol, chi, eta, Z,
    R_core, K2). Raises ValueError for an unknown set, element or name, and for values that are not
    physical.
    """
    if isinstance(parameters, Mapping):
        resolved = {symbol: _from_mapping(symbol, values) for symbol, values in parameters.items()}
    elif parameters in PUBLISHED_SETS:
        with (
            resources.files("openmm_pqeq.data")
            .joinpath("pqeq_parameters.csv")
            .open(encoding="utf-8") as table
        ):
            resolved = _read_table(table, parameters)
    elif parameters in FITTED_SETS:
        with (
            resources.files("openmm_pqeq.data")
            .joinpath(f"pqeq_{parameters}.csv")
            .open(encoding="utf-8") as table
        ):
            resolved = _read_table(table, None)
    elif isinstance(parameters, (str, Path)) and Path(parameters).is_file():
        with open(parameters, encoding="utf-8") as table:
            resolved = _read_table(table, None, f"parameters {parameters}")
    else:
        raise ValueError(
            f"parameters: expected one of the sets {', '.join(PUBLISHED_SETS + FITTED_SETS)}, the "
            "path of a table, or a mapping of"
            f" elements; got {parameters!r}, which is neither a set nor a file"
        )
    if not resolved:
        raise ValueError(f"parameters: no element in {parameters!r}; give at least one")
    for symbol, values in resolved.items():
        _check(symbol, values)
    return resolved


def _from_mapping(symbol: str, values: Mapping[str, float]) -> ElementParameters:
    names = ElementParameters._fields
    if not isinstance(values, Mapping) or not all(map(is_finite, values.values())):
        raise ValueError(f"parameters[{symbol!r}]: expected a table of numbers, got {values!r}")
    unknown, missing = set(values) - set(names), set(names) - set(values) - {"spring_constant"}
    if unknown or missing:
        raise ValueError(
            f"parameters[{symbol!r}]: expected the keys {', '.join(names)};"
            f" got {', '.join(map(str, values)) or 'none'} (unknown: {sorted(unknown)}, missing: "
            f"{sorted(missing)})"
        )
    return ElementParameters(*(float(values.get(name, 0.0)) for name in names))


def _read_table(table: IO[str], name: str | None, where: str = "parameters") -> Parameters:
    """The elements of a table, or of the set `name` in it; ValueError names row and column."""
    try:
        lines = [(number, line) for number, line in enumerate(table, 1) if line[:1] != "#"]
        reader = csv.DictReader(line for _, line in lines)
        columns, rows = reader.fieldnames or (), list(reader)
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: expected text in UTF-8 ({error})") from None
    except csv.Error as error:
        raise ValueError(f"{where}: expected a table in CSV ({error})") from None
    if missing := {"element", *COLUMNS} - set(columns):
        raise ValueError(
            f"{where}: the table has no column {sorted(missing)}; expected element, pol, "
            f"{', '.join(COLUMNS)}"
        )
    resolved = {}
    numbers = [number for number, line in lines[1:] if line.strip()]
    for number, row in zip(numbers, rows):
        if name is not None and row["set"] != name:
            continue
        place = f"{where}: row {number}"
        if None in row:
            raise ValueError(f"{place}: expected {len(columns)} cells, got more")
        values = ElementParameters(*(_cell(place, column, row[column]) for column in COLUMNS))
        if row.get("pol", "1") == "0":
            values = values._replace(spring_constant=0.0)
        resolved[row["element"]] = values
    return resolved


def _cell(place: str, column: str, text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        got = repr(text[:40]) if text else "nothing"
        raise ValueError(f"{place}, column {column}: expected a number, got {got}") from None


def _check(symbol: str, values: ElementParameters) -> None:
    if symbol not in ATOMIC_NUMBERS:
        raise ValueError(f"parameters: {symbol!r} is not an element's symbol")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"parameters[{symbol!r}]: expected finite numbers, got {values}")
    if values.radius <= 0 or values.hardness <= 0 or values.spring_constant < 0:
        raise ValueError(
            f"parameters[{symbol!r}]: radius and hardness must be positive, spring_constant 0 or "
            f"positive; got {values}"
        )


def spring_constant_ev(values: ElementParameters) -> float:
    """Spring constant in eV/Å²."""
    return values.spring_constant / KCAL_PER_MOL_PER_EV


def as_mapping(parameters: Parameters) -> dict[str, dict[str, float]]:
    """Plain dictionaries, as `build` takes them and checkpoints keep them."""
    return {symbol: values._asdict() for symbol, values in parameters.items()}


def parameter_rows(
    parameters: Parameters, polarizable: bool = True, gaussian: bool = True
) -> Tensor:
    """χ (eV), η (eV), Z (e), R (Å), K (eV/Å²) by atomic number, (119, 5) float64, ones where there
    are no parameters.

    polarizable : False leaves the shells out
    gaussian : False makes the charges points
    """
    rows = torch.ones(len(SYMBOLS), 5, dtype=torch.float64)
    for symbol, p in parameters.items():
        spring = spring_constant_ev(p)
        z, k = (p.core_charge, spring) if spring > 0 and polarizable else (0.0, 1.0)
        radius = p.radius if gaussian else POINT_RADIUS
        rows[ATOMIC_NUMBERS[symbol]] = torch.tensor(
            [p.electronegativity, p.hardness, z, radius, k], dtype=torch.float64
        )
    return rows
