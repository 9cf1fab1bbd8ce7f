"""A fit to crystals from files to a folder: reference charges, split, fit, guard, report.

Every crystal takes oxidation states as reference charges, from its composition and the bonds between
its like atoms; those without are
left out, by name, in card.json. A share of the chemical systems is held out, and measured at the
end.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from openmm_pqeq.fitting.crystals import report
from openmm_pqeq.fitting.crystals.data import Crystal, read_crystals, split_by_system
from openmm_pqeq.fitting.crystals.fit import Found, fit, make_prior, read_state
from openmm_pqeq.fitting.crystals.guard import Guard
from openmm_pqeq.fitting.crystals.problem import Problem
from openmm_pqeq.fitting.crystals.settings import CrystalSettings, crystal_settings
from openmm_pqeq.fitting.crystals.table import (
    BOND_COLUMNS,
    SHELL_COLUMNS,
    Kind,
    kinds_of,
    rows_of,
    rows_to_start,
    start_of,
)
from openmm_pqeq.fitting.report import as_text
from openmm_pqeq.fitting.run import KIND, STATE, begin_folder, failure
from openmm_pqeq.jobs.files import write_text
from openmm_pqeq.jobs.folder import owned
from openmm_pqeq.jobs.progress import Watch, unwatched
from openmm_pqeq.jobs.times import now
from openmm_pqeq.pqeq.parameters import ElementParameters, Parameters, resolve_parameters
from openmm_pqeq.reference_charges.like_bonds import like_bonds
from openmm_pqeq.reference_charges.oxidation import oxidation_states

PUBLISHED = "reaxnet"
"""The set whose rows stand for elements without data."""


def run(
    settings: CrystalSettings,
    output: str | Path,
    overwrite: bool = False,
    resume: bool = False,
    say: Callable[..., Any] = print,
    watch: Watch = unwatched,
) -> bool:
    """Fit and write parameters.csv, card.json, errors.txt and parity.png; False where the fit was
    interrupted.

    Raises ValueError, FileNotFoundError, FileExistsError before anything is written; RunFailure
    where it fails on the way.
    """
    settings = crystal_settings(dataclasses.asdict(settings))
    folder = Path(output)
    with owned(folder, KIND, overwrite, resume):
        published = resolve_parameters(PUBLISHED)
        start = rows_to_start(settings.parameters)
        crystals, left_out = with_charges(read_crystals(settings.crystals, settings.most_atoms))
        labelled = [crystal for crystal in crystals if crystal.labelled]
        fitted, held_out = chosen(labelled, settings)
        problem = problem_of(fitted, settings, start)
        if resume and (folder / STATE).is_file():
            read_state(folder / STATE, len(problem.start))
        begin_folder(folder, settings, resume, "crystals")
        say(
            f"{len(problem.kinds)} rows; {len(fitted)} crystals to fit, {len(held_out)} held out, "
            f"{len(crystals) - len(labelled)} without labels, {len(left_out)} left out"
        )
        try:
            prior = make_prior(problem, settings.prior, settings.prior_of_types)
            guard = Guard(problem, crystals) if settings.guard else None
            found = fit(
                problem, prior, problem.start, settings.iterations, folder / STATE, say, watch,
                guard=guard,
            )  # fmt: skip
            subsets = {"fitted": fitted, "held out": held_out}
            _write(folder, settings, problem, found, published, subsets, left_out, say)
        except (RuntimeError, ValueError, OSError) as error:
            raise failure(folder, error) from error
    return found.finished


def with_charges(crystals: Sequence[Crystal]) -> tuple[list[Crystal], list[str]]:
    """Crystals with reference charges, and the names of those that have none."""
    known, left_out = [], []
    for crystal in crystals:
        try:
            atoms = crystal.atoms
            bonds = like_bonds(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
            charges = oxidation_states(atoms.get_chemical_symbols(), 0.0, bonds)
        except ValueError:
            left_out.append(crystal.name)
        else:
            known.append(crystal._replace(charges=np.array(charges)))
    return known, left_out


def chosen(
    crystals: Sequence[Crystal], settings: CrystalSettings
) -> tuple[list[Crystal], list[Crystal]]:
    """Crystals to fit, and held-out ones whose elements are fitted."""
    fitted, held_out = split_by_system(crystals, settings.held_out, settings.seed)
    if not fitted:
        raise ValueError(
            f"crystals, held_out: expected labelled crystals to fit, got {len(crystals)} with labels "
            f"and a share of {settings.held_out:g} held out"
        )
    elements = {number for index in fitted for number in crystals[index].atoms.numbers.tolist()}
    return [crystals[index] for index in fitted], [
        crystals[index]
        for index in held_out
        if set(crystals[index].atoms.numbers.tolist()) <= elements
    ]


def problem_of(
    crystals: Sequence[Crystal], settings: CrystalSettings, rows: dict[Kind, ElementParameters]
) -> Problem:
    """The problem of these crystals, from the rows of a table."""
    by_bonds = settings.charge_flow == "bonds"
    columns = BOND_COLUMNS if by_bonds else SHELL_COLUMNS
    kinds = kinds_of(crystals, settings.least, by_bonds)
    missing = [k.label for k in kinds if k.charge is None and k not in rows]
    if missing:
        raise ValueError(
            f"parameters: {settings.parameters!r} has no {', '.join(missing)}; start from a set that "
            "has, such as reaxnet"
        )
    return Problem(crystals, kinds, columns, start_of(kinds, columns, rows))


def _write(
    folder: Path,
    settings: CrystalSettings,
    problem: Problem,
    found: Found,
    published: Parameters,
    subsets: dict[str, list[Crystal]],
    left_out: list[str],
    say: Callable[..., Any],
) -> None:
    """Measure, and write what the fit has found."""
    measured = {}
    for name, crystals in subsets.items():
        if crystals:
            own = Problem(crystals, problem.kinds, problem.columns, problem.start, 1e-8)
            measured[name] = report.measure(own, crystals, found.x)
    errors = {name: report.by_chemistry(one) for name, one in measured.items()}
    rare = report.by_rarest_ion(
        measured.get("held out", []), subsets["held out"], subsets["fitted"]
    )
    tables = [report.table_of(name, groups) for name, groups in errors.items()]
    if rare:
        tables.append(
            report.table_of("held out, by the fitted crystals with their rarest ion", rare)
        )
    for table in tables:
        say(table)
    write_text(folder / "errors.txt", as_text(tables))
    report.plot(measured, f"charge flow {settings.charge_flow}", folder / "parity.png")
    files = ", ".join(Path(file).name for file in settings.crystals)
    comment = (
        f"PQEq parameters for charge flow {settings.charge_flow}, fitted to {files}, {now()[:10]}"
    )
    rows = report.table_rows(problem, found.x, published)
    report.write_table(folder / "parameters.csv", rows, [f"{comment}; card.json has the rest"])
    count = Counter(index for c in subsets["fitted"] for index in set(rows_of(c, problem.kinds)))
    facts = {
        "date": now()[:10],
        "finished": found.finished,
        "loss_per_crystal": found.loss / problem.count,
        "settings": dataclasses.asdict(settings),
        "units": "e; ε∞ relative",
        "errors": {
            name: {group: e._asdict() for group, e in groups.items()}
            for name, groups in errors.items()
        },
        "errors_by_rarest_ion": {seen: e._asdict() for seen, e in rare.items()},
        "crystals_by_row": {k.label: count[index] for index, k in enumerate(problem.kinds)},
        "held_out": [crystal.name for crystal in subsets["held out"]],
        "without_reference_charges": left_out,
    }
    write_text(folder / "card.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    say(f"written: {folder}/parameters.csv, card.json, errors.txt, parity.png")
