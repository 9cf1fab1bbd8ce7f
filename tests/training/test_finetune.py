"""Fine-tuning: what is trained and what is not, shifts, subsets, files that stay as they are.

The data are labelled by a known model whose readout or element shifts differ from those of the
model that is fine-tuned (tuned_readout.py).
"""

import json

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from known_network import silent
from tuned_readout import N_FRAMES, config, model, write_frames

import openmm_pqeq as pq

pytest.importorskip("lightning", reason="training needs the extra `train`")

from openmm_pqeq.training import finetune, parts
from openmm_pqeq.training.config import config_of
from openmm_pqeq.training.prepare import fit_shifts, prepare


def test_a_readout_is_recovered_and_nothing_else_moves(files, tmp_path):
    """The labels differ by the readout alone: held-out force errors fall to a fiftieth, energies to
    1 meV/atom (refitted shifts)."""
    before = (files / "model.pt").read_bytes()
    result = finetune(config(files, epochs=150, learning_rate=0.1), tmp_path / "new.pt", say=silent)
    written = json.loads((tmp_path / "new" / "errors.json").read_text())
    assert (
        written["errors"]["held out"]["force_rmse"]
        < 0.02 * written["errors_before"]["held out"]["force_rmse"]
    )
    assert (
        written["errors"]["held out"]["energy_rmse"]
        < 0.02 * written["errors_before"]["held out"]["energy_rmse"]
    )
    assert written["trained_parameters"] == 8 * 4 + 4
    old, new = (pq.load(path).gnn.state_dict() for path in (files / "model.pt", result.model))
    for name in old:
        assert torch.equal(old[name], new[name]) == (
            not name.startswith("readout") and name != "shift"
        ), name
    assert result.model == tmp_path / "new.pt"
    assert (files / "model.pt").read_bytes() == before
    assert pq.checkpoint.card(result.model)["fine_tuned_from"]["card"] == {"title": "before"}
    assert (tmp_path / "new" / "parity.png").stat().st_size > 10_000
    assert "before" in (tmp_path / "new" / "errors.txt").read_text()


def test_the_new_model_has_the_errors_of_its_report(files, tmp_path):
    """Of the whole potential, on the held-out frames: to 1e-6 of a force of 1 eV/Å."""
    result = finetune(config(files), tmp_path / "new.pt", say=silent)
    potential = pq.load(result.model)
    images = ase.io.read(files / "frames.traj", index=":")
    differences, energies = [], []
    for index in sorted(np.random.default_rng(0).permutation(N_FRAMES)[:3]):
        atoms = images[index]
        found = pq.PQEqCalculator(potential, tolerance=1e-9)
        differences.append((found.get_forces(atoms) - atoms.get_forces()).ravel())
        energies.append(
            (found.get_potential_energy(atoms) - atoms.get_potential_energy()) / len(atoms)
        )
    errors = result.errors["held out"]
    assert 1000 * np.sqrt(np.mean(np.concatenate(differences) ** 2)) == pytest.approx(
        errors.force_rmse, abs=1e-3
    )
    assert 1000 * np.sqrt(np.mean(np.square(energies))) == pytest.approx(
        errors.energy_rmse, abs=1e-3
    )


def test_what_is_not_trained_keeps_every_digit(files, tmp_path):
    """In float32 as well: only the readout of a model in float64 is rounded."""
    result = finetune(config(files, epochs=1, dtype="float32"), tmp_path / "new.pt", say=silent)
    old, new = (pq.load(path).gnn.state_dict() for path in (files / "model.pt", result.model))
    for name in old:
        assert torch.equal(old[name], new[name]) == (
            not name.startswith("readout") and name != "shift"
        ), name


def test_energies_of_reference_are_fitted(tmp_path):
    """Labels of the model itself with other element energies: 3, −2, 1 eV are found to 1e-6, and no
    error is left."""
    shifted = model()
    shifted.gnn.shift += torch.tensor([3.0, -2.0, 1.0], dtype=torch.float64)
    pq.save(model(), tmp_path / "model.pt")
    write_frames(tmp_path / "frames.traj", shifted)
    said: list[str] = []
    ready = prepare(config(tmp_path), said.append)
    expected = torch.tensor([-429.0, -12.0, -19.0], dtype=torch.float64)
    torch.testing.assert_close(ready.shifts, expected, rtol=0, atol=1e-6)
    assert any("O +3.000, Na -2.000, Mg +1.000" in line for line in said)
    again = fit_shifts(ready, ready.model, silent)
    torch.testing.assert_close(again.shifts, ready.shifts, rtol=0, atol=1e-8)
    kept = prepare(config(tmp_path, start={"shifts": "keep"}), silent)
    torch.testing.assert_close(kept.shifts, model().gnn.shift, rtol=0, atol=0)


def test_a_smaller_subset_is_part_of_a_larger_one_and_measured_on_the_same_frames(files):
    ready = []
    for subset in ("34%", "67%", "100%"):
        settings = config(files)
        table = {
            "files": list(settings.data.files),
            "held_out": {"seed": 4, "n": "25%"},
            "subset": subset,
        }
        ready.append(
            prepare(
                config_of({"data": table, "start": {"model": str(files / "model.pt")}}), silent
            ).split
        )
    assert [len(split.train) for split in ready] == [3, 6, 9]
    assert set(ready[0].train) < set(ready[1].train) < set(ready[2].train)
    assert (
        ready[0].held_out
        == ready[1].held_out
        == ready[2].held_out
        == sorted(np.random.default_rng(4).permutation(12)[:3].tolist())
    )


def test_parts_of_the_network_by_name():
    gnn = model().gnn
    every = [name for name, _ in gnn.named_parameters()]
    assert parts.select(gnn, "all") == every
    assert parts.select(gnn, "none") == []
    assert parts.select(gnn, "readout") == ["readout.0.weight", "readout.1.weight"]
    assert all(name.startswith("interactions.1.") for name in parts.select(gnn, "layer.1"))
    assert set(parts.select(gnn, "layer.0,layer.1")) == {
        name for name in every if name.startswith("interactions.")
    }
    assert {name.split(".")[2] for name in parts.select(gnn, "radial, self-connection")} == {
        "radial",
        "self_connection",
    }
    assert parts.select(gnn, r"readout\.1") == ["readout.1.weight"]
    named = parts.part_names(gnn)
    assert {"readout", "layer.0", "layer.1", "all"} <= set(named)
    assert "layer.2" not in named
    for wrong in ("layer.2", "head", "", "("):
        with pytest.raises(
            ValueError,
            match=r"expected some of readout, layer\.0, layer\.1, radial, self-connection",
        ):
            parts.select(gnn, wrong)


def test_elements_that_the_model_does_not_know_are_refused(files, tmp_path):
    atoms = Atoms("LiO", positions=[[0, 0, 0], [0, 0, 2.0]], cell=[4, 4, 4], pbc=True)
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((2, 3)))
    ase.io.write(tmp_path / "li.traj", [atoms] * 5)
    with pytest.raises(ValueError, match=r"Li is not in the model .*model\.pt"):
        finetune(
            config_of(
                {
                    "data": {"files": [str(tmp_path / "li.traj")]},
                    "start": {"model": str(files / "model.pt")},
                }
            ),
            tmp_path / "new.pt",
            say=silent,
        )


def test_an_interrupted_fine_tuning_goes_on(files, tmp_path):
    """To the same weights, to the last bit."""
    whole = finetune(config(files, epochs=3), tmp_path / "whole.pt", say=silent)

    def interrupt(line: str) -> None:
        if line.startswith("epoch    1"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(config(files, epochs=3), tmp_path / "parts.pt", say=interrupt)
    assert not (tmp_path / "parts.pt").exists()
    parted = finetune(config(files, epochs=3), tmp_path / "parts.pt", resume=True, say=silent)
    one, two = (pq.load(result.model).gnn.state_dict() for result in (whole, parted))
    for name in one:
        assert torch.equal(one[name], two[name]), name
