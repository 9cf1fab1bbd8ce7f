"""Infrared spectra: oscillators of known frequency and strength, sum rules, and a molecule whose
normal modes are known."""

import csv

import numpy as np
import openmm
import pytest
from ase import Atoms
from openmm import app, unit

from openmm_pqeq import versions
from openmm_pqeq.analysis import infrared
from openmm_pqeq.analysis.blocks import autocorrelation
from openmm_pqeq.analysis.dielectric import static_from_fluctuations
from openmm_pqeq.analysis.infrared import spectrum_from_current, spectrum_from_dipole
from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.cli import main
from openmm_pqeq.force.create import create_system
from openmm_pqeq.potential import build
from openmm_pqeq.reporters import DipoleReporter
from openmm_pqeq.units import BOLTZMANN, KJ_PER_MOL_PER_EV, PER_ANGSTROM_IN_PER_CM, SPEED_OF_LIGHT

TEMPERATURE = 300.0  # K
DEBYE = 0.20819434  # e Å
EV_IN_AMU = KJ_PER_MOL_PER_EV * 100  # 1 eV = 9648.5 amu Å²/ps²
INTENSITY = 42.2561  # km/mol of a mode with dμ/dQ = 1 D/Å/√amu; the factor that quantum-chemistry programs print
POSITION = 0.5  # cm⁻¹, a maximum found by a parabola on a grid of a few cm⁻¹


def per_ps(wavenumber):
    """Angular frequency, rad/ps."""
    return 2 * np.pi * wavenumber * SPEED_OF_LIGHT / PER_ANGSTROM_IN_PER_CM


def oscillator(wavenumber, strength=1.0, duration=20.0, interval=0.001, axis=0):
    """Dipole and current, (n, 3), of a mode with dμ/dQ = `strength` (D/Å/√amu) along an axis and
    the energy kT."""
    times, frequency = np.arange(0, duration, interval), per_ps(wavenumber)
    amplitude = (
        strength * DEBYE * np.sqrt(2 * BOLTZMANN * TEMPERATURE * EV_IN_AMU)
    )  # of the current
    dipole, current = np.zeros((2, len(times), 3))
    dipole[:, axis] = amplitude / frequency * np.sin(frequency * times + 0.3)
    current[:, axis] = amplitude * np.cos(frequency * times + 0.3)
    return dipole, current


def liquid(seed=0, duration=400.0, interval=0.02):
    """A dipole (n, 3) e Å of damped oscillators around 300 cm⁻¹ in thermal noise."""
    rng, frequency, friction = np.random.default_rng(seed), per_ps(300.0), 20.0
    position, velocity, step = np.zeros(3), np.zeros(3), interval / 10
    dipoles = []
    for i in range(round(duration / step)):
        velocity += step * -(frequency**2) * position
        velocity = velocity * np.exp(-friction * step) + np.sqrt(
            1 - np.exp(-2 * friction * step)
        ) * 50 * rng.normal(size=3)
        position = position + step * velocity
        if i % 10 == 0:
            dipoles.append(position)
    return np.array(dipoles)


# Oscillators


@pytest.mark.parametrize("wavenumber", [150.0, 1650.0, 3700.0])
@pytest.mark.parametrize("kind", ["dipole", "current"])
def test_a_mode_has_its_wavenumber_and_its_intensity(kind, wavenumber):
    dipole, current = oscillator(wavenumber, strength=1.7)
    series = {"dipole": (spectrum_from_dipole, dipole), "current": (spectrum_from_current, current)}
    function, values = series[kind]
    found = function(values, 0.001, TEMPERATURE, longest_lag=2.0)
    assert found.unit == "km/mol/cm⁻¹"
    assert (
        abs(found.wavenumbers[found.isotropic.argmax()] - wavenumber) < 5
    )  # grid points are 2 cm⁻¹ apart
    assert abs(max(infrared.peaks(found), key=lambda peak: peak[1])[0] - wavenumber) < POSITION
    area = found.area(wavenumber - 100, wavenumber + 100)
    assert abs(area / (1.7**2 * INTENSITY) - 1) < 0.01  # sidelobes of the window beyond 100 cm⁻¹


def test_a_mode_sampled_five_times_a_period_keeps_its_intensity():
    dipole, _ = oscillator(3700.0, interval=0.0018)
    found = spectrum_from_dipole(dipole, 0.0018, TEMPERATURE, longest_lag=2.0)
    assert abs(found.area(3500, 3900) / INTENSITY - 1) < 0.01


@pytest.mark.parametrize("window", infrared.WINDOWS)
@pytest.mark.parametrize("lag", [0.5, 1.0])
def test_the_resolution_is_the_width_of_a_sharp_line_and_windows_keep_areas(window, lag):
    dipole, _ = oscillator(1000.0, duration=50.0)
    found = spectrum_from_dipole(dipole, 0.001, TEMPERATURE, longest_lag=lag, window=window)
    above = found.wavenumbers[found.isotropic > found.isotropic.max() / 2]
    step = found.wavenumbers[1]
    assert abs(np.ptp(above) + step - found.resolution) < 1.5 * step
    assert (
        abs(found.area(0, 3000) / INTENSITY - 1) < 0.03
    )  # "none" falls off as slowly as 1/distance


def test_a_mode_absorbs_light_polarized_along_it_alone():
    dipole, _ = oscillator(1000.0, axis=2)
    found = spectrum_from_dipole(dipole, 0.001, TEMPERATURE)
    assert np.abs(found.components[:, :2]).max() == 0
    assert np.abs(found.isotropic - found.components[:, 2] / 3).max() < 1e-12


def test_where_the_dipole_is_counted_from_and_how_the_axes_lie_does_not_matter():
    dipole, turn = (
        liquid(duration=20.0),
        np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0],
    )
    one = spectrum_from_dipole(dipole, 0.02, TEMPERATURE)
    two = spectrum_from_dipole(dipole @ turn.T + [1, 2, 3], 0.02, TEMPERATURE)
    assert np.abs(one.isotropic - two.isotropic).max() < 1e-9 * one.isotropic.max()


def test_a_steady_current_is_no_absorption():
    _, current = oscillator(1000.0, duration=2.0)
    one, two = (
        spectrum_from_current(current + drift, 0.001, TEMPERATURE)
        for drift in (0.0, 10.0 * current.max())
    )
    assert np.abs(one.components - two.components).max() < 1e-6 * one.components.max()


def test_correlations_are_those_of_an_endless_series():
    times = np.arange(0, 5.0, 0.001)
    series = np.cos(2 * np.pi * 7.0 * times)[:, None] * np.ones(3)
    found = autocorrelation(series, 4000)
    assert (
        np.abs(found[:, 0] - 0.5 * np.cos(2 * np.pi * 7.0 * times[:4000])).max() < 0.02
    )  # 7 periods are left at the longest lag


def test_a_current_comes_from_born_charges_and_velocities():
    rng = np.random.default_rng(0)
    born, velocities = rng.normal(size=(7, 4, 3, 3)), rng.normal(size=(7, 4, 3))
    current = infrared.current_of(born, velocities)
    assert current.shape == (7, 3)
    assert abs(current[2, 1] - sum(born[2, i, 1] @ velocities[2, i] for i in range(4))) < 1e-14


# Sum rules of a liquid


def test_the_loss_sums_to_the_static_dielectric_constant():
    """Kramers and Kronig: (2/π)∫ε''/ω dω = ε(0) − ε∞, here from the fluctuations of the same
    dipole."""
    dipole, volume = liquid(), 500.0
    found = spectrum_from_dipole(dipole, 0.02, TEMPERATURE, volume, longest_lag=4.0)
    assert found.unit == "cm⁻¹"
    wavenumbers, loss = found.wavenumbers[1:], found.loss[1:].mean(axis=1)
    total = 2 / np.pi * np.trapezoid(loss / wavenumbers, wavenumbers)
    static = static_from_fluctuations(dipole, volume, TEMPERATURE).isotropic - 1
    assert static > 0.5
    assert abs(total / static - 1) < 0.03  # noise at the lowest wavenumbers


def test_half_the_volume_absorbs_twice():
    dipole = liquid(duration=20.0)
    one, two = (
        spectrum_from_dipole(dipole, 0.02, TEMPERATURE, volume) for volume in (1000.0, 500.0)
    )
    assert np.abs(2 * one.components - two.components).max() < 1e-9 * two.components.max()


# A molecule


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


# Command line


@pytest.fixture
def table(tmp_path):
    """A table of DipoleReporter's columns with a mode at 300 cm⁻¹ along x."""
    dipole, _ = oscillator(300.0, duration=10.0, interval=0.01)
    names = ["step", "time_ps"] + [
        f"{name}_{axis}_{u}"
        for name, u in (("field", "V_per_A"), ("dipole", "eA"))
        for axis in "xyz"
    ]
    n = len(dipole)
    values = np.column_stack([np.arange(n), 0.01 * np.arange(n), np.zeros((n, 3)), dipole])
    np.savetxt(tmp_path / "dipole.csv", values, delimiter=",", header=",".join(names), comments="")
    return tmp_path / "dipole.csv"


def test_the_command_line_finds_the_mode_and_draws_it(table, capsys):
    assert (
        main(["analyze", "infrared", str(table), "--temperature", "300", "--longest-lag", "2ps"])
        == 0
    )
    shown = capsys.readouterr().out
    peak = float(shown.split("peak at")[1].split()[0])
    assert abs(peak - 300) < POSITION
    assert (table.parent / "infrared.png").stat().st_size > 10_000
    columns = np.genfromtxt(table.parent / "infrared.csv", delimiter=",", names=True)
    assert abs(columns["wavenumber_per_cm"][columns["absorption"].argmax()] - 300) < 3


def test_the_command_line_gives_a_dielectric_constant_where_there_is_a_volume(table, capsys):
    arguments = ["analyze", "dielectric", str(table), "--temperature", "300"]
    assert main(arguments) == 2
    assert "give --volume" in capsys.readouterr().err
    assert main([*arguments, "--volume", "100", "--eps-inf", "2", "--blocks", "4"]) == 0
    assert "static dielectric constant" in capsys.readouterr().out
    assert (table.parent / "dielectric.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["infrared", "missing.csv"], "does not exist"),
        (["infrared", "FILE"], "temperature: the file has none"),
        (["infrared", "FILE", "FILE"], "files: expected at most 1"),
        (
            ["infrared", "FILE", "--temperature", "300", "--window", "square"],
            "window: expected one of",
        ),
        (
            ["infrared", "FILE", "--temperature", "300", "--longest-lag", "1ns"],
            "longest_lag: expected",
        ),
        (["infrared", "FILE", "--temperature", "300", "--skip", "10ps"], "expected at least 9"),
    ],
)
def test_wrong_input_is_named(arguments, words, table, capsys):
    assert main(["analyze", *(str(table) if word == "FILE" else word for word in arguments)]) == 2
    assert words in capsys.readouterr().err


def test_an_unknown_analysis_is_told_the_known_ones(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["analyze", "raman", "FILE"])
    assert stop.value.code == 2
    assert "infrared" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"current": np.zeros((5, 3))}, "current: expected at least 8"),
        ({"current": np.full((50, 3), np.inf)}, "current: expected finite"),
        ({"interval": 0.0}, "interval: expected a positive"),
        ({"temperature": np.nan}, "temperature: expected a positive"),
        ({"volume": -1.0}, "volume: expected a positive"),
        ({"longest_lag": np.inf}, "longest_lag: expected a positive"),
        ({"longest_lag": np.nan}, "longest_lag: expected a positive"),
    ],
)
def test_unusable_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        spectrum_from_current(
            **{"current": np.zeros((50, 3)), "interval": 0.001, "temperature": 300.0, **change}
        )


def test_a_dipole_that_is_too_short_is_called_a_dipole():
    """Its differences are one fewer."""
    with pytest.raises(ValueError, match="dipole: expected at least 9"):
        spectrum_from_dipole(np.zeros((8, 3)), 0.001, 300.0)
    assert spectrum_from_dipole(np.zeros((9, 3)), 0.001, 300.0).isotropic.max() == 0


def test_a_molecule_has_no_dielectric_function():
    with pytest.raises(ValueError, match="molecule"):
        _ = spectrum_from_dipole(liquid(duration=1.0), 0.02, TEMPERATURE).loss
