"""Two OH pushed together, oxygen towards oxygen: two radicals, two anions, and one of each. Does the
long-range term repel what it should?

    python studies/hydroxyls/run.py [--short | --here | --full]

The energy of two rigid OH (0.97 Å), in line as H–O···O–H, against their O–O distance, from where
they are 12 Å apart. PQEq has no wave functions, so below some 4 Å only the sign and the tail count.

PQEq       free flow, set pqeq1, of a total charge that spreads over both
by bonds   set `molecules`; each OH keeps its own charge, on its oxygen
network    `universal`, which knows no total charge: one curve for all three
PBE        PySCF, def2-TZVPD; radicals as a triplet. Of one of each it spreads the charge over both
           at any distance, which is an error of such functionals
"""

import sys
from pathlib import Path
from typing import NamedTuple

import ase
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import references
import study as studies

import openmm_pqeq as pq

BOND = 0.97  # Å
FARTHEST = 12.0  # Å
NEAREST = 1.8  # Å
PBE_DISTANCES = (12.0, 8.0, 6.0, 5.0, 4.0, 3.5, 3.0, 2.7, 2.4, 2.1)  # Å
CASES = {"OH + OH": 0, "OH⁻ + OH": -1, "OH⁻ + OH⁻": -2}
UNPAIRED = {0: 2, -1: 1, -2: 0}
SHELLS = {
    charge: {"A1": (6, 6), "B1": (2, 2), "B2": (2, 2 - unpaired)}
    for charge, unpaired in UNPAIRED.items()
}
"""Electrons of each spin along the axis, and in the two planes of π orbitals: what is missing is
missing in one plane."""


class Size(NamedTuple):
    """How many distances, and whether PBE is computed where PySCF is installed."""

    n_distances: int
    reference: bool


SIZES = {"short": Size(6, False), "here": Size(52, True), "full": Size(205, True)}


def pair(distance: float) -> ase.Atoms:
    z = [0.0, BOND, BOND + distance, 2 * BOND + distance]
    return ase.Atoms("HOOH", [[0, 0, each] for each in z])


def models(charge: int) -> dict[str, pq.PQEqCalculator]:
    """Of a total charge; by bonds it is −1 on one oxygen, or on both."""
    pqeq = {"protocol": "direct", "parameters": "pqeq1", "tolerance": 1e-9}
    bonds = {**pqeq, "parameters": "molecules", "charge_flow": "bonds"}
    on_oxygens = [0, -1 if charge else 0, -1 if charge == -2 else 0, 0]
    return {
        "PQEq": pq.PQEqCalculator(pq.build({"pqeq": pqeq}), total_charge=charge),
        "by bonds": pq.PQEqCalculator(
            pq.build({"pqeq": bonds}), total_charge=charge, reference_charges=on_oxygens
        ),
    }


def curve(calculator: pq.PQEqCalculator, distances) -> np.ndarray:
    """(n,) eV from 12 Å."""
    found = [calculator.get_property("energy", pair(d)) for d in (*distances, FARTHEST)]
    return np.array(found[:-1]) - found[-1]


def reference(study: studies.Study, case: str, wanted: bool) -> dict[str, float]:
    """PBE, {distance: eV}, each from its neighbour, and kept."""
    kept, charge = study.kept("pbe").get(case, {}), CASES[case]
    if not wanted or not references.available():
        why = "PySCF is not installed" if wanted else "--short computes none"
        study.say(f"PBE of {case}: {len(kept)} distances, kept from before ({why})")
        return kept
    density = None
    missing = [distance for distance in PBE_DISTANCES if f"{distance:.2f}" not in kept]
    for distance in reversed(missing):
        found = references.pbe(
            pair(distance), charge, UNPAIRED[charge], start=density, linear=SHELLS[charge]
        )
        density = found.density
        kept[f"{distance:.2f}"] = round(found.energy, 5)
        study.keep("pbe", study.kept("pbe") | {case: kept})
        study.say(f"PBE of {case} at {distance:.2f} Å: {found.energy:.3f} eV")
    return kept


def separate(study: studies.Study, wanted: bool) -> dict[str, float]:
    """PBE of OH and OH⁻, eV."""
    kept = study.kept("pbe").get("separate", {})
    if wanted and references.available() and not kept:
        one = ase.Atoms("HO", [[0, 0, 0], [0, 0, BOND]])
        for name, charge in (("OH", 0), ("OH⁻", -1)):
            shells = {"A1": (3, 3), "B1": (1, 1), "B2": (1, -charge)}
            kept[name] = round(references.pbe(one, charge, 1 + charge, linear=shells).energy, 5)
        study.keep("pbe", study.kept("pbe") | {"separate": kept})
    return kept


def main() -> None:
    study, size = studies.begin(__file__, __doc__, SIZES)
    distances = np.linspace(NEAREST, FARTHEST, size.n_distances)
    figure, axes = studies.axes_of(len(CASES))
    potential = studies.fetched("universal")
    network = None if potential is None else pq.PQEqCalculator(potential.select("gnn"))
    of_network = None if network is None else curve(network, distances)
    alone = separate(study, size.reference)
    rows = []
    for ax, (case, charge) in zip(axes, CASES.items()):
        curves = {name: curve(model, distances) for name, model in models(charge).items()}
        pbe = reference(study, case, size.reference)
        styles = (("PQEq", "--", studies.ORANGE), ("by bonds", "-", studies.BLUE))
        for name, dash, colour in styles:
            ax.plot(distances, curves[name], dash, color=colour, label=name)
        if of_network is not None:
            ax.plot(distances, of_network, "-.", color=studies.GREEN, label="network, cut at 5 Å")
        if pbe:
            at = np.array([float(d) for d in pbe])
            values = np.array(list(pbe.values()))
            ax.plot(
                at, values - pbe[f"{FARTHEST:.2f}"], "o", ms=4, color=studies.BLACK, label="PBE"
            )
        ax.axhline(0, color=studies.GREY, lw=0.8)
        ax.set(title=case, xlabel="O–O, Å", ylim=(-0.5, 7))
        end = pbe.get(f"{FARTHEST:.2f}")
        for distance in (3.0, 4.0, 6.0):
            given = [np.interp(distance, distances, curves[name]) for name in curves]
            given.append(None if of_network is None else np.interp(distance, distances, of_network))
            near = pbe.get(f"{distance:.2f}")
            given.append(near and near - end)
            rows.append(
                [case, distance, *[each if each is None else float(each) for each in given]]
            )
        if alone and end is not None:
            apart = sum(alone[one] for one in case.split(" + "))
            study.say(f"PBE of {case} at 12 Å: {end - apart:.3f} eV from separate ones")
    axes[0].set_ylabel("energy from 12 Å, eV")
    axes[0].legend(frameon=False, fontsize=8)
    header = ["", "O–O, Å", "PQEq, eV", "by bonds, eV", "network, eV", "PBE, eV"]
    study.table(header, rows)
    study.picture(figure, "Two OH pushed together", "PBE/def2-TZVPD by PySCF")


if __name__ == "__main__":
    main()
