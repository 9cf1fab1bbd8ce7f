"""Does a model know the charge of what it sees? Pairs of charge states, with PQEq and without.

    python studies/charge_states/run.py [--short | --here | --full] [--data FOLDER]

Ag3⁺ and Ag3⁻; Na3Cl2⁺ and Na2Cl2; Na9Cl8⁺ and Na8Cl8 (not with --short); and with

--data    FOLDER/charge_states/{Carbon_chain_4G,AlAuMgO_4G}/input.data (examples of n2p2): C10H2 and
          C10H3⁺; Au2 on MgO(001), without and with Al below

charge_pairs.py has the structures and their labels, learning.py the three models that learn them: the
network alone, with PQEq, and with PQEq that learns too. A quarter of the geometries is held out.
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import ase
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
import charge_pairs
import learning
import study as studies
from learning import MODELS

import openmm_pqeq as pq

TITLES = {
    "Ag3": "Ag$_3^+$ and Ag$_3^-$",
    "NaCl": "Na$_3$Cl$_2^+$ and Na$_2$Cl$_2$",
    "C10": "C$_{10}$H$_2$ and C$_{10}$H$_3^+$",
    "Au2": "Au$_2$ on MgO(001)",
    "Na9Cl8": "Na$_9$Cl$_8^+$ and Na$_8$Cl$_8$",
}
COLOURS = (studies.BLUE, studies.ORANGE, studies.GREEN, studies.PURPLE, studies.BLACK)
LEFT_OUT = {(system, "learnt PQEq") for system in ("C10", "Au2")}
"""Their charges would be solved for anew in every step: ten times the cost."""


DOT, CROWDED = {"marker": ".", "ms": 2.5, "mew": 0}, 500
"""How forces are drawn where there are more than so many, and charges."""


class Size(NamedTuple):
    """Geometries that are labelled here, and epochs, by system."""

    n_geometries: dict[str, int]
    epochs: dict[str, int]


SIZES = {
    "short": Size({"Ag3": 8, "NaCl": 8}, dict.fromkeys(TITLES, 2)),
    "here": Size(
        {"Ag3": 8, "NaCl": 8, "Na9Cl8": 8},
        {"Ag3": 150, "NaCl": 150, "C10": 20, "Au2": 40, "Na9Cl8": 150},
    ),
    "full": Size({"Ag3": 500, "NaCl": 500, "Na9Cl8": 500}, dict.fromkeys(TITLES, 1000)),
}
SECONDS = {"Ag3": (5.0, 0.035), "NaCl": (5.0, 0.035), "Na9Cl8": (75.0, 0.09)}
"""Of a label, and of a frame's epoch of three models, as measured with --here."""


def cost(size: Size) -> str:
    frames = {system: 2 * n for system, n in size.n_geometries.items()}
    labels = sum(SECONDS[system][0] * n for system, n in frames.items()) / 3600
    epochs = sum(SECONDS[system][1] * n * size.epochs[system] for system, n in frames.items())
    return (
        f"labels of {sum(frames.values())} structures: some {labels:.1f} hours of one core, kept one "
        f"by one; learning: {epochs / 3600:.1f} hours; more with --data"
    )


def frames_of(study: studies.Study, size: Size) -> dict[str, dict[str, list[ase.Atoms]]]:
    """By system, frames to learn and those held out, as far as there are labels."""
    found = {}
    for system, n in size.n_geometries.items():
        every = charge_pairs.geometries(system, n, study.seed)
        found[system] = charge_pairs.parts_of(charge_pairs.labelled(study, every))
    if study.data is not None:
        for system in charge_pairs.FILES:
            found[system] = charge_pairs.of_data(system, study.data)
    return {system: parts for system, parts in found.items() if parts["train"]}


def above(parts: dict[str, list[ase.Atoms]], model: pq.Potential | None = None) -> list[float]:
    """eV, Au2 lying above standing, without Al and with, by a model or the labels; means of all
    frames, of which a model has learnt three quarters, as there are so few."""
    every = [frame for frames in parts.values() for frame in frames]
    found = learning.of_labels(every) if model is None else learning.of_model(model, every)
    return charge_pairs.lying_above_standing(every, found.energy)


def panels(systems: list[str]) -> tuple[studies.Figure, dict[str, Any], Any]:
    """Forces of each system, and charges of all."""
    columns = min(3, len(systems) + 1)
    figure, axes = studies.axes_of(columns, -(-(len(systems) + 1) // columns))
    first, *spare = np.ravel(axes)[len(systems) :]
    for one in spare:
        one.set_axis_off()
    first.set(title="charges, with PQEq", xlabel="Hirshfeld, e", ylabel="PQEq, e")
    forces = dict(zip(systems, np.ravel(axes)))
    for system, one in forces.items():
        one.set(title=f"forces, {TITLES[system]}", xlabel="DFT, eV/Å", ylabel="model, eV/Å")
    for one in (*forces.values(), first):
        one.axline((0, 0), slope=1, color=studies.GREY, lw=0.8)
    return figure, forces, first


def main() -> None:
    study, size = studies.begin(__file__, __doc__, SIZES, cost)
    every = frames_of(study, size)
    figure, forces, charges = panels(list(every))
    rows: list[list[Any]] = []
    for colour, (system, parts) in zip(COLOURS, every.items()):
        folder = study.output / "runs" / system
        learning.prepare(folder, parts, study.seed)
        label = learning.of_labels(parts["held_out"])
        numbers = [len(parts["train"]), len(label.energy)]
        if system == "Au2":
            for name, model in (("DFT", None), ("PQEq alone", learning.untouched())):
                rows.append([system, name, *numbers, *[None] * 4, *above(parts, model)])
        for name, (marker, shade, _) in MODELS.items():
            if (system, name) in LEFT_OUT:
                continue
            model = learning.learn(folder, name, size.epochs[system], study.seed)
            found = learning.of_model(model, parts["held_out"])
            lying = above(parts, model) if system == "Au2" else [None, None]
            rows.append([system, name, *numbers, *learning.errors(found, label), *lying])
            study.say(f"{system}, {name}: learnt")
            look = {"marker": marker, "ms": 3, "mew": 0.7, "mfc": "none"}
            if label.forces.size > CROWDED:
                look = DOT
            forces[system].plot(label.forces.ravel(), found.forces.ravel(), ls="", color=shade,
                                label=name, **look)  # fmt: skip
            if name == "with PQEq":
                charges.plot(label.charges, found.charges, ls="", color=colour, label=system, **DOT)
    for one in (*forces.values(), charges):
        one.legend(frameon=False, fontsize=8, markerscale=2)
    header = ["", "model", "frames learnt", "held out", "energy, meV/atom", "forces, meV/Å"]
    header += ["charges, me", "correlation of charges"]
    study.table([*header, "Au2 lying above standing, eV", "with Al, eV"], rows)
    study.picture(figure, "Charge states", "held-out geometries")


if __name__ == "__main__":
    main()
