"""Replay of what a network said before it was fine-tuned, and the crystals on which it said it."""

import json

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from imported_network import config, network
from known_network import silent

import openmm_pqeq as pq
from openmm_pqeq.neighbors.search import NeighborSearch

pytest.importorskip("lightning", reason="training needs the extra `train`")

from openmm_pqeq.training import finetune
from openmm_pqeq.training.crystals import ANIONS, PROTOTYPES, crystal, varied_crystals
from openmm_pqeq.training.loss import predict_all
from openmm_pqeq.training.order import MixedBatches
from openmm_pqeq.training.prepare import prepare
from openmm_pqeq.training.processes import ALONE
from openmm_pqeq.training.replay import at_rest, labelled_by, moved

pytestmark = pytest.mark.usefixtures("few_crystals")

CUTOFF = 4.0


def test_replay_has_the_labels_of_the_model_itself(imported):
    """Those that the calculator gives of the model's file, the shifts taken off the energy."""
    ready = prepare(config(imported, {"replay": 2}), silent)
    potential = pq.load(imported / "model.pt")
    shifts = dict(zip(potential.gnn.species, potential.gnn.shift.tolist()))
    for frame in [*ready.replay.train[:3], *ready.replay.held_out[:3]]:
        atoms = Atoms(frame.numbers.numpy(), frame.positions.numpy())
        atoms.set_cell(frame.cell[0].numpy())
        atoms.pbc = True
        atoms.calc = pq.PQEqCalculator(potential)
        np.testing.assert_allclose(frame.forces, atoms.get_forces(), rtol=0, atol=1e-7)
        energy = atoms.get_potential_energy() - sum(shifts[s] for s in atoms.symbols)
        assert float(frame.energy) == pytest.approx(energy, abs=1e-7)
        assert "H" in atoms.symbols  # what the data do not have


def test_replay_holds_a_network_where_it_was(imported, tmp_path):
    """A fit without an error to begin with stays there; with one, the replayed frames end nearer to
    their labels than without."""
    errors = {}
    for name, n_mixed in (("with", 8), ("hardly", 1)):
        made = finetune(
            config(imported, {"replay": n_mixed}, epochs=40), tmp_path / f"{name}.pt", say=silent
        )
        errors[name] = made.errors["replay"].force_rmse
    report = json.loads((tmp_path / "with" / "errors.json").read_text())
    assert report["errors_before"]["replay"]["force_rmse"] == pytest.approx(0, abs=1e-6)
    assert sum(report["replay_frames"]) == report["frames"]["replay"] + report["replay_frames"][0]
    assert 0 < errors["with"] < 0.8 * errors["hardly"]
    assert "replay" in (tmp_path / "with" / "errors.txt").read_text()


def test_structures_of_a_file_are_replayed_in_the_place_of_crystals(imported, tmp_path):
    images = [Atoms("HO", [[0, 0, 0], [1.1, 0, 0]], cell=[5, 5, 5], pbc=True) for _ in range(7)]
    ase.io.write(tmp_path / "others.extxyz", images)
    start = {"replay": 2, "replay_files": [str(tmp_path / "others.extxyz")]}
    ready = prepare(config(imported, start), silent)
    assert [len(part) for part in ready.replay] == [6, 1]
    assert all(frame.numbers.tolist() == [1, 8] for frame in ready.replay.train)
    places = torch.stack([frame.positions for frame in ready.replay.train])
    assert float(places.std(0).min()) > 0.01
    images[3].symbols[0] = "He"
    ase.io.write(tmp_path / "others.extxyz", images)
    with pytest.raises(ValueError, match=r"others\.extxyz frame 3: He is not in the model"):
        prepare(config(imported, start), silent)


def test_every_batch_has_its_share_of_both_sets():
    """Each frame once an epoch; the others in turn, none before all the rest have been; the same
    again when an epoch is repeated."""
    batches = MixedBatches(n_frames=7, batch_size=3, n_others=5, n_mixed=2, seed=4, group=ALONE)
    seen: list[int] = []
    for epoch in range(5):
        batches.sampler.set_epoch(epoch)
        made = list(batches)
        assert made == list(batches)
        assert len(made) == len(batches) == 3
        assert sorted(i for one in made for i in one if i < 7) == list(range(7))
        assert [sum(i >= 7 for i in one) for one in made] == [2, 2, 2]
        seen += [i - 7 for one in made for i in one if i >= 7]
    for turn in range(6):
        assert sorted(seen[5 * turn : 5 * turn + 5]) == list(range(5))
    assert seen[:5] != seen[5:10]


def test_crystals_are_what_their_prototypes_say():
    """Shortest distances are sums of covalent radii; every crystal has an element that the data do
    not have; salts have anions in one place; the seed decides."""
    for prototype in PROTOTYPES.values():
        kinds = 1 + max(kind for kind, *_ in prototype.sites)
        atoms = crystal(prototype, ["Ba", "Ti", "O"][:kinds])
        ends = [["Ba", "Ti", "O"][kind] for kind in prototype.bond]
        radii = {"Ba": 2.15, "Ti": 1.60, "O": 0.66}
        between = atoms.repeat(2).get_all_distances(mic=True)
        first, second = (atoms.repeat(2).symbols == end for end in ends)
        found = between[np.ix_(first, second)]
        expected = sum(radii[end] for end in ends)
        assert found[found > 0.1].min() == pytest.approx(expected, abs=1e-9)
    species = ["H", "O", "Na", "Mg", "Ba", "Ti"]
    made = varied_crystals(species, 28, ["Ba", "Ti", "O"], seed=1)
    assert made == varied_crystals(species, 28, ["Ba", "Ti", "O"], seed=1)
    assert made != varied_crystals(species, 28, ["Ba", "Ti", "O"], seed=2)
    assert all(set(atoms.symbols) - {"Ba", "Ti", "O"} for atoms in made)
    for atoms in made[3:7]:
        assert {str(s) in ANIONS for s in atoms.symbols} == {True, False}
    with pytest.raises(ValueError, match=r"start\.replay: .* name structures with"):
        varied_crystals(["O", "Ba"], 3, ["Ba", "Ti", "O"], seed=0)


def test_a_crystal_at_rest_has_the_lowest_energy_of_its_sizes(imported):
    gnn, search = network(imported), NeighborSearch(CUTOFF)
    image = crystal(PROTOTYPES["rock salt"], ["Ba", "O"])
    rest = at_rest(gnn, image, search)
    energies = []
    for size in (0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6):
        other = image.copy()
        other.set_cell(size * image.cell.array, scale_atoms=True)
        energies.append(float(labelled_by(gnn, other, search).energy))
    lowest = float(labelled_by(gnn, rest, search).energy)
    assert lowest == pytest.approx(min(energies[1:]), abs=1e-9)
    gone = moved(rest, np.random.default_rng(0))
    assert float(np.abs(gone.positions - rest.positions).max()) > 0.02
    assert float(predict_all(gnn, [labelled_by(gnn, gone, search)]).forces.abs().max()) > 1e-3
