"""The infrared spectrum of a molecule whose normal modes are known."""

import csv

import numpy as np
import openmm
from ase import Atoms
from openmm import app, unit
from oscillators import DEBYE, EV_IN_AMU, INTENSITY, per_ps

from openmm_pqeq import versions
from openmm_pqeq.analysis import infrared
from openmm_pqeq.analysis.infrared import spectrum_from_dipole
from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.force.create import create_system
from openmm_pqeq.potential import build
from openmm_pqeq.reporters import DipoleReporter
from openmm_pqeq.units import BOLTZMANN


def water():
    """Topology, positions (3, 3) nm and System of one water: PQEq charges and shells, held together
    by springs."""
    topology = app.Topology()
    residue = topology.addResidue("HOH", topology.addChain())
    for symbol in ("O", "H", "H"):
        topology.addAtom(symbol, app.Element.getBySymbol(symbol), residue)
    potential = build({"pqeq": {"protocol": "direct", "parameters": "pqeq1"}})
    backend = "python" if versions.problems("torchscript") else "torchscript"
    system = create_system(
        potential,
        topology,
        backend=backend,
        precision="double",
        tolerance=1e-7,
        removeCMMotion=False,
    )
    springs = openmm.HarmonicBondForce()
    for i, j, length, strength in (
        (0, 1, 0.105, 3.5e5),
        (0, 2, 0.105, 3.5e5),
        (1, 2, 0.155, 0.8e5),
    ):
        springs.addBond(i, j, length, strength)
    system.addForce(springs)
    return topology, np.array([[0, 0, 0], [0.0957, 0, 0], [-0.024, 0.0927, 0]]), system, potential


def normal_modes(context, positions, masses):
    """Wavenumbers (9,) cm⁻¹ and vectors (9, 9) of mass-weighted coordinates in columns, from
    central differences of forces."""
    step, hessian = 1e-5, np.zeros((9, 9))

    def forces(displaced):
        context.setPositions(displaced)
        return (
            context.getState(forces=True)
            .getForces(asNumpy=True)
            .value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
            .ravel()
        )

    for k in range(9):
        shift = step * np.eye(9)[k].reshape(3, 3)
        hessian[k] = -(forces(positions + shift) - forces(positions - shift)) / (2 * step)
    weights = 1 / np.sqrt(np.repeat(masses, 3))
    squares, vectors = np.linalg.eigh(
        0.5 * (hessian + hessian.T) * np.outer(weights, weights)
    )  # 1/ps²
    return np.sqrt(np.abs(squares)) / per_ps(1.0), vectors


def test_a_molecule_absorbs_at_its_normal_modes_with_their_intensities(tmp_path):
    """Intensities of the dipole follow from ∂μ/∂r, which are the Born charges of the coupling
    "full"."""
    topology, positions, system, potential = water()
    step, every, n_rows = 0.0004, 4, 400  # ps
    simulation = app.Simulation(
        topology,
        system,
        openmm.VerletIntegrator(step),
        openmm.Platform.getPlatformByName("Reference"),
    )
    simulation.context.setPositions(positions)
    simulation.minimizeEnergy(tolerance=0.01)
    rest = (
        simulation.context.getState(positions=True)
        .getPositions(asNumpy=True)
        .value_in_unit(unit.nanometer)
    )
    masses = np.array([system.getParticleMass(i).value_in_unit(unit.dalton) for i in range(3)])
    wavenumbers, vectors = normal_modes(simulation.context, rest, masses)
    calculator = PQEqCalculator(potential, coupling="full")
    born = calculator.get_property("born_charges", Atoms("OH2", rest * 10))
    slopes = (
        np.einsum("iab,ibm->am", born, vectors.reshape(3, 3, 9) / np.sqrt(masses)[:, None, None])
        / DEBYE
    )
    intensities = INTENSITY * (slopes**2).sum(axis=0)
    assert wavenumbers[5] < 100 < 1000 < wavenumbers[6]

    temperature = 1.0  # K, harmonic
    weights = (
        np.sqrt(2 * BOLTZMANN * temperature * EV_IN_AMU) / 10
    )  # nm √amu/ps: every vibration has the energy kT
    simulation.context.setPositions(rest)
    simulation.context.setVelocities(
        weights * vectors[:, 6:].sum(axis=1).reshape(3, 3) / np.sqrt(masses)[:, None]
    )
    simulation.reporters.append(DipoleReporter(tmp_path / "dipole.csv", every))
    simulation.step(every * n_rows)
    simulation.reporters.pop().close()
    with open(tmp_path / "dipole.csv") as file:
        rows = list(csv.DictReader(file))
    dipole = np.array([[float(row[f"dipole_{axis}_eA"]) for axis in "xyz"] for row in rows])
    found = spectrum_from_dipole(dipole, every * step, temperature, longest_lag=0.4)
    seen = (
        2 / step * np.arcsin(per_ps(wavenumbers[6:]) * step / 2) / per_ps(1.0)
    )  # by an integrator with this step
    for wavenumber, intensity in zip(seen, intensities[6:]):
        if intensity > 0.05 * intensities[6:].max():
            assert (
                min(abs(peak - wavenumber) for peak, _ in infrared.peaks(found))
                < 0.2 * found.resolution
            )
    assert (
        abs(found.area(500, 6000) / intensities[6:].sum() - 1) < 0.1
    )  # three modes beat for 0.6 ps
