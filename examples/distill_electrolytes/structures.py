"""Crystals and interfaces that the model `electrolytes` has learnt from: structures/NAME.xyz.

    python structures.py && openmm-pqeq distill electrolytes.toml

Cells and positions are those of the papers named below, rounded; what is partly occupied is ordered
by electrostatics. The teacher moves the atoms, so that it is enough to be near.
"""

import tempfile
from pathlib import Path

import ase
import ase.io
import numpy as np
from ase.build import bulk
from ase.spacegroup import crystal
from pymatgen.core import Lattice, Structure

from openmm_pqeq.builders.interface import interface
from openmm_pqeq.builders.ordering import ordered
from openmm_pqeq.builders.slab import slab

FOLDER = Path(__file__).parent / "structures"
CHARGES = {"Li": 1.0, "La": 3.0, "Zr": 4.0, "O": -2.0}
BONDS = {("P", "S"): 2.6, ("P", "O"): 2.0}


def simple() -> dict[str, ase.Atoms]:
    """Lithium, and salts whose positions follow from symmetry but for a few numbers."""
    lithium_phosphide = crystal(
        ["P", "Li", "Li"],  # Dong and DiSalvo, Acta Cryst. E63, i97 (2007)
        [(1 / 3, 2 / 3, 0.25), (0, 0, 0.25), (1 / 3, 2 / 3, 0.583)],
        spacegroup=194,
        cellpar=[4.264, 4.264, 7.579, 90, 90, 120],
    )
    lithium_nitride = crystal(
        ["N", "Li", "Li"],  # Rabenau and Schulz, J. Less-Common Met. 50, 155 (1976)
        [(0, 0, 0), (0, 0, 0.5), (1 / 3, 2 / 3, 0)],
        spacegroup=191,
        cellpar=[3.648, 3.648, 3.875, 90, 90, 120],
    )
    lanthana = crystal(
        ["La", "O", "O"],  # Aldebert and Traverse, Mater. Res. Bull. 14, 303 (1979)
        [(1 / 3, 2 / 3, 0.2454), (0, 0, 0), (1 / 3, 2 / 3, 0.6471)],
        spacegroup=164,
        cellpar=[3.938, 3.938, 6.128, 90, 90, 120],
    )
    zirconia = crystal(
        ["Zr", "O", "O"],  # Howard, Hill and Reichert, Acta Cryst. B44, 116 (1988)
        [(0.2754, 0.0395, 0.2083), (0.07, 0.3317, 0.3447), (0.4496, 0.7569, 0.4792)],
        spacegroup=14,
        cellpar=[5.1505, 5.2116, 5.3173, 90, 99.23, 90],
    )
    antiperovskite = ase.Atoms(
        ["O", "Cl", "Li", "Li", "Li"],  # Zhao and Daemen, J. Am. Chem. Soc. 134, 15042 (2012)
        scaled_positions=[
            (0.5, 0.5, 0.5),
            (0, 0, 0),
            (0.5, 0.5, 0),
            (0.5, 0, 0.5),
            (0, 0.5, 0.5),
        ],
        cell=[3.907] * 3,
        pbc=True,
    )
    return {
        "Li": bulk("Li", "bcc", 3.44, cubic=True),
        "LiF": bulk("LiF", "rocksalt", 4.03, cubic=True),
        "LiCl": bulk("LiCl", "rocksalt", 5.13, cubic=True),
        "Li2O": crystal(["O", "Li"], [(0, 0, 0), (0.25,) * 3], spacegroup=225, cellpar=[4.62] * 3 + [90] * 3),
        "Li2S": crystal(["S", "Li"], [(0, 0, 0), (0.25,) * 3], spacegroup=225, cellpar=[5.71] * 3 + [90] * 3),
        "Li3P": lithium_phosphide,
        "Li3N": lithium_nitride,
        "La2O3": lanthana,
        "ZrO2": zirconia,
        "ZrO2_cubic": crystal(["Zr", "O"], [(0, 0, 0), (0.25,) * 3], spacegroup=225, cellpar=[5.09] * 3 + [90] * 3),
        "Li3OCl": antiperovskite,
    }  # fmt: skip


def phosphates_and_sulfides() -> dict[str, ase.Atoms]:
    """LiFePO4 and what is left of it without lithium; Li3PO4, Li3PS4, Li6PS5Cl."""
    olivine = ["Fe", "P", "O", "O", "O"]  # Andersson et al., Solid State Ionics 130, 41 (2000)
    with_lithium = [
        (0, 0, 0),
        (0.2822, 0.25, 0.9747),
        (0.0948, 0.25, 0.4182),
        (0.0968, 0.25, 0.7428),
        (0.4573, 0.25, 0.2061),
        (0.1656, 0.0465, 0.2848),
    ]
    without = [
        (0.2753, 0.25, 0.948),
        (0.0938, 0.25, 0.3982),
        (0.1215, 0.25, 0.7092),
        (0.4389, 0.25, 0.1597),
        (0.1666, 0.0463, 0.2511),
    ]
    wurtzite = [  # β-Li3PO4: Keffer et al., Inorg. Chem. 6, 119 (1967)
        (0.248, 0.328, 0.986),
        (0.5, 0.843, 0.989),
        (0, 0.824, 0),
        (0.209, 0.686, 0.896),
        (0, 0.105, 0.9),
        (0.5, 0.183, 0.815),
    ]
    thiophosphate = [  # β-Li3PS4: Homma et al., Solid State Ionics 182, 53 (2011)
        (0.1517, 0.5136, 0.9357),
        (0, 0, 0.5),
        (0.0944, 0.25, 0.1616),
        (0.1509, 0.0544, 0.2813),
        (0.0741, 0.75, 0.7367),
        (0.1042, 0.25, 0.8383),
    ]
    argyrodite = [  # Kraft et al., J. Am. Chem. Soc. 139, 10909 (2017)
        (0.0204, 0.25, 0.75),
        (0, 0, 0.5),
        (0.1178, 0.3822, 0.1178),
        (0.25, 0.25, 0.75),
        (0, 0, 0),
    ]
    kinds = ["Li", "Li", "P", "X", "X", "X"]

    def of(anion: str) -> list[str]:
        return [anion if kind == "X" else kind for kind in kinds]

    found = {
        "LiFePO4": crystal(["Li", *olivine], with_lithium, spacegroup=62, cellpar=[10.33, 6.01, 4.692, 90, 90, 90]),
        "FePO4": crystal(olivine, without, spacegroup=62, cellpar=[9.821, 5.792, 4.788, 90, 90, 90]),
        "Li3PO4": crystal(of("O"), wurtzite, spacegroup=31, cellpar=[6.115, 5.239, 4.855, 90, 90, 90]),
        "Li3PS4_gamma": crystal(of("S"), wurtzite, spacegroup=31, cellpar=[7.708, 6.535, 6.137, 90, 90, 90]),
        "Li3PS4": crystal(of("S"), thiophosphate, spacegroup=62, cellpar=[12.819, 8.2195, 6.1236, 90, 90, 90]),
        "Li6PS5Cl": crystal(["Li", "P", "S", "S", "Cl"], argyrodite, spacegroup=216, cellpar=[9.898] * 3 + [90] * 3),
    }  # fmt: skip
    found["Li6PS5Cl_mixed"] = exchanged(found["Li6PS5Cl"], "Cl", "S", 2)
    found["LiPON"] = nitrided(found["Li3PO4"].repeat((1, 2, 2)))
    return found


def exchanged(atoms: ase.Atoms, one: str, other: str, n: int) -> ase.Atoms:
    """With `n` pairs of atoms of two elements in each other's places: of S those bound to no P."""
    result = atoms.copy()
    phosphorus = result.symbols.search("P")
    free = [
        k
        for k in result.symbols.search(other)
        if result.get_distances(k, phosphorus, mic=True).min() > 2.6
    ]
    for a, b in zip(result.symbols.search(one)[:n], free[:n]):
        result.numbers[[a, b]] = result.numbers[[b, a]]
    return result


def nitrided(atoms: ase.Atoms, seed: int = 0) -> ase.Atoms:
    """Two nitrogen atoms in the place of three of oxygen, which keeps the charge."""
    result = atoms.copy()
    oxygen = np.random.default_rng(seed).choice(result.symbols.search("O"), 3, replace=False)
    result.symbols[oxygen[:2]] = "N"
    del result[int(oxygen[2])]
    return result


def garnets() -> dict[str, ase.Atoms]:
    """Li7La3Zr2O12, tetragonal and cubic."""
    tetragonal = crystal(
        ["Li", "Li", "Li", "La", "La", "Zr", "O", "O", "O"],
        [  # Awaka et al., J. Solid State Chem. 182, 2046 (2009)
            (0.0806, 0.1643, 0.4291),
            (0.1797, 0.3203, 0.5),
            (0, 0, 0),
            (0.127, 0.25, 0.875),
            (0, 0, 0.25),
            (0, 0.25, 0.125),
            (0.0338, 0.1952, 0.2774),
            (0.0541, 0.1029, 0.5912),
            (0.1496, 0.2224, 0.0714),
        ],
        spacegroup=142,
        setting=1,
        cellpar=[13.128, 13.128, 12.6715, 90, 90, 90],
        primitive_cell=True,
    )
    cubic = Structure.from_spacegroup(
        "Ia-3d",  # Awaka et al., Chem. Lett. 40, 60 (2011)
        Lattice.cubic(12.983),
        [{"Li": 22 / 24}, {"Li": 34 / 96}, "La", "Zr", "O"],
        [(0.375, 0, 0.25), (0.0959, 0.6853, 0.577), (0.125, 0, 0.25), (0, 0, 0), (0.968, 0.0544, 0.1497)],
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "cubic.cif")
        cubic.to(filename=str(file))
        found = ordered(file, CHARGES, seed=0)[0].atoms
    return {"LLZO": tetragonal, "LLZO_cubic": found}


def interfaces(crystals: dict[str, ase.Atoms]) -> dict[str, ase.Atoms]:
    """Lithium upon what it may meet, and upon what becomes of that; periodic, without vacuum."""
    faces = {face: slab(crystals["Li"], face, 8.0).atoms for face in ((1, 0, 0), (1, 1, 0))}
    found = {}
    for name, miller, face in (
        ("Li3PS4", (1, 0, 0), (1, 1, 0)),
        ("Li6PS5Cl", (1, 0, 0), (1, 0, 0)),
        ("Li3PO4", (1, 0, 0), (1, 1, 0)),
        ("Li2S", (1, 1, 0), (1, 1, 0)),
        ("Li2O", (1, 1, 0), (1, 1, 0)),
        ("LiCl", (1, 0, 0), (1, 1, 0)),
        ("Li3P", (0, 0, 1), (1, 0, 0)),
    ):
        here = set(crystals[name].get_chemical_symbols())
        bonds = {pair: length for pair, length in BONDS.items() if set(pair) <= here}
        other = slab(crystals[name], miller, 7.0, unbroken=bonds).atoms
        made = interface(other, faces[face], 0.08, largest_area=130.0, gap=2.4).atoms
        found[f"Li_on_{name}"] = made
    return found


def main() -> None:
    """Write them all."""
    crystals = simple() | phosphates_and_sulfides() | garnets()
    FOLDER.mkdir(exist_ok=True)
    for name, atoms in (crystals | interfaces(crystals)).items():
        plain = ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        ase.io.write(FOLDER / f"{name}.xyz", plain, format="extxyz")
        print(f"{name:<18}{len(plain):>5} atoms  {plain.get_chemical_formula('metal')}")


if __name__ == "__main__":
    main()
