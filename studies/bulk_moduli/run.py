"""How stiff are crystals? Bulk and shear moduli by Voigt, Reuss and Hill, from elastic tensors.

    python studies/bulk_moduli/run.py [--short | --here | --full] [--data FOLDER]

Twelve binaries of the rock salt and zinc blende types, built here, against experiment; and with

--data    FOLDER/elasticity/mp_binary_elasticity_half.json.gz: 1,977 binaries of the Materials Project
          with Hill averages (MatCalc, BSD-3; Materials Project, CC BY 4.0). `--here` takes the 522
          of two and three atoms, `--full` all, the small ones first

Model `universal`, its network alone: without a field there is nothing else. Each crystal is relaxed,
cell included; then it is strained by ±0.5 % and half of that in the directions that its symmetry does
not make equal. Every crystal is kept as it is done, and the same command goes on.
"""

import gzip
import json
import sys
from pathlib import Path
from typing import NamedTuple

import ase
import ase.build
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import study as studies

import openmm_pqeq as pq
from openmm_pqeq.analysis.elasticity import elastic_tensor, moduli
from openmm_pqeq.relaxation import relax

EXPERIMENT = {
    "LiF": ("rocksalt", 3.972, 76.3),
    "NaCl": ("rocksalt", 5.569, 27.6),
    "MgO": ("rocksalt", 4.189, 169.8),
    "GaAs": ("zincblende", 5.640, 76.7),
    "LiCl": ("rocksalt", 5.070, 38.7),
    "NaF": ("rocksalt", 4.582, 53.1),
    "SiC": ("zincblende", 4.346, 229.1),
    "BN": ("zincblende", 3.592, 410.2),
    "AlP": ("zincblende", 5.451, 87.4),
    "AlAs": ("zincblende", 5.649, 75.0),
    "GaN": ("zincblende", 4.520, 213.7),
    "GaP": ("zincblende", 5.439, 89.6),
}
"""Type, lattice constant (Å), bulk modulus (GPa) of experiment without zero-point motion: Tran, Stelzl,
Blaha, J. Chem. Phys. 144, 204120 (2016), doi:10.1063/1.4948636."""

COMPARED = {"bulk_voigt": "bulk", "bulk_reuss": "bulk", "bulk_hill": "bulk", "shear_hill": "shear"}
"""Which reference each of our moduli stands beside."""
DRAWN = {"bulk_hill": ("s", studies.BLACK), "shear_hill": ("x", studies.ORANGE)}
"""Marker and colour."""


class Size(NamedTuple):
    """At most so many crystals of at most so many atoms; force to which they relax, eV/Å."""

    n_crystals: int
    n_atoms: int
    largest_force: float


SIZES = {"short": Size(2, 8, 0.02), "here": Size(1977, 3, 0.005), "full": Size(1977, 1000, 0.005)}


class Case(NamedTuple):
    """A crystal, and the bulk and shear moduli to stand beside, GPa (or None)."""

    name: str
    atoms: ase.Atoms
    bulk: float
    shear: float | None


def built(size: Size) -> list[Case]:
    every = [
        Case(name, ase.build.bulk(name, kind, a=a), modulus, None)
        for name, (kind, a, modulus) in EXPERIMENT.items()
    ]
    return every[: size.n_crystals]


def of_table(folder: Path, seed: int, size: Size) -> list[Case]:
    file = folder / "elasticity" / "mp_binary_elasticity_half.json.gz"
    rows = json.loads(gzip.decompress(file.read_bytes()))
    small = [row for row in rows if len(row["structure"]["sites"]) <= size.n_atoms]
    order = np.random.default_rng(seed).permutation(len(small))[: size.n_crystals]
    return sorted((_case_of(small[k]) for k in order), key=lambda case: len(case.atoms))


def _case_of(row) -> Case:
    """Of a row of the table; structures are those of pymatgen."""
    sites = row["structure"]["sites"]
    atoms = ase.Atoms(
        [site["species"][0]["element"] for site in sites],
        scaled_positions=[site["abc"] for site in sites],
        cell=row["structure"]["lattice"]["matrix"],
        pbc=True,
    )
    return Case(row["mp_id"], atoms, row["bulk_modulus_vrh"], row["shear_modulus_vrh"])


def measured(case: Case, calculator: pq.PQEqCalculator, largest_force: float) -> dict:
    """Moduli, GPa, and the volume by that of the start; what went wrong under "error"."""
    atoms = case.atoms.copy()
    atoms.calc = calculator
    try:
        *_, last = relax(atoms, cell="free", largest_force=largest_force, steps=200)
        if last.largest_force > largest_force:
            return {"error": f"not relaxed in {last.step} steps"}
        found = moduli(elastic_tensor(atoms, largest_force=largest_force).tensor)
    except (ValueError, RuntimeError) as error:
        return {"error": str(error)}
    values = {"volume": atoms.get_volume() / case.atoms.get_volume(), **found._asdict()}
    return {name: round(float(value), 4) for name, value in values.items()}


def agreement(x: np.ndarray, y: np.ndarray) -> list[float]:
    """R² of y = x, mean absolute error, mean and median of y/x."""
    missed = ((y - x) ** 2).sum() / ((x - x.mean()) ** 2).sum()
    return [
        float(each) for each in (1 - missed, abs(y - x).mean(), (y / x).mean(), np.median(y / x))
    ]


def all_measured(study: studies.Study, every: list[Case], size: Size) -> dict[str, dict]:
    """By name, and kept."""
    potential = studies.fetched("universal")
    if potential is None:
        raise SystemExit("nothing was computed")
    calculator = pq.PQEqCalculator(potential.select("gnn"))
    kept = study.kept("runs/moduli") if study.setting != "short" else {}
    for k, case in enumerate(every):
        if case.name not in kept:
            kept[case.name] = measured(case, calculator, size.largest_force)
            study.keep("runs/moduli", kept)
            formula = case.atoms.get_chemical_formula()
            study.say(f"{k + 1} of {len(every)}: {case.name} {formula}, {len(case.atoms)} atoms")
    return kept


def compared(group: list[Case], kept: dict[str, dict], name: str) -> tuple[np.ndarray, np.ndarray]:
    """(n,) GPa of the reference and ours, of the crystals that have both."""
    pairs = [
        (getattr(case, COMPARED[name]), kept[case.name][name])
        for case in group
        if "error" not in kept[case.name] and getattr(case, COMPARED[name]) is not None
    ]
    x, y = np.array(pairs, dtype=float).reshape(-1, 2).T
    return x, y


def by_size(group: list[Case]) -> dict[str, list[Case]]:
    """All, and by the number of atoms where there are several sizes."""
    found = {"": group}
    if len({len(case.atoms) for case in group}) > 1:
        for case in group:
            found.setdefault(f", {len(case.atoms)} atoms", []).append(case)
    return found


def main() -> None:
    study, size = studies.begin(__file__, __doc__, SIZES)
    groups = {"experiment": built(size)}
    if study.data is not None:
        groups["PBE of the Materials Project"] = of_table(study.data, study.seed, size)
    kept = all_measured(study, [case for group in groups.values() for case in group], size)
    figure, every_axes = studies.axes_of(len(groups))
    rows = []
    for (source, group), axes in zip(groups.items(), np.atleast_1d(every_axes)):
        for case in group:
            if "error" in kept[case.name]:
                study.say(f"{case.name} is left out: {kept[case.name]['error']}")
        for name, (marker, colour) in DRAWN.items():
            x, y = compared(group, kept, name)
            if len(x):
                label = "{} ({})".format(*name.split("_"))
                axes.plot(x, y, marker, ms=3.5, mew=0.8, mfc="none", color=colour, label=label)
        for name in COMPARED:
            for which, part in by_size(group).items():
                x, y = compared(part, kept, name)
                left_out = sum("error" in kept[case.name] for case in part)
                if len(x) > 1:
                    rows.append([source + which, name, len(x), left_out, *agreement(x, y)])
        axes.axline((0, 0), slope=1, color=studies.GREY, lw=0.8)
        axes.set(title=source, xlabel="reference, GPa", ylabel="universal, GPa")
        axes.legend(frameon=False, fontsize=8)
    header = ["reference", "modulus", "crystals", "left out", "R²", "MAE, GPa", "mean ratio"]
    study.table([*header, "median ratio"], rows)
    study.picture(figure, "Elastic moduli of crystals", "the Materials Project has Hill's averages")


if __name__ == "__main__":
    main()
