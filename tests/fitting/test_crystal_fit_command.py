"""Files of crystals, their labels and their two sides, and the command that fits to them."""

import csv
import gzip
import json

import ase
import numpy as np
import pytest
from salts import PUBLISHED, crystal, labelled, salts

from openmm_pqeq.cli import main
from openmm_pqeq.fitting.crystals.data import read_crystals, split_by_system
from openmm_pqeq.fitting.crystals.table import BOND_COLUMNS, SHELL_COLUMNS


def test_a_chemical_system_is_on_one_side():
    crystals = [
        crystal(s, 2.6, f"{s} {k}", k) for s in ("NaCl", "KF", "LiF", "KCl") for k in range(3)
    ]
    fitted, held_out = split_by_system(crystals, 0.5, seed=3)
    systems = [{crystals[index].system for index in side} for side in (fitted, held_out)]
    assert not systems[0] & systems[1]
    assert len(held_out) == 6
    assert split_by_system(crystals, 0.5, seed=3) == (fitted, held_out)


def written(folder, crystals) -> str:
    """Crystals as lines of JSON, compressed."""
    with gzip.open(folder / "crystals.jsonl.gz", "wt") as file:
        for one in crystals:
            row = {
                "id": one.name,
                "cell": one.atoms.cell.tolist(),
                "numbers": one.atoms.numbers.tolist(),
                "frac": one.atoms.get_scaled_positions().tolist(),
                "born": one.born.tolist(),
                "eps_inf": one.epsilon.tolist(),
            }
            file.write(json.dumps(row) + "\n")
    return "crystals.jsonl.gz"


def test_files_come_back_as_they_were_written(tmp_path):
    crystals, _ = labelled(salts()[:3], BOND_COLUMNS)
    (one, *_), frames = read_crystals([tmp_path / written(tmp_path, crystals)], 14), []
    np.testing.assert_allclose(one.born, crystals[0].born)
    np.testing.assert_allclose(one.epsilon, crystals[0].epsilon)
    assert one.labelled
    for known in crystals:
        atoms = known.atoms.copy()
        atoms.arrays["born_charge"] = known.born.reshape(-1, 9)
        atoms.info["dielectric"] = known.epsilon
        frames.append(atoms)
    ase.io.write(tmp_path / "frames.extxyz", frames)
    (again, *_) = read_crystals([tmp_path / "frames.extxyz"], 14)
    np.testing.assert_allclose(again.born, one.born, atol=1e-7)


def test_labels_that_break_the_sum_rule_are_not_fitted():
    (one, *_), _ = labelled(salts()[:1], BOND_COLUMNS)
    assert one.labelled
    assert not one._replace(born=one.born + 0.3).labelled
    assert not crystal("NaCl", 2.8).labelled


def test_files_that_are_no_crystals_are_refused(tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"cell": 1}\n')
    with pytest.raises(ValueError, match=r"bad.jsonl, line 1: expected a crystal with cell"):
        read_crystals([tmp_path / "bad.jsonl"], 14)
    with pytest.raises(FileNotFoundError, match="no file"):
        read_crystals([tmp_path / "none.jsonl"], 14)
    crystals, _ = labelled(salts()[:1], BOND_COLUMNS)
    name = written(tmp_path, crystals)
    with pytest.raises(ValueError, match="no crystal of at most 1 atoms"):
        read_crystals([tmp_path / name], 1)


@pytest.mark.parametrize("flow", ["bonds", "free"])
def test_the_command_fits_crystals(tmp_path, flow):
    """From a TOML file to a folder: a table with all elements, a card with errors by chemistry."""
    crystals, _ = labelled(salts(), BOND_COLUMNS if flow == "bonds" else SHELL_COLUMNS)
    name = written(tmp_path, crystals)
    (tmp_path / "fit.toml").write_text(
        f'crystals = "{name}"\ncharge_flow = "{flow}"\nheld_out = 0.2\nleast = 3\niterations = 2\n'
    )
    folder = tmp_path / "out"
    assert main(["fit-pqeq", str(tmp_path / "fit.toml"), "--output", str(folder)]) == 0
    assert {"card.json", "errors.txt", "parameters.csv", "parity.png", "state.json"} <= {
        path.name for path in folder.iterdir()
    }
    text = (folder / "parameters.csv").read_text(encoding="utf-8").splitlines()
    lines = [line for line in text if line[0] != "#"]
    rows = list(csv.DictReader(lines))
    sources = {row["element"]: row["source"] for row in rows}
    assert sources["Na"] == "fitted"
    assert sources["U"] == "published"
    assert len(sources) == len(PUBLISHED)
    types = [row["element"] + row["reference_charge"] for row in rows if row["reference_charge"]]
    assert ({"F-1", "Cl-1"} <= set(types)) == (flow == "bonds")
    assert ("softness" in rows[0]) == (flow == "bonds")
    card = json.loads((folder / "card.json").read_text())
    assert card["errors"]["held out"]["halide"]["unsolved"] == 0
    assert len(card["held_out"]) == 2
    assert sum(each["crystals"] for each in card["errors_by_rarest_ion"].values()) == 2
    assert "rarest ion" in (folder / "errors.txt").read_text(encoding="utf-8")
    assert main(["fit-pqeq", str(tmp_path / "fit.toml"), "--output", str(folder)]) != 0
    again = ["fit-pqeq", str(folder / "fit.toml"), "--output", str(folder), "--resume"]
    assert main(again) == 0


def test_settings_that_are_wrong_are_refused(tmp_path, capsys):
    name = written(tmp_path, labelled(salts()[:2], BOND_COLUMNS)[0])
    toml = tmp_path / "fit.toml"
    for line, message in (
        ("softness = 1", "softness: not a setting"),
        ('charge_flow = "none"', "charge_flow: expected one of bonds, free"),
        ("held_out = 2.0", "held_out"),
        ('parameters = "pqeq1"', "'pqeq1' has no"),
    ):
        toml.write_text(f'crystals = ["{name}"]\n{line}\n')
        assert main(["fit-pqeq", str(toml), "--output", str(tmp_path / "out")]) != 0
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
