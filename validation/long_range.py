r"""What a network of a short range cannot do: the same training with and without the long-range part.

    openmm-pqeq train openmm_pqeq/models/brine.toml --output BRINE --ablate-long-range \
        --schedule cosine --epochs 8 --subset 150 --max-time 0s
    openmm-pqeq train openmm_pqeq/models/batio3_bonds.toml --output BATIO3 --ablate-long-range \
        --schedule cosine --epochs 10 --subset 60 --max-time 0s
    python validation/long_range.py --brine BRINE --batio3 BATIO3 [--picture FILE.png]

Both trainings of a folder have the same network, frames, seed and number of epochs. Shown of both:

errors : of held-out frames
ions : force between Na⁺ and Cl⁻ alone, pulled apart to 12 Å, beside Coulomb's −k_e/r²
waters : force between two molecules alone, their dipoles in line, beside that of two dipoles, −6 k_e μ²/r⁴
waves : k_L − k_T of titanium in cubic BaTiO3 moved by u cos(q z) along z and across, from the
    forces, beside its limit at small q, 4π k_e Z*²/(ε∞ V), of the model's own Born charge and ε∞

An atom reaches 4.5 Å a layer; `brine` has two of them, `batio3_bonds` three.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import ase
import ase.build
import numpy as np
from matplotlib.figure import Figure

import openmm_pqeq as pq
from openmm_pqeq.report.plots import finish, style
from openmm_pqeq.units import COULOMB

VARIANTS = {"with": "with-long-range", "without": "without-long-range"}
DISTANCES = np.arange(3.0, 12.01, 0.5)
"""Å, of ions, and of the oxygens of two waters."""
SHOWN = (4.0, 6.0, 8.0, 10.0, 12.0)
CELL, COLUMN, MOVED = 4.02, 12, 0.02
"""Å, of cubic BaTiO3; cells in a column along z; Å by which Ti are moved."""
WAVES = (1, 2, 3, 4, 5)
"""Of the column, waves in it."""


def ions(calculator: pq.PQEqCalculator) -> list[float]:
    """eV/Å on Cl, along Na–Cl; negative: they attract each other."""
    return [
        float(calculator.get_forces(ase.Atoms("NaCl", [[0, 0, 0], [0, 0, r]]))[1, 2])
        for r in DISTANCES
    ]


def waters(calculator: pq.PQEqCalculator) -> list[float]:
    """eV/Å on the second of two molecules, dipoles along the line between them."""
    one = ase.build.molecule("H2O")
    one.rotate(180, "x")
    one.positions -= one.positions[0]
    found = []
    for r in DISTANCES:
        other = one.copy()
        other.translate([0, 0, r])
        found.append(float(calculator.get_forces(one + other)[3:, 2].sum()))
    return found


def dipole_of_water(calculator: pq.PQEqCalculator) -> float:
    """e Å, as the model has a molecule by itself."""
    return float(np.linalg.norm(calculator.get_property("dipole", ase.build.molecule("H2O"))))


def cubic(cells: int) -> ase.Atoms:
    """A column of cubic BaTiO3 along z."""
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    one = ase.Atoms("BaTiO3", scaled_positions=sites, cell=[CELL] * 3, pbc=True)
    return one.repeat((2, 2, cells))


def splitting(calculator: pq.PQEqCalculator) -> list[float]:
    """k_L − k_T of each wave, eV/Å², for one titanium."""
    atoms = cubic(COLUMN)
    titanium = np.flatnonzero(atoms.symbols == "Ti")
    place = atoms.positions.copy()
    found = []
    for n in WAVES:
        shape = np.cos(2 * np.pi * n * place[titanium, 2] / (COLUMN * CELL))
        stiffness = []
        for axis in (2, 0):
            forces = []
            for sign in (1, -1):
                atoms.positions = place
                atoms.positions[titanium, axis] += sign * MOVED * shape
                forces.append(calculator.get_forces(atoms)[titanium, axis])
            change = (forces[0] - forces[1]) / (2 * MOVED)
            stiffness.append(-float(change @ shape / (shape @ shape)))
        found.append(stiffness[0] - stiffness[1])
    return found


def limit(calculator: pq.PQEqCalculator) -> float:
    """4π k_e Z*²/(ε∞ V) of titanium, eV/Å²."""
    atoms = cubic(2)
    charge = calculator.get_property("born_charges", atoms)[atoms.symbols == "Ti", 2, 2].mean()
    alpha = np.trace(calculator.get_property("polarizability", atoms)) / 3
    infinite = 1 + 4 * np.pi * COULOMB * alpha / atoms.get_volume()
    return float(4 * np.pi * COULOMB * charge**2 / (infinite * CELL**3))


def errors(folder: Path, system: str) -> None:
    """Of held-out frames, as `--ablate-long-range` left them."""
    content = json.loads((folder / "ablation.json").read_text(encoding="utf-8"))
    for name, variant in VARIANTS.items():
        print(f"{system} {name} long range, held out: {json.dumps(content[variant]['held out'])}")


def table(name: str, x: Any, columns: dict[str, Any], unit: str) -> None:
    print(f"{name}, {unit}")
    print(f"  {'':10s}" + "".join(f"{label:>12s}" for label in columns))
    for k, at in enumerate(x):
        print(f"  {at:<10.4g}" + "".join(f"{column[k]:12.4f}" for column in columns.values()))


def picture(curves: dict[str, dict[str, Any]], file: Path) -> None:
    """Three panels: two forces as parts of what they are at long distances, and the splitting."""
    figure = Figure(figsize=(11.4, 3.9), layout="constrained")
    panels = figure.subplots(1, 3)
    labels = {
        "ions": ("r of Na–Cl, Å", "force / Coulomb's"),
        "waters": ("r of O–O, Å", "force / that of two dipoles"),
        "waves": ("q, 1/Å", "k_L − k_T, eV/Å²"),
    }
    for axes, (name, (along, up)) in zip(panels, labels.items()):
        found = curves[name]
        for variant, colour in (("with", "#0b5fa5"), ("without", "#b3541e")):
            axes.plot(found["x"], found[variant], "o-", ms=3, color=colour, label=variant)
        for level in (found["limit"], 0.0):
            axes.axhline(level, color="#8a8a8a", lw=0.8, ls="--" if level else "-")
        axes.set(xlabel=along, ylabel=up)
        style(axes)
    panels[0].set_ylim(-0.5, 2.0)
    panels[1].set_ylim(-1.0, 3.0)
    panels[0].legend(frameon=False, title="long range", fontsize=9)
    finish(
        figure,
        "With and without the long-range part, at equal epochs",
        "ions and waters: brine; waves of titanium in cubic BaTiO3: batio3_bonds. Dashed: the limit",
    )
    figure.savefig(file, dpi=130, pil_kwargs={"optimize": True})


def main() -> None:
    """Print tables, draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--brine", type=Path, required=True, help="folder of that training")
    parser.add_argument("--batio3", type=Path, required=True, help="folder of that training")
    parser.add_argument("--picture", type=Path, default=Path("long_range.png"))
    given = parser.parse_args()
    brine, batio3 = (
        {
            name: pq.PQEqCalculator(str(folder / variant / "model.pt"), dtype="float64")
            for name, variant in VARIANTS.items()
        }
        for folder in (given.brine, given.batio3)
    )
    for system, folder in (("brine", given.brine), ("batio3", given.batio3)):
        errors(folder, system)
    dipole = dipole_of_water(brine["with"])
    exact = {
        "ions": -COULOMB / DISTANCES**2,
        "waters": -6 * COULOMB * dipole**2 / DISTANCES**4,
    }
    curves: dict[str, dict[str, Any]] = {}
    for name, measure in (("ions", ions), ("waters", waters)):
        found = {variant: np.array(measure(model)) for variant, model in brine.items()}
        shown = np.isin(DISTANCES, SHOWN)
        table(
            f"force between two {name}",
            DISTANCES[shown],
            {key: value[shown] for key, value in {**found, "exact": exact[name]}.items()},
            "eV/Å",
        )
        parts = {variant: value / exact[name] for variant, value in found.items()}
        curves[name] = {"x": DISTANCES, **parts, "limit": 1.0}
    wavenumbers = 2 * np.pi * np.array(WAVES) / (COLUMN * CELL)
    split = {variant: splitting(model) for variant, model in batio3.items()}
    table("k_L − k_T of titanium at q (1/Å)", wavenumbers, split, "eV/Å²")
    curves["waves"] = {"x": wavenumbers, **split, "limit": limit(batio3["with"])}
    print(f"its limit, 4π k_e Z*²/(ε∞ V): {curves['waves']['limit']:.2f} eV/Å²")
    picture(curves, given.picture)


if __name__ == "__main__":
    main()
