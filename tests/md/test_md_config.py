"""The description of a run: its units and defaults, its file, and the settings that are refused."""

import dataclasses

import pytest

from openmm_pqeq.cli.analyses.run_files import settings_of
from openmm_pqeq.md.config import read_toml, run_config, write_toml
from openmm_pqeq.md.plot import read_table
from openmm_pqeq.md.settings import RunConfig
from openmm_pqeq.pqeq.parameters import resolve_parameters

GOOD = {"structure": "a.cif", "model": "m", "output": "o", "time": "1ps"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": "-1"}, "temperature: expected a number that is not negative"),
        ({"temperature": "warm"}, "temperature: expected a number"),
        ({"temperature": "nan"}, "temperature: expected a number"),
        ({"temperature": 0}, "temperature: NVT needs a positive"),
        ({"timestep": "-1"}, "timestep: expected a positive time"),
        ({"timestep": "1 m"}, "timestep: expected a number with one of the units fs"),
        ({"time": "0"}, "time: expected a positive time"),
        ({"steps": 10}, "time: give either"),
        ({"ensemble": "NVX"}, "ensemble: expected one of NVE, NVT, NPT"),
        ({"barostat": "cubic"}, "barostat: expected one of isotropic"),
        ({"pressure": "1 furlong"}, "pressure: expected a number with one of the units bar"),
        (
            {"ensemble": "NPT", "barostat": "anisotropic", "scale_axes": [False, False, False]},
            "scale_axes",
        ),
        ({"field": ["0", "0", "0.1*x"]}, "field: 'x'"),
        ({"field": ["0", "0"]}, "field: expected three"),
        ({"field": ["0", "0", "nan"]}, "field: 'nan'"),
        ({"supercell": ["2", "2", "0"]}, "supercell: expected a whole number above zero"),
        ({"total_charge": "one"}, "total_charge: expected a number"),
        ({"coupling": "strong"}, "coupling: expected one of shell, full, fragment"),
        ({"tolerance": "0"}, "tolerance: expected a positive"),
        ({"seed": "0"}, "seed: expected"),
        ({"restart_interval": "2.5"}, "restart_interval: expected a whole number"),
        ({"minimize": "perhaps"}, "minimize: expected true or false"),
        ({"temprature": 300}, "temprature: not a setting"),
        ({"model": ""}, "model: expected text"),
        ({"inner_steps": 8}, "inner_steps: expected an inner_model"),
    ],
)
def test_wrong_settings_are_named_with_what_was_expected(settings, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the message is what is tested)
        run_config(GOOD | settings)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("name", ["structure", "model", "output", "time"])
def test_a_missing_setting_is_named(name):
    with pytest.raises(ValueError, match=f"^{name}: missing"):
        run_config({key: value for key, value in GOOD.items() if key != name})


def test_units_and_text_are_understood():
    config = run_config(
        GOOD
        | {
            "timestep": "0.5 fs",
            "time": "2e3fs",
            "pressure": "1 GPa",
            "equilibrate": "0.1",
            "ensemble": "npt",
            "seed": "7",
        }
    )
    assert (config.timestep, config.time, config.n_steps, config.equilibration_steps) == (
        0.5,
        2.0,
        4000,
        200,
    )
    assert (config.pressure, config.ensemble, config.seed) == (1e4, "NPT", 7)


def test_the_description_survives_its_file(tmp_path):
    settings = {
        "field": [0, 0.5, "0.02*sin(2*pi*t/10)"],
        "supercell": [2, 1, 3],
        "minimize": True,
        "periodic": [True, True, False],
    }
    config = run_config(
        GOOD | settings | {"pressure": -3.5, "tolerance": 1e-7, "output": str(tmp_path)}
    )
    (tmp_path / "run.toml").write_text(write_toml(dataclasses.replace(config, output=".")))
    again = run_config(read_toml(tmp_path / "run.toml") | {"structure": config.structure})
    assert again == config
    for name, default in dataclasses.asdict(RunConfig()).items():
        assert name in write_toml(config), (name, default)


def test_a_file_that_is_not_toml_is_refused(tmp_path):
    (tmp_path / "run.toml").write_text("structure = ")
    with pytest.raises(ValueError, match="not a TOML file"):
        read_toml(tmp_path / "run.toml")


def test_the_mark_with_which_editors_begin_a_file_is_no_text(tmp_path):
    """A byte-order mark, as Notepad and Excel write it, in TOML and in tables."""
    path, mark = tmp_path / "run.toml", b"\xef\xbb\xbf"
    text = b'structure = "a.cif"\nmodel = "m"\noutput = "o"\nsteps = 3\n'
    path.write_bytes(text)
    plain = read_toml(path)
    path.write_bytes(mark + text)
    assert read_toml(path) == plain
    assert settings_of(tmp_path)["steps"] == 3  # of the folder of a run
    table = tmp_path / "table.csv"
    table.write_bytes(mark + b"step,time_ps\n1,0.1\n2,0.2\n")
    assert read_table(table)["step"].tolist() == [1, 2]
    parameters = b"element,pol,chi,eta,Z,R_core,K2\nMg,1,3,12,1,1.5,300\n"
    table.write_bytes(parameters)
    plain = resolve_parameters(str(table))
    table.write_bytes(mark + parameters)
    assert resolve_parameters(str(table)) == plain
