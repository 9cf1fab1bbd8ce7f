"""The report of a fit to crystals: errors by chemistry and by how often the fit has seen the rarest ion of
a crystal, parity plots, and the table itself.

Errors of Born charges are of all components of the tensors, e; those of ε∞ are relative, of a third
of the trace. A crystal's class is the first of this list that fits.

    narrow gap    ε∞ of the label above 14
    oxoanion      O with P, S, C, N, Si, B, Cl, As, Se, H, Br, I or Te
    oxide, halide, chalcogenide, pnictide, other

The first four with a wide gap are the ionic ones.
"""

import csv
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.table import Table

from openmm_pqeq.covalent_radii import covalent_radii
from openmm_pqeq.fitting.crystals.data import Crystal
from openmm_pqeq.fitting.crystals.problem import NARROW_GAP, Problem, bond_rows, shell_rows
from openmm_pqeq.fitting.crystals.table import (
    HARDNESS_MARGIN,
    SOFTNESS,
    SPRING_MARGIN,
    Kind,
    count_ions,
    ions_of,
)
from openmm_pqeq.jobs.files import whole
from openmm_pqeq.pqeq.bonds import BOND_DECAY
from openmm_pqeq.pqeq.coulomb.kernels import dipole_self_energy, gaussian_self_energy
from openmm_pqeq.pqeq.parameters import BOND_COLUMNS as BOND_CELLS
from openmm_pqeq.pqeq.parameters import ElementParameters, Parameters, spring_constant_ev
from openmm_pqeq.report.parity import Cloud, plot_parity
from openmm_pqeq.structure import ATOMIC_NUMBERS
from openmm_pqeq.units import KCAL_PER_MOL_PER_EV

IONIC = ("oxide", "halide", "chalcogenide", "oxoanion")
CLASSES = (*IONIC, "pnictide", "other", "narrow gap")
OXOANIONS = frozenset(["P", "S", "C", "N", "Si", "B", "Cl", "As", "Se", "H", "Br", "I", "Te"])
FROM, SEEN = (0, 1, 4, 10, 30), ("none", "1 to 3", "4 to 9", "10 to 29", "30 or more")
"""How many fitted crystals have an ion."""
GROUPS = {"halide": "F Cl Br I", "chalcogenide": "S Se Te", "pnictide": "N P As Sb Bi"}


class Measured(NamedTuple):
    """One crystal: its class; known and found Born charges (n, 3, 3) e and ⅓ tr ε∞, NaN where there
    is no solution."""

    chemistry: str
    born: np.ndarray
    found_born: np.ndarray
    epsilon: float
    found_epsilon: float

    @property
    def solved(self) -> bool:
        """Whether there is a solution."""
        return bool(np.isfinite(self.found_epsilon))


class Errors(NamedTuple):
    """Of some crystals: how many, and how many without a solution; Born charges' root mean square
    and mean absolute error and the median crystal's root mean square (e); the median relative error
    of ε∞."""

    crystals: int
    unsolved: int
    rmse: float
    mae: float
    median: float
    epsilon: float


def chemistry_of(crystal: Crystal) -> str:
    """The class of a crystal."""
    elements = set(crystal.atoms.get_chemical_symbols())
    if np.trace(crystal.epsilon) / 3.0 > NARROW_GAP:
        return "narrow gap"
    if "O" in elements:
        return "oxoanion" if elements & OXOANIONS else "oxide"
    for name, members in GROUPS.items():
        if elements & set(members.split()):
            return name
    return "other"


def measure(problem: Problem, crystals: Sequence[Crystal], x: np.ndarray) -> list[Measured]:
    """What coordinates x give for the crystals of the problem, in its order."""
    found: list[Measured | None] = [None] * len(crystals)
    for batch in problem.batches:
        if not len(batch.limits):
            response = problem.response(batch, x)
            means = response.epsilon.diagonal(dim1=1, dim2=2).mean(dim=1).tolist()
            for k, index in enumerate(batch.crystals):
                crystal = crystals[index]
                known = float(np.trace(crystal.epsilon) / 3.0)
                found[index] = Measured(
                    chemistry_of(crystal), crystal.born, response.born[k].numpy(), known, means[k]
                )
    return [one for one in found if one is not None]


def errors_of(measured: Sequence[Measured]) -> Errors:
    """Errors over the crystals with a solution."""
    solved = [one for one in measured if one.solved]
    if not solved:
        return Errors(len(measured), len(measured), np.nan, np.nan, np.nan, np.nan)
    each = [one.found_born - one.born for one in solved]
    everything = np.concatenate([one.ravel() for one in each])
    return Errors(
        len(measured),
        len(measured) - len(solved),
        float(np.sqrt(np.mean(everything**2))),
        float(np.mean(np.abs(everything))),
        float(np.median([np.sqrt(np.mean(one**2)) for one in each])),
        float(np.median([abs(one.found_epsilon / one.epsilon - 1.0) for one in solved])),
    )


def by_chemistry(measured: Sequence[Measured]) -> dict[str, Errors]:
    """Errors of each class, of the ionic ones, of all with a wide gap, and of all."""
    groups = {name: [one for one in measured if one.chemistry == name] for name in CLASSES}
    groups["ionic classes"] = [one for one in measured if one.chemistry in IONIC]
    groups["wide gap"] = [one for one in measured if one.chemistry != "narrow gap"]
    groups["all"] = list(measured)
    return {name: errors_of(group) for name, group in groups.items() if group}


def by_rarest_ion(
    measured: Sequence[Measured], crystals: Sequence[Crystal], fitted: Sequence[Crystal]
) -> dict[str, Errors]:
    """Errors of the ionic ones, by how many of the fitted crystals have the rarest of their ions."""
    count, groups = count_ions(fitted), dict[str, list[Measured]]()
    for one, crystal in zip(measured, crystals, strict=True):
        if one.chemistry in IONIC:
            rarest = min(count[ion] for ion in ions_of(crystal))
            groups.setdefault(SEEN[bisect_right(FROM, rarest) - 1], []).append(one)
    return {name: errors_of(groups[name]) for name in SEEN if name in groups}


def table_of(title: str, errors: Mapping[str, Errors]) -> Table:
    """The errors of some groups."""
    table = Table(title=title)
    table.add_column("")
    for name in ("crystals", "unsolved", "Born RMSE, e", "MAE", "median crystal", "ε∞ median"):
        table.add_column(name, justify="right")
    for name, e in errors.items():
        numbers = (f"{e.rmse:.3f}", f"{e.mae:.3f}", f"{e.median:.3f}", f"{100 * e.epsilon:.1f} %")
        table.add_row(name, str(e.crystals), str(e.unsolved), *numbers)
    return table


def plot(subsets: dict[str, list[Measured]], title: str, path: Path) -> None:
    """Parity of Born charges and ε∞."""
    panels: dict[str, dict[str, Cloud]] = {"Born charges (e)": {}, "ε∞": {}}
    for name, measured in subsets.items():
        solved = [one for one in measured if one.solved]
        if solved:
            e = errors_of(solved)
            panels["Born charges (e)"][name] = Cloud(
                np.concatenate([one.born.ravel() for one in solved]),
                np.concatenate([one.found_born.ravel() for one in solved]),
                f"RMSE {e.rmse:.3f}, MAE {e.mae:.3f}",
            )
            panels["ε∞"][name] = Cloud(
                np.array([one.epsilon for one in solved]),
                np.array([one.found_epsilon for one in solved]),
                f"median error {100 * e.epsilon:.1f} %",
            )
    figure = plot_parity(panels, title)
    with whole(path) as part:
        figure.savefig(part, dpi=130, format="png")


def table_rows(problem: Problem, x: np.ndarray, published: Parameters) -> list[dict[str, Any]]:
    """The rows of the table: those that were fitted, and published ones, as convex as the others,
    for elements without data."""
    rows = torch.from_numpy(x.reshape(len(problem.kinds), -1))
    fitted = {}
    if problem.flows:
        s = shell_rows(rows)
        for k, kind in enumerate(problem.kinds):
            z, r = float(s.core_charge[k]), float(s.radius[k])
            eta, spring = float(s.hardness[k]), float(s.spring[k])
            fitted[kind] = _row(kind, float(s.electronegativity[k]), eta, z, r, spring)
    else:
        b = bond_rows(rows)
        for k, kind in enumerate(problem.kinds):
            r, eta, spring = float(b.radius[k]), float(b.hardness[k]), float(b.stiffness[k])
            base = _row(kind, float(b.electronegativity[k]), eta, 1.0, r, spring)
            of_bonds = (b.softness, b.decay, b.slope)
            fitted[kind] = base | _bond_cells(kind, *(float(values[k]) for values in of_bonds))
    for symbol, p in published.items():
        kind = Kind(ATOMIC_NUMBERS[symbol], None)
        if kind not in fitted:
            row = _published(kind, p)
            bonded = {} if problem.flows else _bond_cells(kind, SOFTNESS, BOND_DECAY)
            fitted[kind] = row | bonded | {"source": "published"}
    order = sorted(
        fitted, key=lambda kind: (kind.number, kind.charge is not None, kind.charge or 0)
    )
    return [fitted[kind] for kind in order]


def _row(
    kind: Kind, chi: float, eta: float, core: float, radius: float, spring: float
) -> dict[str, Any]:
    """chi and eta in eV, core in e, radius in Å, spring in eV/Å²."""
    label = kind.label.rstrip("+-0123456789")
    charge = "" if kind.charge is None else str(kind.charge)
    cells: dict[str, Any] = {"element": label, "reference_charge": charge, "pol": 1}
    numbers = {"chi": chi, "eta": eta, "Z": core, "R_core": radius, "R_shell": radius}
    numbers["K2"] = spring * KCAL_PER_MOL_PER_EV
    return cells | {name: f"{value:.6g}" for name, value in numbers.items()} | {"source": "fitted"}


def _bond_cells(kind: Kind, softness: float, decay: float, slope: float = 0.0) -> dict[str, Any]:
    numbers = {
        "softness": softness,
        "covalent_radius": float(covalent_radii()[kind.number]),
        "decay": decay,
        "chi_slope": slope,
    }
    return {name: f"{value:.6g}" for name, value in numbers.items()}


def _published(kind: Kind, p: ElementParameters) -> dict[str, Any]:
    radius = torch.tensor(p.radius, dtype=torch.float64)
    core = p.core_charge if p.core_charge > 0 else 1.0
    eta = max(p.hardness, float(gaussian_self_energy(radius)) + HARDNESS_MARGIN)
    least = SPRING_MARGIN * core**2 * float(dipole_self_energy(radius))
    return _row(kind, p.electronegativity, eta, core, p.radius, max(spring_constant_ev(p), least))


def write_table(path: Path, rows: Sequence[dict[str, Any]], comments: Sequence[str]) -> None:
    """As CSV, with comments in front."""
    bonded = "softness" in rows[0]
    names = ["element", "reference_charge", "pol", "chi", "eta", "Z", "R_core", "R_shell", "K2"]
    names += [*BOND_CELLS] if bonded else []
    with whole(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"# {line}\n" for line in comments)
        writer = csv.DictWriter(file, [*names, "source"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
