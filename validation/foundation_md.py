"""Dynamics with `universal`, as a user would run it: 600 K, NVT, 2 fs, and a piece at constant
energy. Does a structure break?

    python validation/foundation_md.py --data DATA --work WORK --output validation/results/foundation_md.md
        [--time 20] [--systems Li3PS4 LLZO NaCl "Li | Li3PS4"] [--threads 1]

DATA holds `structures/Li3PS4.cif` and `structures/LLZO_tetragonal.cif`; `openmm-pqeq build` makes
what is run of them, `openmm-pqeq run` runs it. What is in WORK is not done again, what was
interrupted goes on, and a longer --time makes runs longer. Judged are

    temperature           its mean and standard error, of the second half
    energy                potential energy: slope over the second half; total energy in NVE: slope
    shortest distance     d/(R_i + R_j) with covalent radii, over all frames
    framework             P with four S within 2.6 Å, Zr with six O within 2.7 Å, as shares of the last
                          quarter; NaCl: |Σ exp(iG·r)|/N, G = (200)
"""

import argparse
import datetime
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any, NamedTuple

import ase.build
import ase.io
import mdtraj
import numpy as np
import torch
from ase.data import atomic_numbers, covalent_radii

from openmm_pqeq.analysis.blocks import average
from openmm_pqeq.analysis.pairs import pair_distances
from openmm_pqeq.analysis.polyhedra import coordination, polyhedra_left

RUN = {
    "--model": "universal",
    "--temperature": "600",
    "--timestep": "2",
    "--seed": "1",
    "--table-interval": "10",
    "--trajectory-interval": "25",
    "--charges-interval": "0",
    "--restart-interval": "500",
}


def command(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "openmm_pqeq", *map(str, arguments)], check=True)


def li3ps4_cell(data: Path, work: Path) -> Path:
    """One arrangement of its half-occupied lithium."""
    cell, charges = work / "Li3PS4_cell.extxyz", ("Li=1", "P=5", "S=-2")
    if not cell.is_file():
        file = data / "structures" / "Li3PS4.cif"
        command("build", "order", file, "--charges", *charges, "--seed", 1, "-o", cell)
    return cell


def li3ps4(data: Path, work: Path, file: Path) -> None:
    command("build", "supercell", li3ps4_cell(data, work), "--atoms", 128, "-o", file)


def llzo(data: Path, work: Path, file: Path) -> None:
    cell = data / "structures" / "LLZO_tetragonal.cif"
    command("build", "supercell", cell, "--atoms", 192, "-o", file)


def salt(data: Path, work: Path, file: Path) -> None:
    cell = work / "NaCl_cell.extxyz"
    ase.io.write(cell, ase.build.bulk("NaCl", "rocksalt", a=5.64, cubic=True))
    command("build", "supercell", cell, "--atoms", 216, "-o", file)


def interface(data: Path, work: Path, file: Path) -> None:
    """(100) of lithium on (010) of the electrolyte, whose PS₄ the cut spares."""
    metal = work / "Li_cell.extxyz"
    lower, upper = work / "Li3PS4_slab.extxyz", work / "Li_slab.extxyz"
    ase.io.write(metal, ase.build.bulk("Li", "bcc", a=3.44, cubic=True))
    cut = ["--miller", 0, 1, 0, "--thickness", 10, "--spare", "P", "S", 2.6]
    command("build", "slab", li3ps4_cell(data, work), *cut, "-o", lower, "--overwrite")
    cut = ["--miller", 1, 0, 0, "--thickness", 12]
    command("build", "slab", metal, *cut, "-o", upper, "--overwrite")
    command("build", "interface", lower, upper, "--strain", 0.05, "--area", 300, "-o", file)


class System(NamedTuple):
    """A structure and what must not break in it."""

    build: Callable[[Path, Path, Path], None]
    framework: Callable[[Any], str]


def tetrahedra(frames: Any) -> str:
    return _polyhedra(frames, "P", "S", 4, 2.6)


def octahedra(frames: Any) -> str:
    return _polyhedra(frames, "Zr", "O", 6, 2.7)


def _polyhedra(frames: Any, center: str, ligand: str, number: int, cutoff: float) -> str:
    centers, ligands = (_atoms(frames, name) for name in (center, ligand))
    counts = coordination(frames, centers, ligands, cutoff)
    share = polyhedra_left(counts[-len(counts) // 4 :], number).share.mean()
    return f"{100 * share:.0f} % of {len(centers)} {center}{ligand}{number}"


def rocksalt(frames: Any) -> str:
    """Order along a wave that six lattice planes of the cubic supercell make."""
    last = frames.xyz[-len(frames) // 4 :] @ (
        2 * np.pi * 6 * np.linalg.inv(frames.unitcell_vectors[0])[:, 0]
    )
    return f"{np.abs(np.exp(1j * last).mean(axis=1)).mean():.2f} of (200)"


SYSTEMS = {
    "Li3PS4": System(li3ps4, tetrahedra),
    "LLZO": System(llzo, octahedra),
    "NaCl": System(salt, rocksalt),
    "Li | Li3PS4": System(interface, tetrahedra),
}


def run(name: str, options: argparse.Namespace) -> None:
    """Both runs of a system, or what is missing of them."""
    file = options.work / f"{folder_of(name)}.extxyz"
    if not file.is_file():
        SYSTEMS[name].build(options.data, options.work, file)
    conditions = {
        "NVT": ["--minimize"],
        "NVE": ["--minimize", "--ensemble", "NVE", "--equilibrate", "1ps"],
    }
    for ensemble, length in (("NVT", options.time), ("NVE", options.time_nve)):
        folder = options.work / f"{folder_of(name)}-{ensemble}"
        more = ["--time", f"{length}ps", "--threads", options.threads]
        start = time.perf_counter()
        if not length:
            continue
        if (folder / "restart.zip").is_file():
            command("run", folder, "--resume", *more)
        else:
            settings = [word for setting in RUN.items() for word in setting]
            again = ["--overwrite"] if folder.exists() else []
            where = ["--output", folder, *again]
            command("run", file, *settings, *conditions[ensemble], *more, *where)
        print(f"{name}, {ensemble}: {time.perf_counter() - start:.0f} s", flush=True)


def folder_of(name: str) -> str:
    return name.replace(" | ", "_")


def row(name: str, work: Path) -> str | None:
    """Its line of the table, of what has been run."""
    folder, constant = (work / f"{folder_of(name)}-{ensemble}" for ensemble in ("NVT", "NVE"))
    if not (folder / "trajectory.dcd").is_file():
        return None
    frames = mdtraj.load(folder / "trajectory.dcd", top=folder / "topology.pdb")
    table = np.genfromtxt(folder / "table.csv", delimiter=",", names=True)
    table, ps = table[len(table) // 2 :], table["time_ps"][-1]
    temperature = average(table["temperature_K"])
    drift = _slope(table["time_ps"], table["potential_energy_eV"]) / frames.n_atoms
    total = "–"
    if (constant / "table.csv").is_file():
        nve = np.genfromtxt(constant / "table.csv", delimiter=",", names=True)
        slope = _slope(nve["time_ps"], nve["total_energy_eV"]) / frames.n_atoms
        total = f"{slope:+.3f} ({nve['time_ps'][-1]:.2g} ps)"
    return (
        f"| {name.replace('|', 'on')} | {frames.n_atoms} | {ps:.3g} | {temperature.mean:.0f} ± {temperature.error:.0f} "
        f"| {drift:+.2f} | {total} | {closest(frames)} | {SYSTEMS[name].framework(frames)} |"
    )


def _slope(times: np.ndarray, energies: np.ndarray) -> float:
    """meV/ps of energies in eV."""
    return 1000 * float(np.polyfit(times, energies, 1)[0])


def closest(frames: Any) -> str:
    """The shortest distance in covalent radii, and whose it is."""
    found = []
    elements = sorted({atom.element.symbol for atom in frames.topology.atoms})
    for one, two in combinations_with_replacement(elements, 2):
        radii = sum(covalent_radii[atomic_numbers[element]] for element in (one, two))
        pairs = pair_distances(frames, _atoms(frames, one), _atoms(frames, two))
        shortest = min(float(distances.min()) for _, _, distances in pairs)
        found.append((shortest / radii, f"{one}–{two} {shortest:.2f} Å"))
    ratio, text = min(found)
    return f"{text} ({ratio:.2f})"


def _atoms(frames: Any, element: str) -> np.ndarray:
    atoms = frames.topology.atoms
    return np.array([atom.index for atom in atoms if atom.element.symbol == element])


def markdown(options: argparse.Namespace) -> str:
    lines = [row(name, options.work) for name in SYSTEMS]
    threads = f"{options.threads} thread(s) of {os.cpu_count()} shared cores"
    return "\n".join(
        [
            "# Dynamics with `universal` at 600 K",
            "",
            "    python validation/foundation_md.py --data DATA --work WORK",
            "",
            f"{datetime.date.today()}, {threads} ({platform.machine()}), torch {torch.__version__}. "
            "Means of the second half of each run, shares of polyhedra of its last quarter.",
            "",
            "| system | atoms | ps | temperature, K | slope of the potential energy, meV/(atom ps) | "
            "of the total energy in NVE | shortest distance (of the sum of covalent radii) | framework |",
            "|---|---|---|---|---|---|---|---|",
            *[line for line in lines if line],
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--work", required=True, type=Path, help="folder of all runs")
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--time", type=float, default=20, help="ps of NVT (default: 20)")
    parser.add_argument("--time-nve", type=float, default=2, help="ps of NVE (default: 2)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, help="Markdown table")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    for name in options.systems:
        run(name, options)
    text = markdown(options)
    print(text)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
