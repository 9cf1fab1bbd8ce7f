"""Training data and settings: split, shifts, labels in every form, what is refused."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

import openmm_pqeq as pq

pytest.importorskip("lightning", reason="training needs the extra `train`")

from openmm_pqeq.training import samples as data
from openmm_pqeq.training.config import config_of, read_config
from openmm_pqeq.training.frames import Frame, frame_of, read_frames
from openmm_pqeq.training.settings import DataSettings, HeldOut

N_FRAMES, HELD_OUT = 20, 5


def table(file: Path) -> dict:
    """A training file's content."""
    return {
        "data": {"files": [str(file)], "held_out": {"seed": 0, "n": HELD_OUT}},
        "potential": {"gnn": {}},
        "training": {},
    }


# --- split and shifts ---


def test_split_is_the_stated_permutation():
    settings = DataSettings(files=("x",), held_out=HeldOut(0, HELD_OUT), validation=4)
    split = data.split_frames(N_FRAMES, settings)
    order = np.random.default_rng(0).permutation(N_FRAMES)
    assert split.held_out == sorted(order[:HELD_OUT].tolist())
    assert split.validation == sorted(order[HELD_OUT : HELD_OUT + 4].tolist())
    assert sorted(split.train + split.validation + split.held_out) == list(range(N_FRAMES))
    assert data.split_frames(10, DataSettings(files=("x",)), 3).held_out == [7, 8, 9]


def labelled(formula: str, energy: float) -> Frame:
    atoms = Atoms(formula, positions=np.arange(3 * len(Atoms(formula))).reshape(-1, 3))
    atoms.info["energy"], atoms.arrays["forces"] = energy, np.zeros((len(atoms), 3))
    return frame_of(atoms, DataSettings(files=("x",)), formula)


def test_shifts_are_exact_where_compositions_determine_them():
    frames_ = [
        labelled("H2O", -14.0),
        labelled("HO", -12.0),
        labelled("H2", -4.0),
        labelled("O2", -20.0),
    ]
    shifts = data.element_shifts(frames_, ["H", "O"])
    torch.testing.assert_close(
        shifts, torch.tensor([-2.0, -10.0], dtype=torch.float64), rtol=0, atol=1e-12
    )


def test_shifts_of_a_single_composition_are_of_minimum_norm():
    """Ba Ti O3 with E = −22 eV: proportional to the counts, −22/11 (1, 1, 3)."""
    shifts = data.element_shifts(
        [labelled("BaTiO3", -22.0), labelled("Ba2Ti2O6", -44.0)], ["Ba", "Ti", "O"]
    )
    torch.testing.assert_close(
        shifts, torch.tensor([-2.0, -2.0, -6.0], dtype=torch.float64), rtol=0, atol=1e-12
    )


def test_given_atomic_energies_are_kept():
    shifts = data.element_shifts([labelled("BaTiO3", -22.0)], ["Ba", "Ti", "O"], {"O": -4.0})
    torch.testing.assert_close(
        shifts, torch.tensor([-5.0, -5.0, -4.0], dtype=torch.float64), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("form", ["nine", "matrix", "voigt", "negative"])
def test_stress_in_every_form(form):
    matrix = np.array([[1.0, 6.0, 5.0], [6.0, 2.0, 4.0], [5.0, 4.0, 3.0]])
    value = {
        "nine": matrix.ravel(),
        "matrix": matrix,
        "voigt": np.arange(1.0, 7.0),
        "negative": -matrix,
    }[form]
    atoms = Atoms("H", cell=[2, 2, 2], pbc=True, info={"REF_energy": 1.0, "my_stress": value})
    atoms.arrays["REF_forces"] = np.zeros((1, 3))
    settings = DataSettings(
        files=("x",), stress_key="my_stress", stress_sign=-1 if form == "negative" else 1
    )
    assert np.array_equal(frame_of(atoms, settings, "one").labels.stress.numpy(), matrix)


# --- bad input ---


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": {"learning_rat": 1.0}}, "did you mean 'learning_rate'"),
        (
            {"training": {"epochs": "many"}},
            "training.epochs: expected a whole number above zero, got 'many'",
        ),
        ({"training": {"epochs": 0}}, "training.epochs: expected a whole number above zero, got 0"),
        ({"training": {"schedule": "linear"}}, "expected one of constant, cosine, cosine-time"),
        ({"training": {"schedule": "cosine-time"}}, "training.max_time"),
        ({"training": {"max_time": "1 fortnight"}}, "HH:MM:SS"),
        ({"training": {"ema": 1.0}}, "training.ema"),
        ({"training": {"patience": 3}}, "data.validation"),
        ({"training": {"max_time": -60}}, "training.max_time: expected seconds, .* 0 or more"),
        (
            {"training": {"energy_weight": 0, "force_weight": 0.0, "stress_weight": 0}},
            "force_weight, stress_weight: expected one above 0, or nothing is learnt",
        ),
        ({"training": {"learning_rate": math.nan}}, "training.learning_rate: expected a number"),
        ({"training": {"gradient_clip": math.nan}}, "training.gradient_clip: expected a number"),
        ({"training": {"seed": -1}}, "training.seed: expected a whole number"),
        ({"training": {"force_weight": math.inf}}, "training.force_weight: expected a number"),
        ({"training": {"max_time": 1e300}}, "training.max_time: expected seconds"),
        ({"training": {"threads": 10**400}}, "training.threads: expected a whole number"),
        ({"training": {"device": "gpu"}}, "training.device: expected one of cpu, cuda"),
        ({"data": {"held_out": 12}}, "data.held_out"),
        ({"data": {"held_out": {"seed": -1}}}, "data.held_out.seed: expected a whole number"),
        ({"data": {"files": []}}, "data.files"),
        ({"data": {"stress_sign": 2}}, "data.stress_sign"),
        (
            {"potential": {"ewald": {}}},
            "potential.ewald: not a setting; expected one of gnn, pqeq, d3",
        ),
        ({"model": {}}, "model: not a setting"),
    ],
)
def test_settings_that_are_refused(change, message):
    content = table(Path("x"))
    for part, values in change.items():
        content[part] = content.get(part, {}) | values
    with pytest.raises(ValueError, match=message):
        config_of(content)


def test_files_that_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[data\n")
    with pytest.raises(ValueError, match="not a TOML file"):
        read_config(tmp_path / "bad.toml")
    with pytest.raises(FileNotFoundError, match=r"data\.files"):
        read_frames(["none.xyz"], DataSettings(files=("none.xyz",)), tmp_path)
    (tmp_path / "bad.xyz").write_text("not a structure\n")
    with pytest.raises(ValueError, match="ASE cannot read"):
        read_frames(["bad.xyz"], DataSettings(files=("bad.xyz",)), tmp_path)
    with pytest.raises(ValueError, match="fewer than the 5 frames"):
        data.split_frames(5, DataSettings(files=("x",), validation=5))


def test_labels_that_are_refused():
    atoms = Atoms("H", cell=[2, 2, 2], pbc=True, info={"energy": 1.0})
    settings = DataSettings(files=("x",))
    with pytest.raises(ValueError, match=r"frame 3: no forces: expected forces or .* got energy"):
        frame_of(atoms, settings, "frame 3")
    atoms.arrays["forces"] = np.array([[0.0, math.nan, 0.0]])
    with pytest.raises(ValueError, match="frame 3: forces: expected finite"):
        frame_of(atoms, settings, "frame 3")
    atoms.arrays["forces"] = np.zeros((1, 3))
    with pytest.raises(ValueError, match="no stress: expected 'virial'"):
        frame_of(atoms, DataSettings(files=("x",), stress_key="virial"), "frame 3")
    atoms.info["stress"] = np.zeros(5)
    with pytest.raises(ValueError, match="6 or 9 numbers"):
        frame_of(atoms, settings, "frame 3")


def test_the_shipped_training_file_is_valid():
    config = read_config(Path(pq.__file__).parent / "models" / "batio3.toml")
    assert config.data.held_out.n == 12
    assert config.potential["pqeq"]["protocol"] == "ewald"
