"""Structures in two charge states, and their labels.

Ag3       triangles, each as a cation and as an anion: the same atoms at the same places twice
NaCl      a rod of rock salt with Na on its end, Na3Cl2⁺, and the same without that atom, Na2Cl2
Na9Cl8    the same of four times the cross-section, Na9Cl8⁺ and Na8Cl8
C10       C10H2 and C10H3⁺                                   } of --data, input.data of n2p2:
Au2       Au2 on MgO(001), standing or lying, without and      } Ko, Finkler, Goedecker, Behler, Nat. Commun.
          with Al below                                        } 12, 398 (2021), doi:10.1038/s41467-020-20427-2

The first three are labelled here (PBE, references.labels), one by one into pbe.extxyz: the same command
goes on.
"""

from collections.abc import Sequence
from pathlib import Path

import ase
import ase.io
import numpy as np
import references
from ase.calculators.singlepoint import SinglePointCalculator
from study import Study

from openmm_pqeq.training.formats import read_images

ACROSS = {"Ag3": 1, "NaCl": 1, "Na9Cl8": 2}
"""Atoms of a rod along each of its shorter edges."""
FILES = {"C10": "Carbon_chain_4G", "Au2": "AlAuMgO_4G"}
HELD_OUT = 4
"""Every fourth geometry."""
LYING = 0.8
"""Å: Au2 lies where its atoms are no farther than that apart along the normal."""


def geometries(system: str, n: int, seed: int) -> list[list[ase.Atoms]]:
    """Both charge states of every geometry; total charges in `info`."""
    is_rod, across = int(system != "Ag3"), ACROSS[system]
    rng = np.random.default_rng([seed, is_rod, across])
    return [rod(rng, across) if is_rod else triangle(rng) for _ in range(n)]


def triangle(rng: np.random.Generator) -> list[ase.Atoms]:
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


def labelled(study: Study, every: Sequence[list[ase.Atoms]]) -> list[list[ase.Atoms]]:
    """The geometries of which both states have labels; those that are missing are computed. None
    where there are too few."""
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
        study.say(
            f"left out: {len(found)} of {len(every)} geometries of {every[0][0].symbols} have labels, "
            'too few to learn; pip install "openmm-pqeq[references]" computes them'
        )
        return []
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


def parts_of(pairs: Sequence[list[ase.Atoms]]) -> dict[str, list[ase.Atoms]]:
    """Frames to learn and held out, both states of a geometry together."""
    parts: dict[str, list[ase.Atoms]] = {"train": [], "held_out": []}
    for k, pair in enumerate(pairs):
        parts["train" if k % HELD_OUT else "held_out"] += pair
    return parts


def of_data(system: str, data: Path) -> dict[str, list[ase.Atoms]]:
    """Frames to learn and held out: every fourth of each kind, in the order of the file."""
    file = data / "charge_states" / FILES[system] / "input.data"
    if not file.is_file():
        raise SystemExit(f"--data: expected {file}, which is not there")
    parts: dict[str, list[ase.Atoms]] = {"train": [], "held_out": []}
    kinds: dict[str, int] = {}
    for frame in read_images(file):
        kind = frame.get_chemical_formula() + ("" if system == "C10" else f" {lying(frame)}")
        k = kinds[kind] = kinds.get(kind, -1) + 1
        atoms = ase.Atoms(frame.symbols, frame.positions, cell=frame.cell, pbc=frame.pbc)
        atoms.info["charge"] = round(frame.info["charge"])
        atoms.set_array("hirshfeld", frame.arrays["charges"])
        atoms.calc = SinglePointCalculator(
            atoms, energy=frame.info["energy"], forces=frame.arrays["forces"]
        )
        parts["train" if k % HELD_OUT else "held_out"].append(atoms)
    return parts


def lying(atoms: ase.Atoms) -> bool:
    """Whether Au2 lies on the surface."""
    heights = atoms.positions[atoms.symbols == "Au", 2]
    return bool(np.ptp(heights) < LYING)


def lying_above_standing(frames: Sequence[ase.Atoms], energies: np.ndarray) -> list[float]:
    """eV, means of all frames, on MgO without Al and with."""
    found = []
    for doped in (False, True):
        of = {
            way: np.mean(
                [
                    energy
                    for frame, energy in zip(frames, energies)
                    if ("Al" in frame.symbols) == doped and lying(frame) == way
                ]
            )
            for way in (True, False)
        }
        found.append(float(of[True] - of[False]))
    return found
