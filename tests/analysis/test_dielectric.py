"""Dielectric constants: a lattice of dipoles of known fluctuation, errors that are errors, and the
polarizability of a cell."""

import numpy as np
import pytest
from ase import Atoms

from openmm_pqeq.analysis import dielectric
from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.cli import main
from openmm_pqeq.potential import build
from openmm_pqeq.units import BOHR, BOLTZMANN, COULOMB, HARTREE

VOLUME, TEMPERATURE = 1000.0, 300.0  # Å³, K


def gaussian_dipole(n, spread, correlated=1, seed=0):
    """(n, 3) e Å of standard deviations `spread` (3,), each moment repeated `correlated` times."""
    moments = np.random.default_rng(seed).normal(size=(n // correlated, 3)) * spread
    return np.repeat(moments, correlated, axis=0)


def test_dipoles_that_do_not_feel_each_other_obey_debye():
    """ε = 1 + 4πk_e N μ²/(3V kT): 100 free dipoles of 1.85 D, those of water vapour."""
    moment, n_dipoles, n_moments = 1.85 * 0.20819434, 100, 20_000  # e Å
    directions = np.random.default_rng(0).normal(size=(n_moments, n_dipoles, 3))
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    found = dielectric.static_from_fluctuations(
        moment * directions.sum(axis=1), VOLUME, TEMPERATURE
    )
    expected = 1 + 4 * np.pi * COULOMB * n_dipoles * moment**2 / (
        3 * VOLUME * BOLTZMANN * TEMPERATURE
    )
    assert expected > 30
    assert abs(found.isotropic / expected - 1) < 0.02  # 60 000 squares of Gaussians: 0.6 %


def test_each_direction_has_its_own_fluctuations():
    spread = np.array([1.0, 2.0, 3.0])  # e Å
    found = dielectric.static_from_fluctuations(
        gaussian_dipole(100_000, spread), VOLUME, TEMPERATURE, high_frequency=2.5
    )
    expected = 2.5 + 4 * np.pi * COULOMB * spread**2 / (VOLUME * BOLTZMANN * TEMPERATURE)
    assert np.abs(np.diag(found.tensor) / expected - 1).max() < 0.02  # 100 000 moments: 0.5 % each
    assert abs(found.isotropic - np.trace(found.tensor) / 3) < 1e-12
    assert np.abs(found.tensor - np.diag(np.diag(found.tensor))).max() < 0.5


def test_a_constant_dipole_does_not_count_unless_symmetry_says_that_it_is_a_fluctuation():
    dipole = gaussian_dipole(1000, 1.0)
    one = dielectric.static_from_fluctuations(dipole, VOLUME, TEMPERATURE)
    two = dielectric.static_from_fluctuations(dipole + np.array([5, 6, 7]), VOLUME, TEMPERATURE)
    assert np.abs(one.tensor - two.tensor).max() < 1e-9
    about_zero = dielectric.static_from_fluctuations(
        dipole + np.array([5, 6, 7]), VOLUME, TEMPERATURE, mean=np.zeros(3)
    )
    assert about_zero.tensor[0, 0] > one.tensor[0, 0] + 100


def test_the_tensor_turns_with_the_axes():
    dipole = gaussian_dipole(2000, np.array([1.0, 2.0, 3.0]))
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    one, two = (
        dielectric.static_from_fluctuations(series, VOLUME, TEMPERATURE)
        for series in (dipole, dipole @ turn.T)
    )
    assert np.abs(turn @ one.tensor @ turn.T - two.tensor).max() < 1e-9
    assert abs(one.isotropic - two.isotropic) < 1e-9


@pytest.mark.parametrize("correlated", [1, 20])
def test_block_errors_are_the_spread_of_repeated_runs(correlated):
    runs = [
        dielectric.static_from_fluctuations(
            gaussian_dipole(2000, 1.0, correlated, seed), VOLUME, TEMPERATURE, n_blocks=10
        )
        for seed in range(200)
    ]
    spread = np.std([run.isotropic for run in runs])
    error = np.sqrt(np.mean([run.isotropic_error**2 for run in runs]))
    assert 0.8 < error / spread < 1.2  # 200 runs of 10 blocks: 5 % and 2 %


def test_the_running_constant_ends_where_the_whole_series_does():
    dipole = gaussian_dipole(500, 1.0) + 100.0
    running = dielectric.running_static(dipole, VOLUME, TEMPERATURE, 3.0)
    assert (
        abs(
            running[-1]
            - dielectric.static_from_fluctuations(dipole, VOLUME, TEMPERATURE, 3.0).isotropic
        )
        < 1e-9
    )
    assert running[0] == 3.0


def test_opposite_fields_give_the_slope_of_the_polarization():
    susceptibility, field = (
        np.array([[4.0, 0.5, 0], [0.5, 3.0, 0], [0, 0, 2.0]]),
        np.array([0.0, 0.01, 0.0]),
    )
    noise = np.random.default_rng(2).normal(size=(2, 4000, 3)) * 1e-5  # e/Å²
    polarization = susceptibility @ field / (4 * np.pi * COULOMB)
    found = dielectric.static_from_fields(
        polarization + noise[0], -polarization + noise[1], field, high_frequency=2.0
    )
    assert np.abs(found.column - [0.5, 5.0, 0.0]).max() < 4 * found.error.max()
    assert 1e-3 < found.error.max() < 2e-2  # 1e-5 e/Å² · √(2/4000) · 4π·14.4/(2·0.01 V/Å) = 2e-3


def test_polarizable_points_on_a_lattice_obey_clausius_and_mossotti():
    """One narrow neon a cell: (ε−1)/(ε+2) = 4πk_e α/3V with the polarizability α of the atom by
    itself."""
    neon = {
        "electronegativity": 5.0,
        "hardness": 12.0,
        "core_charge": 1.0,
        "radius": 0.5,
        "spring_constant": 400.0,
    }
    edge, potential = (
        6.0,
        build({"pqeq": {"protocol": "ewald", "tolerance": 1e-12, "parameters": {"Ne": neon}}}),
    )
    atom, crystal = Atoms("Ne"), Atoms("Ne", cell=np.eye(3) * edge, pbc=True)
    alone = np.trace(PQEqCalculator(potential).get_property("polarizability", atom)) / 3
    infinite = dielectric.high_frequency(
        PQEqCalculator(potential).get_property("polarizability", crystal), edge**3
    )
    x = 4 * np.pi * COULOMB * alone / (3 * edge**3)
    assert abs(3 * x - 0.0483) < 1e-4  # without the neighbours' field; they add 0.0008
    assert (
        np.abs(infinite - np.eye(3) * (1 + 2 * x) / (1 - x)).max() < 1e-7
    )  # Gaussians of 0.5 Å do not overlap at 6 Å


def test_high_frequency_of_barium_titanate_from_its_atomic_units():
    """PBE: 4.84 from a polarizability of 1/(4πk_e) · 3.84 · V, whatever its units."""
    volume = 64.0
    alpha = np.eye(3) * 3.84 * volume / (4 * np.pi)  # Å³
    in_package_units = (
        alpha / BOHR**3 * BOHR**2 / HARTREE
    )  # a.u. of polarizability: bohr³ = e² bohr²/hartree
    assert (
        np.abs(dielectric.high_frequency(in_package_units, volume) - 4.84 * np.eye(3)).max() < 1e-6
    )


# Command line


def write_table(path, polarization, field):
    """A table of a run: polarization (n, 3) µC/cm², field (3,) V/Å, 300 K, 1000 Å³."""
    n = len(polarization)
    named = {
        "time_ps": np.arange(n) * 0.01,
        "temperature_K": np.full(n, TEMPERATURE),
        "volume_A3": np.full(n, VOLUME),
    }
    for i, axis in enumerate("xyz"):
        named |= {f"field_{axis}_V_per_A": np.full(n, field[i]), f"dipole_{axis}_eA": np.zeros(n)}
        named |= {f"polarization_{axis}_uC_per_cm2": polarization[:, i]}
    np.savetxt(
        path,
        np.column_stack(list(named.values())),
        delimiter=",",
        header=",".join(named),
        comments="",
    )


def test_two_runs_in_opposite_fields_give_epsilon_along_the_field(tmp_path, capsys):
    """ΔP of ±1 µC/cm² in ±0.01 V/Å: ε = ε∞ + 4π · 14.399645 · (1/1602.18)/0.01 = ε∞ + 11.294."""
    for name, sign in (("up", 1), ("down", -1)):
        (tmp_path / name).mkdir()
        write_table(
            tmp_path / name / "table.csv", np.full((20, 3), [0, 0, sign * 1.0]), [0, 0, sign * 0.01]
        )
    up, down = str(tmp_path / "up"), str(tmp_path / "down")
    assert (
        main(["analyze", "dielectric", up, down, "--eps-inf", "4.67", "--output", str(tmp_path)])
        == 0
    )
    assert "ε along z      15.964 ± 0.000" in capsys.readouterr().out
    assert main(["analyze", "dielectric", up, up]) == 2
    assert "opposite fields" in capsys.readouterr().err


def test_a_field_that_changes_is_refused(tmp_path, capsys):
    write_table(tmp_path / "table.csv", np.zeros((20, 3)), [0, 0, 0.01])
    rows = (tmp_path / "table.csv").read_text().replace("1.000000000000000021e-02", "0.02", 1)
    (tmp_path / "table.csv").write_text(rows)
    assert main(["analyze", "dielectric", str(tmp_path)]) == 2
    assert "changes with time" in capsys.readouterr().err


def test_the_dipole_of_a_crystal_is_volume_times_polarization(tmp_path, capsys):
    polarization = gaussian_dipole(1000, 1.0)  # µC/cm²
    write_table(tmp_path / "table.csv", polarization, [0, 0, 0])
    assert main(["analyze", "dielectric", str(tmp_path)]) == 0
    expected = dielectric.static_from_fluctuations(
        polarization * VOLUME / 1602.176634, VOLUME, TEMPERATURE
    ).isotropic
    assert f"static dielectric constant  {expected:.3f}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"volume": 0.0}, "volume: expected a positive"),
        ({"temperature": -1.0}, "temperature: expected a positive"),
        ({"dipole": np.zeros((100, 2))}, "dipole: expected at least"),
        ({"dipole": np.full((100, 3), np.nan)}, "dipole: expected finite"),
        ({"n_blocks": 1}, "n_blocks: expected 2"),
        (
            {"high_frequency": [2.0, 3.0, 4.0]},
            r"high_frequency: expected a number or a tensor of shape \(3, 3\)",
        ),
        ({"high_frequency": np.nan}, "high_frequency: expected a number or a tensor"),
        ({"mean": [0.0]}, "mean: expected three finite components"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    arguments = {"dipole": gaussian_dipole(100, 1.0), "volume": VOLUME, "temperature": TEMPERATURE}
    with pytest.raises(ValueError, match=message):
        dielectric.static_from_fluctuations(**{**arguments, **change})


def test_the_other_estimates_name_what_is_wrong_too():
    dipole = gaussian_dipole(100, 1.0)
    with pytest.raises(ValueError, match="volume: expected a positive"):
        dielectric.running_static(dipole, 0.0, TEMPERATURE)
    with pytest.raises(ValueError, match="temperature: expected a positive"):
        dielectric.running_static(dipole, VOLUME, 0.0)
    for field in (0.1, [0.1, 0.0], [0.0, 0.0, np.nan]):
        with pytest.raises(ValueError, match="field: expected three finite components"):
            dielectric.static_from_fields(dipole, dipole, field)
    with pytest.raises(ValueError, match="field: expected a positive"):
        dielectric.static_from_fields(dipole, dipole, [0.0, 0.0, 0.0])
