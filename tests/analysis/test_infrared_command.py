"""Infrared spectra from the command line."""

import numpy as np
import pytest
from oscillators import POSITION, oscillator

from openmm_pqeq.cli import main


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
