"""Infrared spectrum of BaTiO3 with `batio3`: molecular dynamics against the normal modes of the
same potential.

    python validation/infrared.py                one cell, 2 K, 12 ps; --repeat 2 has 40 atoms

The cell of the structure file is kept and its atoms are relaxed, from positions without symmetry:
the tetragonal crystal is not a minimum. Modes at Γ and their intensities come from central
differences of forces and from Born charges; those of a supercell beyond Γ do not absorb, so one
cell with all its images will do. At 2 K the dynamics are harmonic: peaks have to be where the modes
are, and areas what the Born charges say. Writes output/infrared.png beside this file.
"""

import argparse
import csv
import time
from pathlib import Path

import ase.io
import numpy as np
import openmm
from ase.optimize import BFGS
from openmm import app, unit

import openmm_pqeq as pq
from openmm_pqeq.analysis import infrared
from openmm_pqeq.report.plots import Curve, Panel, plot_panels
from openmm_pqeq.units import (
    BOLTZMANN,
    COULOMB,
    E_PER_SQUARE_ANGSTROM_IN_MICROCOULOMB_PER_SQUARE_CM,
    KJ_PER_MOL_PER_EV,
    PER_ANGSTROM_IN_PER_CM,
    SPEED_OF_LIGHT,
)

HERE = Path(__file__).parent
PER_CM = 2 * np.pi * SPEED_OF_LIGHT / PER_ANGSTROM_IN_PER_CM  # rad/ps
EV_IN_AMU = 100 * KJ_PER_MOL_PER_EV  # 1 eV = 9648.5 amu Å²/ps²


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--structure", default=HERE.parent / "examples" / "BaTiO3.cif")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--temperature", type=float, default=2.0)
    parser.add_argument("--picoseconds", type=float, default=12.0)
    arguments = parser.parse_args()
    folder = HERE / "output"
    folder.mkdir(exist_ok=True)
    potential = pq.load("batio3")

    crystal = relaxed(ase.io.read(arguments.structure), potential)
    wavenumbers, intensities = modes(crystal, potential)
    print(
        "modes at Γ, cm⁻¹ and cm⁻²:",
        ", ".join(f"{w:.0f} ({a:.3g})" for w, a in zip(wavenumbers, intensities)),
    )

    repeated = folder / "infrared.extxyz"
    ase.io.write(repeated, crystal.repeat(arguments.repeat))
    start = time.perf_counter()
    dipole, interval, volume = trajectory(
        repeated, potential, arguments.temperature, arguments.picoseconds, folder
    )
    print(f"dynamics: {time.perf_counter() - start:.0f} s")
    found = infrared.spectrum_from_dipole(
        dipole, interval, arguments.temperature, volume, longest_lag=1.0
    )
    compare(found, wavenumbers, intensities, arguments, folder)


def relaxed(atoms: ase.Atoms, potential: pq.Potential) -> ase.Atoms:
    """The atoms at a minimum of the energy in their cell."""
    atoms.rattle(0.05, seed=1)
    atoms.calc = pq.PQEqCalculator(potential, tolerance=1e-8)
    BFGS(atoms, logfile=None).run(fmax=1e-3, steps=200)
    return atoms


def modes(atoms: ase.Atoms, potential: pq.Potential) -> tuple[np.ndarray, np.ndarray]:
    """Wavenumbers (cm⁻¹; imaginary ones negative) and areas (cm⁻²) of the optical modes at Γ."""
    step, n = 0.01, len(atoms)
    hessian = np.zeros((3 * n, 3 * n))
    for k in range(3 * n):
        forces = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.calc = atoms.calc
            moved.positions.flat[k] += sign * step
            forces.append(moved.get_forces().ravel())
        hessian[k] = -(forces[0] - forces[1]) / (2 * step)
    weights = 1 / np.sqrt(np.repeat(atoms.get_masses(), 3))
    squares, vectors = np.linalg.eigh(
        0.5 * (hessian + hessian.T) * np.outer(weights, weights) * EV_IN_AMU
    )
    optical = np.argsort(np.abs(squares))[3:]
    optical = optical[np.argsort(squares[optical])]
    born = pq.PQEqCalculator(potential, tolerance=1e-10).get_property("born_charges", atoms)
    slopes = np.einsum("iab,ibm->am", born, (vectors * weights[:, None]).reshape(n, 3, 3 * n))[
        :, optical
    ]
    thermal = BOLTZMANN * EV_IN_AMU  # ⟨Q̇²⟩ of 1 K
    scale = (
        2
        * np.pi
        * COULOMB
        / (SPEED_OF_LIGHT * BOLTZMANN * atoms.get_volume())
        * PER_ANGSTROM_IN_PER_CM
    )
    areas = scale * thermal * np.pi * (slopes**2).sum(axis=0) / 3 / PER_CM
    return np.sign(squares[optical]) * np.sqrt(np.abs(squares[optical])) / PER_CM, areas


def trajectory(
    file: Path, potential: pq.Potential, temperature: float, length: float, folder: Path
) -> tuple[np.ndarray, float, float]:
    """Dipole (n, 3) e Å, volume times polarization, its interval (ps) and the volume (Å³)."""
    topology, positions = pq.read_structure(file)
    integrator = openmm.LangevinMiddleIntegrator(
        temperature * unit.kelvin, 2 / unit.picosecond, 1 * unit.femtosecond
    )
    integrator.setRandomNumberSeed(1)
    simulation = app.Simulation(topology, pq.create_system(potential, topology), integrator)
    simulation.context.setPositions(positions)
    simulation.context.setVelocitiesToTemperature(
        2 * temperature * unit.kelvin, 1
    )  # half of it becomes potential energy
    simulation.step(500)
    simulation.reporters.append(pq.DipoleReporter(folder / "infrared-dipole.csv", 10))
    simulation.step(round(length * 1000))
    simulation.reporters.pop().close()
    with open(folder / "infrared-dipole.csv", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    volume = simulation.context.getState().getPeriodicBoxVolume().value_in_unit(unit.angstrom**3)
    polarization = np.array(
        [[float(row[f"polarization_{axis}_uC_per_cm2"]) for axis in "xyz"] for row in rows]
    )
    return polarization * volume / E_PER_SQUARE_ANGSTROM_IN_MICROCOULOMB_PER_SQUARE_CM, 0.01, volume


def compare(
    found: infrared.Spectrum,
    wavenumbers: np.ndarray,
    intensities: np.ndarray,
    arguments: argparse.Namespace,
    folder: Path,
) -> None:
    """Print peaks beside modes and areas, and draw both."""
    for position, height in infrared.peaks(found):
        nearest = wavenumbers[intensities > 0.01 * intensities.max()]
        nearest = nearest[np.abs(nearest - position).argmin()]
        print(
            f"peak {position:6.1f} cm⁻¹  {height:8.0f} cm⁻¹   nearest mode that absorbs "
            f"{nearest:6.1f} cm⁻¹"
        )
    area, expected = found.area(0, 1200), intensities.sum()
    print(
        f"area {area:.4g} cm⁻², from Born charges {expected:.4g} cm⁻² ({area / expected - 1:+.1%})"
    )
    print(f"resolution {found.resolution:.0f} cm⁻¹")
    shown = found.wavenumbers < 900
    width = found.resolution / 2.3548
    lines = sum(
        a / (width * np.sqrt(2 * np.pi)) * np.exp(-0.5 * ((found.wavenumbers - w) / width) ** 2)
        for w, a in zip(wavenumbers, intensities)
    )
    curves = [Curve("dynamics", found.isotropic[shown]), Curve("modes at Γ", lines[shown])]
    panel = Panel("Mean over directions", "absorption ×\nrefractive index (cm⁻¹)", curves)
    atoms = 5 * arguments.repeat**3
    note = f"{atoms} atoms, {arguments.temperature:g} K, {arguments.picoseconds:g} ps; resolution {found.resolution:.0f} cm⁻¹."
    figure = plot_panels(
        found.wavenumbers[shown],
        "wavenumber (cm⁻¹)",
        [panel],
        "Infrared spectrum of BaTiO3 with batio3",
        note,
    )
    figure.savefig(folder / "infrared.png")
    print(f"plot: {folder / 'infrared.png'}")


if __name__ == "__main__":
    main()
