"""Does a model know the charge of what it sees? Ag3⁺ and Ag3⁻; clusters of NaCl with one Na more.

    python studies/charge_states/run.py [--short | --here | --full]

Ag3    triangles, each as a cation and as an anion: the same atoms at the same places twice
NaCl   a rod with Na on its end, Na(n+1)Cl(n)⁺, and the same without that Na⁺, Na(n)Cl(n); n = 2
       here, 8 with `--full`

Labels are PBE (def2-SVP) by PySCF, computed by this study into pbe.extxyz and kept, each with energy,
forces, total charge and Hirshfeld charges. Three models learn them, for as many epochs, from the same
first weights; a quarter of the geometries is held out, with both of its charge states:

network      sees no charge
with PQEq    learns what PQEq (`reaxnet`, untouched) of the frame's total charge leaves over
learnt PQEq  the same, and electronegativity, hardness and radius move with it (±40 %)
"""

import sys
from pathlib import Path
from typing import NamedTuple

import ase
import ase.io
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator

sys.path.insert(0, str(Path(__file__).parents[1]))
import references
import study as studies

import openmm_pqeq as pq
from openmm_pqeq.training.run import train

SYSTEMS = ("Ag3", "NaCl")
MODELS = {
    "network": ("s", studies.GREY, "long_range = false"),
    "with PQEq": ("o", studies.ORANGE, ""),
    "learnt PQEq": (
        "^",
        studies.BLUE,
        'train_pqeq = ["electronegativity", "hardness", "radius"]\nbounds = 0.4',
    ),
}
"""Marker, colour, and what [start] of the training says of them."""
HELD_OUT = 4  # every fourth geometry


class Size(NamedTuple):
    """Geometries of each system; atoms across the rod; epochs."""

    n_geometries: int
    across: int
    epochs: int


SIZES = {"short": Size(8, 1, 2), "here": Size(8, 1, 150), "full": Size(500, 2, 1000)}


def cost(size: Size) -> str:
    """Labels as measured with --here, by the cube of the atoms; a frame and epoch of learning."""
    n_atoms = 4 * size.across**2 + 1
    labels = 2 * size.n_geometries * (5.0 + 2.0 * (n_atoms / 5) ** 3) / 3600
    learning = 2 * size.n_geometries * size.epochs * (0.013 + 0.022 * n_atoms / 5) / 3600
    return (
        f"labels of 2 x {2 * size.n_geometries} structures: some {labels:.1f} hours of one core, kept "
        f"one by one; learning, {size.epochs} epochs of six models: {learning:.1f} hours"
    )


def geometries(system: str, size: Size, seed: int) -> list[list[ase.Atoms]]:
    """Both charge states of every geometry; total charges in `info`."""
    rng = np.random.default_rng([seed, SYSTEMS.index(system), size.across])
    make = triangle if system == "Ag3" else rod
    return [make(rng, size.across) for _ in range(size.n_geometries)]


def triangle(rng: np.random.Generator, _: int) -> list[ase.Atoms]:
    """Two sides of 2.4 to 3.2 Å and 50 to 180 degrees between them, as + and −."""
    first, second = rng.uniform(2.4, 3.2, 2)
    angle = np.radians(rng.uniform(50, 180))
    third = [second * np.cos(angle), second * np.sin(angle), 0]
    atoms = ase.Atoms("Ag3", [[0, 0, 0], [first, 0, 0], third])
    return [charged(atoms, 1), charged(atoms, -1)]


def rod(rng: np.random.Generator, across: int) -> list[ase.Atoms]:
    """Four layers of rock salt 2.5 to 2.9 Å apart, atoms moved by 0.12 Å, Na on the end up to 1 Å
    farther; and the same without it."""
    sites = [(i, j, k) for k in range(4) for i in range(across) for j in range(across)]
    sites = np.array([*sites, (0, 0, 4)], dtype=float)
    symbols = ["Cl" if sum(site) % 2 else "Na" for site in sites]
    positions = rng.uniform(2.5, 2.9) * sites + rng.normal(0, 0.12, sites.shape)
    positions[-1, 2] += rng.uniform(0, 1)
    atoms = ase.Atoms(symbols, positions)
    return [charged(atoms, 1), charged(atoms[:-1], 0)]


def charged(atoms: ase.Atoms, charge: int) -> ase.Atoms:
    copy = atoms.copy()
    copy.info["charge"] = charge
    return copy


def labelled(study: studies.Study, every: list[list[ase.Atoms]]) -> list[list[ase.Atoms]]:
    """The geometries of which both states have labels; those that are missing are computed."""
    files = [folder / "pbe.extxyz" for folder in (study.output, study.home)]
    kept = next((ase.io.read(file, ":") for file in files if file.is_file()), [])
    found = []
    for states in every:
        pair = [next((one for one in kept if same(one, state)), None) for state in states]
        for k, state in enumerate(states):
            if pair[k] is None and references.available():
                pair[k] = with_labels(state)
                kept.append(pair[k])
                unfinished = files[0].with_suffix(".part")
                ase.io.write(unfinished, kept, format="extxyz")
                unfinished.replace(files[0])
                study.say(f"label {len(kept)}: {state.get_chemical_formula()}")
        if all(one is not None and "failed" not in one.info for one in pair):
            found.append(pair)
    if len(found) < HELD_OUT:
        raise SystemExit(
            f"{len(found)} of {len(every)} geometries have labels, too few to learn; pip install "
            '"openmm-pqeq[references]" computes them'
        )
    return found


def same(kept: ase.Atoms, wanted: ase.Atoms) -> bool:
    return (
        kept.get_chemical_symbols() == wanted.get_chemical_symbols()
        and kept.info["charge"] == wanted.info["charge"]
        and np.allclose(kept.positions, wanted.positions, atol=1e-6)
    )


def with_labels(state: ase.Atoms) -> ase.Atoms:
    atoms = state.copy()
    try:
        found = references.labels(atoms, atoms.info["charge"])
    except RuntimeError as error:
        atoms.info["failed"] = str(error)
        return atoms
    atoms.calc = SinglePointCalculator(atoms, energy=found.energy, forces=found.forces)
    atoms.set_array("hirshfeld", found.charges)
    return atoms


def learn(study: studies.Study, system: str, name: str, size: Size, species: str) -> Path:
    """The file of a model that has learnt; one that is there is taken."""
    folder = study.output / "runs" / system / name.replace(" ", "_")
    if (folder / "model.pt").is_file():
        return folder / "model.pt"
    text = f"""output = "{folder.as_posix()}"
[data]
files = ["train.extxyz"]
held_out = {{ files = ["held_out.extxyz"] }}
[start]
model = "{(folder.parent / "first.pt").as_posix()}"
train = "all"
{MODELS[name][2]}
[training]
epochs = {size.epochs}
batch_size = 4
learning_rate = 0.005
energy_weight = 10.0
ema = 0.98
seed = {study.seed}
threads = 1
"""
    file = folder.parent / f"{folder.name}.toml"
    file.write_text(text, encoding="utf-8")
    return train(file, overwrite=folder.exists(), say=lambda line: None).model


class Learnt(NamedTuple):
    """Of held-out frames: energies (n_frames,) eV and atoms of each, forces and charges (n, …) of all
    atoms; with those of PBE."""

    energy: np.ndarray
    n_atoms: np.ndarray
    forces: np.ndarray
    charges: np.ndarray


def of_model(model: Path, frames: list[ase.Atoms]) -> Learnt:
    potential = pq.load(model)
    charged = "pqeq" in potential.config
    energy, forces, charges = [], [], []
    for frame in frames:
        calculator = pq.PQEqCalculator(potential)
        energy.append(calculator.get_property("energy", frame))
        forces.append(calculator.get_property("forces", frame))
        if charged:
            charges.append(calculator.get_property("charges", frame))
    return Learnt(
        np.array(energy),
        np.array([len(frame) for frame in frames]),
        np.concatenate(forces),
        np.concatenate(charges) if charged else np.empty(0),
    )


def of_pbe(frames: list[ase.Atoms]) -> Learnt:
    return Learnt(
        np.array([frame.get_potential_energy() for frame in frames]),
        np.array([len(frame) for frame in frames]),
        np.concatenate([frame.get_forces() for frame in frames]),
        np.concatenate([frame.get_array("hirshfeld") for frame in frames]),
    )


def errors(model: Learnt, pbe: Learnt) -> list[float | None]:
    """RMS of energy (meV/atom), forces (meV/Å), charges (me); correlation of charges."""
    rms = [
        1000 * float(np.sqrt(np.mean(np.square(difference))))
        for difference in ((model.energy - pbe.energy) / pbe.n_atoms, model.forces - pbe.forces)
    ]
    if not len(model.charges):
        return [*rms, None, None]
    difference = model.charges - pbe.charges
    correlation = float(np.corrcoef(model.charges, pbe.charges)[0, 1])
    return [*rms, 1000 * float(np.sqrt(np.mean(difference**2))), correlation]


def main() -> None:
    study, size = studies.begin(__file__, __doc__, SIZES, cost)
    figure, axes = studies.axes_of(len(SYSTEMS) + 1)
    rows = []
    for system, ax in zip(SYSTEMS, axes):
        pairs = labelled(study, geometries(system, size, study.seed))
        parts = {"train": [], "held_out": []}
        for k, pair in enumerate(pairs):
            parts["train" if k % HELD_OUT else "held_out"] += pair
        folder = study.output / "runs" / system
        folder.mkdir(parents=True, exist_ok=True)
        for part, frames in parts.items():
            ase.io.write(folder / f"{part}.extxyz", frames)
        species = sorted({symbol for pair in pairs for symbol in pair[0].get_chemical_symbols()})
        pq.save(first(species, study.seed), folder / "first.pt")
        pbe = of_pbe(parts["held_out"])
        for name, (marker, colour, _) in MODELS.items():
            found = of_model(learn(study, system, name, size, species), parts["held_out"])
            rows.append([system, name, len(parts["train"]), len(pbe.energy), *errors(found, pbe)])
            study.say(f"{system}, {name}: learnt")
            ax.plot(pbe.forces.ravel(), found.forces.ravel(), marker, ms=3.5, mfc="none",
                    color=colour, label=name)  # fmt: skip
            if len(found.charges):
                label = f"{system}, {name}"
                fill = colour if system == "NaCl" else "none"
                axes[-1].plot(pbe.charges, found.charges, marker, ms=4, mfc=fill, color=colour,
                              label=label)  # fmt: skip
        title = "Ag$_3^+$ and Ag$_3^-$" if system == "Ag3" else "NaCl clusters"
        ax.set(title=f"forces, {title}", xlabel="PBE, eV/Å", ylabel="model, eV/Å")
    axes[-1].set(title="charges", xlabel="Hirshfeld, e", ylabel="PQEq, e")
    for ax in axes:
        ax.axline((0, 0), slope=1, color=studies.GREY, lw=0.8)
        ax.legend(frameon=False, fontsize=8)
    header = ["", "model", "frames learnt", "held out", "energy, meV/atom", "forces, meV/Å"]
    study.table([*header, "charges, me", "correlation of charges"], rows)
    study.picture(figure, "Charge states", f"{size.epochs} epochs; held-out geometries")


def first(species: list[str], seed: int) -> pq.Potential:
    """Fresh weights and untouched PQEq."""
    network = {
        "species": species,
        "hidden_irreps": "16x0e + 8x1o + 4x2e",
        "layers": 2,
        "r_max": 6.0,
        "radial_hidden": [32],
        "avg_neighbors": 3.0,
        "seed": seed,
    }
    return pq.build({"gnn": network, "pqeq": {"protocol": "direct", "parameters": "reaxnet"}})


if __name__ == "__main__":
    main()
