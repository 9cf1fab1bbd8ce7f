"""PQEq parameters per element: published sets, tables, and mappings.

    electronegativity χ (eV), hardness η (eV; the energy is ½ηq²), core charge Z (e), radius R (Å),
    spring constant K (kcal/mol/Å² in every table and mapping; eV/Å² inside)

An element without a shell (K absent or 0) is a plain Gaussian charge: its Z is set to 0, so that
core and shell never divide by K.

Sets that ship (data/pqeq_parameters.csv): `pqeq0` (103 elements), `pqeq1` (H C N O F Si P S Cl),
`pqeq3` [Naserifar et al., J. Chem. Phys. 146, 124117 (2017), doi:10.1063/1.4978891] and `reaxnet`
[Gao et al., Nat. Commun. 16, 10484 (2025)], the default. Fitted to the response of some thousand
crystals (docs/response-parameters.md): `response`, for charges by bonds, and `response-free`, for
charges that flow freely. `molecules` (H C N O S Cl, reference charges 0) is for charges by bonds as
well. Fitted to one kind of structure each (docs/fitting.md): `batio3`, `sio2` (α-quartz).
"""

import csv
import difflib
import math
from importlib import resources
from pathlib import Path
from typing import IO, Mapping, NamedTuple, Sequence

import torch
from torch import Tensor

from openmm_pqeq.covalent_radii import covalent_radii
from openmm_pqeq.jobs.values import is_file, is_finite, shown
from openmm_pqeq.pqeq.bonds import BOND_DECAY
from openmm_pqeq.pqeq.coulomb.kernels import (
    dipole_self_energy,
    gaussian_self_energy,
)
from openmm_pqeq.pqeq.kinds import LARGEST_CHARGE, kind_name, split_kind
from openmm_pqeq.structure import ATOMIC_NUMBERS, SYMBOLS
from openmm_pqeq.units import KCAL_PER_MOL_PER_EV

PUBLISHED_SETS = ("pqeq0", "pqeq1", "pqeq3", "reaxnet")
FITTED_SETS = ("response", "response-free", "molecules", "batio3", "sio2")
WITHDRAWN_SETS = {
    "qm7b": "its charges had the wrong sign (hydrogen negative in water, dipole −1.2 D): use "
    "'molecules' with charge_flow = 'bonds' and reference charges 0"
}
COLUMNS = {
    "chi": "electronegativity",
    "eta": "hardness",
    "Z": "core_charge",
    "R_core": "radius",
    "K2": "spring_constant",
}

BOND_COLUMNS = {
    "softness": "softness",
    "covalent_radius": "covalent_radius",
    "decay": "decay",
    "chi_slope": "electronegativity_slope",
}
"""Of charges by bonds alone."""

NOT_READ = ("R_shell", "K4", "source")
"""Columns that published and fitted tables have besides."""
KNOWN_COLUMNS = ("set", "element", "reference_charge", "pol", *COLUMNS, *BOND_COLUMNS, *NOT_READ)

STEEPEST = 1000.0
"""eV, of the slope of an electronegativity along bonds: fitted ones are below 40."""
POINT_RADIUS = 0.01
"""Å, of charges that are meant to be points."""


class ElementParameters(NamedTuple):
    """One element, or one reference charge of an element, in the units of the tables: eV, eV, e, Å,
    kcal/mol/Å² (0: no shell); for charges by bonds e/√eV (0: nothing flows), Å, 1 and eV."""

    electronegativity: float
    hardness: float
    core_charge: float
    radius: float
    spring_constant: float
    softness: float = 0.0
    covalent_radius: float = 0.0
    decay: float = BOND_DECAY
    electronegativity_slope: float = 0.0


OPTIONAL = (
    "spring_constant",
    "softness",
    "covalent_radius",
    "decay",
    "electronegativity_slope",
)
"""Of `ElementParameters`; a covalent radius of 0 is the tabulated one."""

Parameters = dict[str, ElementParameters]
"""By element, such as Cl, and by element and reference charge, such as Cl- or Cl5+."""


def elements_of(parameters: Parameters) -> list[str]:
    """Elements with a row of their own, in the order of the table."""
    return [kind for kind in parameters if split_kind(kind)[1] is None]


def resolve_parameters(parameters: str | Mapping[str, Mapping[str, float]]) -> Parameters:
    """Parameters from a published set's name, a path to a table, or a mapping of elements.

    A table is CSV with the columns of `data/pqeq_parameters.csv` (element, pol, chi, eta, Z,
    R_core, K2), and those of `BOND_COLUMNS` where it is for charges by bonds. Raises ValueError for
    an unknown set, element, name or column, for rows and columns that are there twice, and for
    values that are not physical.
    """
    if isinstance(parameters, Mapping):
        resolved = {symbol: _from_mapping(symbol, values) for symbol, values in parameters.items()}
    elif isinstance(parameters, str) and parameters in PUBLISHED_SETS:
        with (
            resources.files("openmm_pqeq.data")
            .joinpath("pqeq_parameters.csv")
            .open(encoding="utf-8") as table
        ):
            resolved = _read_table(table, parameters)
    elif isinstance(parameters, str) and parameters in FITTED_SETS:
        with (
            resources.files("openmm_pqeq.data")
            .joinpath(f"pqeq_{parameters.replace('-', '_')}.csv")
            .open(encoding="utf-8") as table
        ):
            resolved = _read_table(table, None)
    elif isinstance(parameters, str) and parameters in WITHDRAWN_SETS:
        raise ValueError(
            f"parameters: the set {parameters!r} is withdrawn: {WITHDRAWN_SETS[parameters]}"
        )
    elif isinstance(parameters, (str, Path)) and is_file(parameters):
        with open(parameters, encoding="utf-8-sig") as table:
            resolved = _read_table(table, None, f"parameters {parameters}")
    else:
        raise ValueError(
            f"parameters: expected one of the sets {', '.join(PUBLISHED_SETS + FITTED_SETS)}, the "
            "path of a table, or a mapping of"
            f" elements; got {shown(parameters)}, which is neither a set nor a file"
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
    unknown, missing = set(values) - set(names), set(names) - set(values) - set(OPTIONAL)
    if unknown or missing:
        raise ValueError(
            f"parameters[{symbol!r}]: expected the keys {', '.join(names)}, the last "
            f"{len(OPTIONAL)} optional;"
            f" got {', '.join(map(str, values)) or 'none'} (unknown: {sorted(unknown)}, missing: "
            f"{sorted(missing)})"
        )
    absent = ElementParameters._field_defaults
    return ElementParameters(*(float(values.get(name, absent.get(name, 0.0))) for name in names))


def _read_table(table: IO[str], name: str | None, where: str = "parameters") -> Parameters:
    """The elements of a table, or of the set `name` in it; ValueError names row and column."""
    try:
        lines = [(number, line) for number, line in enumerate(table, 1) if line[:1] != "#"]
        reader = csv.DictReader(line for _, line in lines)
        columns, rows = list(reader.fieldnames or ()), list(reader)
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: expected text in UTF-8 ({error})") from None
    except csv.Error as error:
        raise ValueError(f"{where}: expected a table in CSV ({error})") from None
    _check_columns(columns, where)
    if name is None and len(sets := {row.get("set") for row in rows}) > 1:
        raise ValueError(
            f"{where}: expected parameters of one set, got {', '.join(sorted(map(str, sets)))}; leave "
            "the rows of one, or name a set that the package has"
        )
    resolved: Parameters = {}
    row_of: dict[str, int] = {}
    numbers = [number for number, line in lines[1:] if line.strip()]
    for number, row in zip(numbers, rows):
        if name is not None and row["set"] != name:
            continue
        place = f"{where}: row {number}"
        if None in row:
            raise ValueError(f"{place}: expected {len(columns)} cells, got more")
        present = {**COLUMNS, **{c: n for c, n in BOND_COLUMNS.items() if row.get(c)}}
        values = ElementParameters(
            **{name: _cell(place, column, row[column]) for column, name in present.items()}
        )
        pol = (row.get("pol", "1") or "").strip()
        if pol not in ("0", "1"):
            raise ValueError(f"{place}, column pol: expected 1 (has a shell) or 0, got {pol!r}")
        if pol == "0":
            values = values._replace(spring_constant=0.0)
        kind = row["element"]
        if row.get("reference_charge"):
            kind = kind_name(kind, _whole(place, "reference_charge", row["reference_charge"]))
        if kind in resolved:
            raise ValueError(f"{place}: {kind} for the second time, after row {row_of[kind]}")
        resolved[kind], row_of[kind] = values, number
    return resolved


def _check_columns(columns: Sequence[str], where: str) -> None:
    """ValueError for a column that is unknown, there twice or missing, by name."""
    if missing := {"element", *COLUMNS} - set(columns):
        raise ValueError(
            f"{where}: the table has no column {sorted(missing)}; expected element, pol, "
            f"{', '.join(COLUMNS)}"
        )
    for column in columns:
        if column not in KNOWN_COLUMNS:
            near = difflib.get_close_matches(column, KNOWN_COLUMNS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"{where}: the table has an unknown column {shown(column)}; the known ones are "
                f"{', '.join(KNOWN_COLUMNS)}{hint}"
            )
        if columns.count(column) > 1:
            raise ValueError(f"{where}: the table has the column {column!r} twice; leave one")


def _cell(place: str, column: str, text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        got = repr(text[:40]) if text else "nothing"
        raise ValueError(f"{place}, column {column}: expected a number, got {got}") from None


def _whole(place: str, column: str, text: str) -> int:
    value = _cell(place, column, text)
    if not value.is_integer():
        raise ValueError(f"{place}, column {column}: expected a whole number, got {text!r}")
    return int(value)


def _check(symbol: str, values: ElementParameters) -> None:
    split_kind(symbol)
    if not all(map(math.isfinite, values)):
        raise ValueError(f"parameters[{symbol!r}]: expected finite numbers, got {values}")
    if values.radius <= 0 or values.hardness <= 0 or values.spring_constant < 0:
        raise ValueError(
            f"parameters[{symbol!r}]: radius and hardness must be positive, spring_constant 0 or "
            f"positive; got {values}"
        )
    if min(values.softness, values.covalent_radius) < 0 or not 0 <= values.decay <= 100:
        raise ValueError(
            f"parameters[{symbol!r}]: softness and covalent_radius must be 0 or positive, decay from "
            f"0 to 100; got {values}"
        )
    if abs(values.electronegativity_slope) > STEEPEST:
        raise ValueError(
            f"parameters[{symbol!r}]: electronegativity_slope (column chi_slope) must be an energy from "
            f"{-STEEPEST:g} to {STEEPEST:g} eV; got {values.electronegativity_slope:g}"
        )


def spring_constant_ev(values: ElementParameters) -> float:
    """Spring constant in eV/Å²."""
    return values.spring_constant / KCAL_PER_MOL_PER_EV


def as_mapping(parameters: Parameters) -> dict[str, dict[str, float]]:
    """Plain dictionaries, as `build` takes them and checkpoints keep them."""
    absent = ElementParameters._field_defaults
    return {
        kind: {n: v for n, v in values._asdict().items() if n not in absent or v != absent[n]}
        for kind, values in parameters.items()
    }


def parameter_rows(
    parameters: Parameters, polarizable: bool = True, gaussian: bool = True
) -> tuple[Tensor, Tensor]:
    """χ (eV), η (eV), Z (e), R (Å), K (eV/Å²), σ (e/√eV), covalent radius (Å), a and χ' (eV),
    (119 + n, 9) float64: by atomic number, ones where there are no parameters, then the n elements with a
    reference charge of their own; and `kind_of` (119, 2·9 + 1) int64, the row of each atomic number
    and charge from −9 to 9.

    polarizable : False leaves the shells out
    gaussian : False makes the charges points
    """
    rows = torch.ones(len(SYMBOLS), 9, dtype=torch.float64)
    kind_of = torch.arange(len(SYMBOLS)).unsqueeze(1).repeat(1, 2 * LARGEST_CHARGE + 1)
    tabulated = covalent_radii()
    for kind, p in parameters.items():
        element, charge = split_kind(kind)
        number = ATOMIC_NUMBERS[element]
        spring = spring_constant_ev(p)
        z, k = (p.core_charge, spring) if spring > 0 and polarizable else (0.0, 1.0)
        radius = p.radius if gaussian else POINT_RADIUS
        covalent = p.covalent_radius or float(tabulated[number])
        sites = [p.electronegativity, p.hardness, z, radius, k]
        bonds = [p.softness, covalent, p.decay, p.electronegativity_slope]
        row = torch.tensor(sites + bonds, dtype=torch.float64)
        if charge is None:
            rows[number] = row
        else:
            kind_of[number, charge + LARGEST_CHARGE] = len(rows)
            rows = torch.cat([rows, row.unsqueeze(0)])
    return rows, kind_of


def kind_of(
    rows: Tensor, numbers: Tensor, charges: Tensor, largest: int = LARGEST_CHARGE
) -> Tensor:
    """The row of each atom (n_atoms,) int64 with these reference charges (n_atoms,) e, from `rows`,
    the `kind_of` of `parameter_rows`."""
    rounded = torch.clamp(torch.round(charges), min=-largest, max=largest).to(torch.int64)
    return rows[numbers, rounded + largest]


def check_convex(parameters: Parameters, rows: Tensor) -> None:
    """ValueError for parameters with which charges by bonds may have no minimum: a hardness below the
    self-energy of the element's Gaussian, or a spring below that of its dipole."""
    n = len(SYMBOLS)
    kinds = [kind for kind in parameters if split_kind(kind)[1] is not None]
    places = {kind: n + k for k, kind in enumerate(kinds)}
    for kind in parameters:
        _, hardness, z, radius, spring, *_ = rows[places.get(kind, ATOMIC_NUMBERS.get(kind, 0))]
        least_hardness = float(gaussian_self_energy(radius))
        least_spring = float(z**2 * dipole_self_energy(radius))
        if float(hardness) < least_hardness or float(spring) < least_spring:
            raise ValueError(
                f"parameters[{kind!r}]: charges by bonds have a minimum for every structure where "
                f"the hardness is at least {least_hardness:.3f} eV and the spring constant at least "
                f"{least_spring * KCAL_PER_MOL_PER_EV:.1f} kcal/mol/Å² (self-energies of the Gaussian "
                f"and of its dipole); got {float(hardness):.3f} and "
                f"{float(spring) * KCAL_PER_MOL_PER_EV:.1f}. Use a set made for them, such as "
                "'response', or raise the values"
            )
