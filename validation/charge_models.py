"""What each charge model does right and wrong, against laws that hold whatever the parameters.

    python validation/charge_models.py [--free response-free] [--bonds response] [--output FOLDER]

Free flow with its couplings, and charges by bonds, on the same tests:

split    cubic BaTiO3, cells 1 × 1 × N with a wave of titanium along z: k_L − k_T against the wave
         vector; as q → 0 it has to be 4πk_e Z*²/(ε∞V) of the same model
film     MgO, a film of n layers in a field across it: the polarizability that one more layer adds
         has to be V(1 − 1/ε)/4πk_e
apart    Na and Cl pulled apart: the charge of Na
waters   two waters, along their distance: α of both over twice α of one

Writes charge_models.md, charge_models.json and a picture of each.
"""

import argparse
import json
import math
from pathlib import Path

import ase
import ase.build
import matplotlib as mpl
import numpy as np

import openmm_pqeq as pq
from openmm_pqeq.units import COULOMB

mpl.use("Agg")
from matplotlib import pyplot as plt

WAVES = (2, 4, 6, 8, 12, 16)
LAYERS = (2, 3, 4, 5, 6, 7, 8)
BATIO3 = 4.00  # Å
MGO = 4.212  # Å
AMPLITUDE = 0.01  # Å
STYLES = {"bonds": "C0o-", "shell": "C3s--", "full": "C1^:", "fragment": "C2v-."}


def calculator(parameters: str, coupling: str, **settings) -> pq.PQEqCalculator:
    """Of charges by bonds ("bonds"), or of free flow with a coupling."""
    pqeq = {"protocol": "ewald", "parameters": parameters, "tolerance": 1e-9}
    if coupling == "bonds":
        return pq.PQEqCalculator(pq.build({"pqeq": {**pqeq, "charge_flow": "bonds"}}), **settings)
    return pq.PQEqCalculator(pq.build({"pqeq": pqeq}), coupling=coupling, **settings)


def perovskite(n: int = 1) -> ase.Atoms:
    places = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    cell = ase.Atoms("BaTiO3", scaled_positions=places, cell=[BATIO3] * 3, pbc=True)
    return cell.repeat((1, 1, n))


def magnesia(layers: int) -> ase.Atoms:
    """A film of MgO(001) with a primitive square cell in the plane."""
    a = MGO / math.sqrt(2)
    atoms = ase.Atoms(cell=[a, a, 0.5 * MGO * layers + 20.0], pbc=(True, True, False))
    for k in range(layers):
        places = [[0, 0, 0.5 * MGO * k], [a / 2, a / 2, 0.5 * MGO * k]]
        atoms += ase.Atoms("MgO" if k % 2 == 0 else "OMg", places)
    return atoms


def macroscopic(calc: pq.PQEqCalculator, atoms: ase.Atoms, atom: int) -> tuple[float, float]:
    """Z*_zz of an atom, and ε∞_zz."""
    alpha = calc.get_property("polarizability", atoms)
    born = calc.get_property("born_charges", atoms)
    return float(born[atom, 2, 2]), 1 + 4 * math.pi * COULOMB * alpha[2, 2] / atoms.get_volume()


def wave_stiffness(calc: pq.PQEqCalculator, n: int, axis: int) -> float:
    """eV/Å², restoring force per displacement of a wave of the titanium atoms along z."""
    atoms = perovskite(n)
    titanium = np.flatnonzero(atoms.numbers == 22)
    wave = np.zeros((len(atoms), 3))
    wave[titanium, axis] = AMPLITUDE * np.cos(2 * np.pi * np.arange(n) / n)
    forces = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions += sign * wave
        forces.append(calc.get_property("forces", moved))
    return -float((0.5 * (forces[0] - forces[1]) * wave).sum() / (wave**2).sum())


def split(parameters: str, coupling: str) -> dict:
    calc = calculator(parameters, coupling)
    born, epsilon = macroscopic(calc, perovskite(), 1)
    expected = 4 * math.pi * COULOMB * born**2 / (epsilon * BATIO3**3)
    waves = [2 * math.pi / (n * BATIO3) for n in WAVES]
    found = [wave_stiffness(calc, n, 2) - wave_stiffness(calc, n, 0) for n in WAVES]
    return {"x": waves, "y": found, "expected": expected, "born": born, "epsilon": epsilon}


def film(parameters: str, coupling: str) -> dict:
    calc = calculator(parameters, coupling)
    bulk = ase.build.bulk("MgO", "rocksalt", a=MGO)
    _, epsilon = macroscopic(
        calculator(parameters, "bonds" if coupling == "bonds" else "shell"), bulk, 0
    )
    volume = MGO**3 / 4
    expected = volume * (1 - 1 / epsilon) / (4 * math.pi * COULOMB)
    alphas = [calc.get_property("polarizability", magnesia(n))[2, 2] for n in (1, *LAYERS)]
    return {
        "x": list(LAYERS),
        "y": np.diff(alphas).tolist(),
        "expected": expected,
        "epsilon": epsilon,
    }


def apart(parameters: str, coupling: str) -> dict:
    settings = {"reference_charges": {"Na": 1, "Cl": -1}} if coupling == "bonds" else {}
    if coupling == "fragment":
        settings = {"fragments": [[0], [1]], "fragment_charges": [1, -1]}
    calc = calculator(parameters, coupling, **settings)
    distances = np.concatenate([np.arange(2.0, 6.0, 0.2), np.geomspace(6, 60, 12)])
    charges = [
        calc.get_property("charges", ase.Atoms("NaCl", [[0, 0, 0], [d, 0, 0]]))[0]
        for d in distances
    ]
    return {"x": distances.tolist(), "y": [float(q) for q in charges], "expected": 1.0}


def waters(parameters: str, coupling: str) -> dict:
    one = ase.build.molecule("H2O")
    one.translate(-one.positions[0])

    def alpha(atoms: ase.Atoms) -> float:
        settings = {}
        if coupling == "fragment":
            settings = {"fragments": [list(range(k, k + 3)) for k in range(0, len(atoms), 3)]}
        calc = calculator(parameters, coupling, **settings)
        return float(calc.get_property("polarizability", atoms)[0, 0])

    single, distances, ratios = alpha(one), [2.8, 3.2, 4.0, 5.0, 7.0, 10.0, 15.0], []
    for distance in distances:
        other = one.copy()
        other.translate([distance, 0, 0])
        ratios.append(alpha(one + other) / (2 * single))
    return {"x": distances, "y": ratios, "expected": 1.0, "alpha": single}


TESTS = {
    "split": (split, ("shell", "bonds"), "wave vector, 1/Å", "k_L − k_T, eV/Å²"),
    "film": (film, ("shell", "full", "bonds"), "layers", "α of one more layer, e²Å²/eV"),
    "apart": (apart, ("shell", "fragment", "bonds"), "Na–Cl, Å", "charge of Na, e"),
    "waters": (waters, ("full", "fragment", "bonds"), "O–O, Å", "α of two/2α of one"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--free", default="response-free", help="set for free flow")
    parser.add_argument("--bonds", default="response", help="set for charges by bonds")
    parser.add_argument("--output", type=Path, default=Path("charge_models"))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict] = {}
    lines = ["| test | model | found | expected |", "|---|---|---|---|"]
    for name, (measure, couplings, x, y) in TESTS.items():
        figure, axes = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
        results[name] = {}
        for coupling in couplings:
            parameters = arguments.bonds if coupling == "bonds" else arguments.free
            found = results[name][coupling] = measure(parameters, coupling)
            label = "charges by bonds" if coupling == "bonds" else f"free flow, {coupling}"
            axes.plot(found["x"], found["y"], STYLES[coupling], label=label, ms=4)
            colour = STYLES[coupling][:2]
            axes.axhline(found["expected"], color=colour, lw=0.8, ls=(0, (1, 2)))
            last = found["y"][-1]
            lines.append(f"| {name} | {label} | {last:.4g} | {found['expected']:.4g} |")
            print(lines[-1], flush=True)
        if name == "apart":
            axes.set_xscale("log")
            axes.set_xticks([2, 4, 10, 20, 40, 60], labels=["2", "4", "10", "20", "40", "60"])
            axes.minorticks_off()
        if name == "waters":
            axes.set_yscale("log")
        if name == "split":
            axes.set_xlim(left=0)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.legend(
            fontsize=8, title="dotted: the law, for each model's own ε and Z*", title_fontsize=7
        )
        figure.savefig(arguments.output / f"charge_models_{name}.png", dpi=150)
        plt.close(figure)
    (arguments.output / "charge_models.json").write_text(json.dumps(results, indent=1))
    (arguments.output / "charge_models.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
