"""Two atoms pulled apart: what holds Na and Cl, and Na and Na, together from 1.8 to 12 Å, and who
has the charge?

    python studies/dimers/run.py [--short | --here | --full]

network       `universal`, SevenNet-0 without a field: a cutoff of 5 Å and no long range
free flow     PQEq as published: one chemical potential for both atoms, however far apart
by bonds      PQEq with charges that flow along bonds from oxidation states
together      `brine`: a network that learned what charges by bonds and D3 leave over, with them (Na–Cl)
PBE           PySCF. Its own error is to leave fractions of an electron on atoms far apart
ions, atoms   without that error: −k_e/r + IP − EA of separate PBE calculations, and zero

Energies count from separate neutral atoms. Those of the two PQEq models are the long-range term
alone; they and those of `brine`, which knows no neutral atoms, are moved so that they meet the ions
at 12 Å.
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
from openmm_pqeq.units import COULOMB

PAIRS = {"NaCl": {"Na": 1, "Cl": -1}, "Na2": {"Na": 0}}
IN_BRINE = ("NaCl",)
"""What has the charges that `brine` was trained with."""
TITLES = {"NaCl": "Na–Cl", "Na2": "Na–Na"}
NEAREST, FARTHEST, CUTOFF = 1.8, 12.0, 5.0  # Å
PBE_DISTANCES = {
    "NaCl": (1.8, 2.1, 2.4, 2.7, 3.0, 3.3, 3.6, 3.9, 4.8, 5.4, 6.0, 7.2),
    "Na2": (2.4, 3.0, 3.6, 4.8, 6.0),
}
"""Å. Beyond, the self-consistent field of PBE lands on states that are not its lowest."""
NEAR = 4.0
"""Å, up to which PBE converges from any start; beyond, from its neighbour."""
SHELLS = {
    "NaCl": {"A1": (8, 8), "E1x": (3, 3), "E1y": (3, 3)},
    "Na2": {"A1": (7, 7), "E1x": (2, 2), "E1y": (2, 2)},
}
"""Electrons of each spin along the axis, and in the two planes of π orbitals."""


class Size(NamedTuple):
    """How many distances, and whether PBE is computed where PySCF is installed."""

    n_distances: int
    reference: bool


SIZES = {"short": Size(8, False), "here": Size(35, True), "full": Size(103, True)}


def dimer(pair: str, distance: float) -> ase.Atoms:
    return ase.Atoms(pair, [[0, 0, 0], [0, 0, distance]])


def energies_and_charges(calculator: pq.PQEqCalculator, pair: str, distances):
    """(n,) eV and (n,) e of the first atom."""
    found = []
    for distance in distances:
        atoms = dimer(pair, distance)
        found.append(
            (calculator.get_property("energy", atoms), calculator.get_property("charges", atoms)[0])
        )
    return np.array(found).T


def models(pair: str) -> dict[str, pq.PQEqCalculator]:
    pqeq = {"protocol": "direct", "tolerance": 1e-9}
    free = pq.build({"pqeq": {**pqeq, "parameters": "reaxnet"}})
    bonds = pq.build({"pqeq": {**pqeq, "parameters": "response", "charge_flow": "bonds"}})
    found = {
        "free flow": pq.PQEqCalculator(free),
        "by bonds": pq.PQEqCalculator(bonds, reference_charges=PAIRS[pair]),
    }
    return found | ({"brine": pq.PQEqCalculator("brine")} if pair in IN_BRINE else {})


def network(pair: str, distances):
    """(n,) eV from separate atoms, by the network alone; None where its weights cannot be had."""
    potential = studies.fetched("universal")
    if potential is None:
        return None
    potential = potential.select("gnn")
    calculator = pq.PQEqCalculator(potential)
    alone = [calculator.get_property("energy", ase.Atoms(one.symbol)) for one in ase.Atoms(pair)]
    together = [calculator.get_property("energy", dimer(pair, d)) for d in distances]
    return np.array(together) - sum(alone)


def reference(study: studies.Study, pair: str, wanted: bool) -> dict[str, list[float]]:
    """PBE of a singlet from short to long distances, each from its neighbour. Na2 has its spins
    moved apart where that is lower. {distance: [energy, charge, ⟨S²⟩]}, eV from separate atoms."""
    kept = study.kept("pbe").get(pair, {})
    if not wanted or not references.available():
        why = "PySCF is not installed" if wanted else "--short computes none"
        study.say(f"PBE of {pair}: {len(kept)} distances, kept from before ({why})")
        return kept
    atoms = study.kept("pbe").get("atoms") or separate_atoms(study)
    alone = sum(atoms[one.symbol] for one in ase.Atoms(pair))
    density = None
    for distance in _left(PBE_DISTANCES[pair], kept):
        here = dimer(pair, distance)
        found = [references.pbe(here, start=density, linear=SHELLS[pair])]
        density = found[0].density
        if pair == "Na2" and distance > NEAR:
            apart = references.polarized(here, density)
            found.append(references.pbe(here, start=apart, linear=SHELLS[pair]))
        best = min(found, key=lambda each: each.energy)
        row = [best.energy - alone, best.charges[0], best.spin_squared]
        key = f"{distance:.2f}"
        if key not in kept or row[0] < kept[key][0]:
            kept[key] = [round(float(each), 5) for each in row]
        study.keep("pbe", study.kept("pbe") | {pair: kept})
        study.say(f"PBE of {pair} at {distance:.2f} Å: {row[0]:.3f} eV, {row[1]:+.3f} e")
    return kept


def _left(distances: tuple[float, ...], kept: dict) -> list[float]:
    """What is still to do, and the way there from a near distance."""
    missing = [distance for distance in distances if f"{distance:.2f}" not in kept]
    if not missing:
        return []
    near = [distance for distance in distances if distance <= min(NEAR, missing[0])]
    return [distance for distance in distances if distance >= near[-1]]


def separate_atoms(study: studies.Study) -> dict[str, float]:
    """eV of the atoms and their ions."""
    cases = {"Na": (0, 1), "Cl": (0, 1), "Na+": (1, 0), "Cl-": (-1, 0)}
    atoms = {
        name: references.pbe(ase.Atoms(name.strip("+-")), charge, unpaired).energy
        for name, (charge, unpaired) in cases.items()
    }
    study.keep("pbe", study.kept("pbe") | {"atoms": atoms})
    return atoms


def ionic(study: studies.Study, distances):
    """−k_e/r + IP − EA of PBE, eV."""
    atoms = study.kept("pbe").get("atoms")
    price = 1.526 if atoms is None else atoms["Na+"] + atoms["Cl-"] - atoms["Na"] - atoms["Cl"]
    return price - COULOMB / distances


def main() -> None:
    study, size = studies.begin(__file__, __doc__, SIZES)
    distances = np.linspace(NEAREST, FARTHEST, size.n_distances)
    figure, axes = studies.axes_of(len(PAIRS), 2)
    rows = []
    for column, pair in enumerate(PAIRS):
        energy, charge = axes[0, column], axes[1, column]
        curves = {
            name: energies_and_charges(model, pair, distances)
            for name, model in models(pair).items()
        }
        alone = network(pair, distances)
        pbe = reference(study, pair, size.reference)
        end = ionic(study, FARTHEST) if pair == "NaCl" else 0.0
        for name, colour, dash in (
            ("by bonds", studies.BLUE, "-"),
            ("free flow", studies.ORANGE, "--"),
            ("brine", studies.PURPLE, "-"),
        ):
            if name not in curves:
                continue
            from_ions = curves[name][0] - curves[name][0][-1] + end
            label = f"{name}: network, charges by bonds, D3" if name == "brine" else name
            energy.plot(distances, from_ions, dash, color=colour, label=label)
            charge.plot(distances, curves[name][1], dash, color=colour, label=name)
        if alone is not None:
            energy.plot(distances, alone, "-.", color=studies.GREEN, label="network, cut at 5 Å")
        if pbe:
            at = np.array([float(d) for d in pbe])
            values = np.array(list(pbe.values()))
            energy.plot(at, values[:, 0], "o", ms=3, color=studies.BLACK, label="PBE")
            charge.plot(at, values[:, 1], "o", ms=3, color=studies.BLACK, label="PBE")
        if pair == "NaCl":
            far = distances[distances > CUTOFF - 1]
            energy.plot(
                far,
                ionic(study, far),
                ":",
                color=studies.BLACK,
                lw=2,
                label="ions: −k_e/r + IP − EA",
            )
        energy.axhline(0, color=studies.GREY, lw=0.8)
        energy.set(
            title=TITLES[pair],
            ylabel="energy from neutral atoms, eV",
            ylim=(-5, 3) if pair == "NaCl" else (-1.2, 1.2),
        )
        charge.set(
            xlabel="distance, Å",
            ylabel=f"charge of {'Na' if pair == 'NaCl' else 'the first Na'}, e",
            ylim=(-0.1, 1.1),
        )
        energy.legend(frameon=False, fontsize=8)
        for k, distance in enumerate(distances):
            near = pbe.get(f"{distance:.2f}", [None, None, None])
            rows.append([
                TITLES[pair], round(float(distance), 2), None if alone is None else float(alone[k]),
                *[float(curves[name][0][k] - curves[name][0][-1]) if name in curves else None
                  for name in ("by bonds", "free flow", "brine")],
                near[0], *[float(curves[name][1][k]) for name in ("by bonds", "free flow")], near[1],
            ])  # fmt: skip
    study.table(
        ["pair", "r, Å", "network, eV", "by bonds − its value at 12 Å, eV", "free flow − the same, eV",
         "brine − the same, eV", "PBE, eV", "q by bonds, e", "q free flow, e", "q PBE, e"],
        rows,
    )  # fmt: skip
    study.picture(
        figure,
        "Two atoms pulled apart",
        "PBE/def2-TZVPD by PySCF; PQEq curves are the long-range term alone, from 12 Å",
    )


if __name__ == "__main__":
    main()
