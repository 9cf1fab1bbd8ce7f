"""Fine-tuning of an imported SevenNet: tables in the place of radial networks, low-rank updates, and
replay of what the network said before.

The network is a small one in the layout of SevenNet; the data are labelled by the same network with
other readout and linear maps.
"""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from sevennet import Network

import openmm_pqeq as pq
from openmm_pqeq import ops
from openmm_pqeq.cli import main
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.structure import structure_of

pytest.importorskip("lightning", reason="training needs the extra `train`")

from openmm_pqeq.training import finetune, parts, replay
from openmm_pqeq.training.config import config_of
from openmm_pqeq.training.crystals import ANIONS, PROTOTYPES, crystal, varied_crystals
from openmm_pqeq.training.loss import Weights, loss_of, predict, predict_all
from openmm_pqeq.training.low_rank import merged, update_by_low_rank
from openmm_pqeq.training.order import MixedBatches
from openmm_pqeq.training.prepare import prepare
from openmm_pqeq.training.processes import ALONE
from openmm_pqeq.training.replay import at_rest, labelled_by, moved
from openmm_pqeq.training.samples import join
from openmm_pqeq.training.tabulated import Tabulated, can_be_tabulated, loss_by_difference

native = pytest.mark.skipif(
    not ops.available("equivariant_convolution"), reason=f"no such operator: {ops.status()}"
)
N_FRAMES = 8
CUTOFF = 4.0


def silent(line: str) -> None:
    pass


@pytest.fixture(autouse=True)
def few_crystals(monkeypatch):
    monkeypatch.setattr(replay, "N_CRYSTALS", 28)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.pt, an imported network of O, H, Ba and Ti, and frames.traj of Ba, Ti and O, labelled
    by what it should become."""
    folder = tmp_path_factory.mktemp("foundation")
    Network("like SevenNet-0").write(folder / "checkpoint.pth")
    pq.convert_sevennet(folder / "checkpoint.pth", folder / "model.pt")
    changed = pq.load(folder / "model.pt")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name in parts.select(changed.gnn, "maps"):
            weight = changed.gnn.get_parameter(name)
            noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            weight += 0.1 * noise
    changed.gnn.shift += 2.0
    ase.io.write(folder / "frames.traj", [labelled(changed, seed) for seed in range(N_FRAMES)])
    return folder


def labelled(potential: pq.Potential, seed: int) -> Atoms:
    atoms = Atoms("BaTiO3", cell=[4.0, 4.0, 4.0], pbc=True)
    atoms.set_scaled_positions([[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]])
    atoms.rattle(0.1, seed=seed)
    structure = structure_of(
        torch.tensor(atoms.positions), torch.tensor(atoms.numbers), torch.tensor(atoms.cell.array)
    )
    result = potential.evaluate(structure, stress=True)
    labels = {
        "energy": float(result.energy[0]),
        "forces": result.forces.numpy(),
        "stress": result.stress[0].numpy()[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
    }
    atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms


def config(files: Path, start: dict | None = None, **training):
    settings = {
        "epochs": 2,
        "learning_rate": 0.01,
        "stress_weight": 0.0,
        "dtype": "float64",
        "threads": 1,
        "warmup": 0,
        "batch_size": 3,
        "ema": 0.5,
    }
    return config_of(
        {
            "data": {"files": [str(files / "frames.traj")], "held_out": {"n": 2}},
            "start": {"model": str(files / "model.pt"), "train": "maps"} | (start or {}),
            "training": settings | training,
        }
    )


def batch(files: Path, dtype: torch.dtype = torch.float64):
    """Three frames laid end to end."""
    ready = prepare(config(files, dtype=str(dtype).removeprefix("torch.")), silent)
    return join(ready.part("train")[:3])


def network(files: Path, train: str = "maps", dtype: torch.dtype = torch.float64):
    gnn = pq.load(files / "model.pt").gnn.to(dtype)
    gnn.shift.zero_()
    parts.freeze(gnn, parts.select(gnn, train))
    return gnn


# --- tables ---


@native
def test_the_tables_give_the_network(files):
    """Energies, forces and stress, to the error of the tables; also where the weights have changed
    since."""
    gnn, samples = network(files), batch(files)
    tabulated = Tabulated(gnn)
    for _ in range(2):
        for one, two in zip(predict(gnn, samples), predict(tabulated, samples)):
            torch.testing.assert_close(one, two, rtol=0, atol=1e-8)
        with torch.no_grad():
            gnn.interactions[1].down[0].weight += 0.3
            gnn.readout[0].weight *= 1.1


@native
@pytest.mark.parametrize(
    ("dtype", "error"), [(torch.float64, 2e-6), (torch.float32, 2e-3)], ids=["float64", "float32"]
)
def test_the_gradient_by_difference_is_the_exact_one(files, dtype, error):
    """Relative to its length, of energies, forces and stress together."""
    samples, weights = batch(files, dtype), Weights(10.0, 1.0, 3.0, 0.7, level=0.5)
    gradients, losses = [], []
    for tabulated in (False, True):
        gnn = network(files, dtype=dtype)
        if tabulated:
            loss = loss_by_difference(Tabulated(gnn), samples, weights)
        else:
            loss = loss_of(predict(gnn, samples, create_graph=True), samples, weights)
        loss.backward()
        found = [p.grad.ravel() for p in gnn.parameters() if p.requires_grad]
        gradients.append(torch.cat(found))
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert float((gradients[0] - gradients[1]).norm() / gradients[0].norm()) < error


@native
def test_tables_only_where_the_radial_part_stays(files):
    for train in ("maps", "readout", "embedding", "linear,self-connection"):
        assert can_be_tabulated(network(files, train)), train
    for train in ("all", "radial", "basis", "layer.1"):
        assert not can_be_tabulated(network(files, train)), train


@native
def test_frames_that_are_right_already_move_nothing(files):
    """Labels of the network itself: a gradient of zero, not of 0/0."""
    gnn, samples = network(files), batch(files)
    model = Tabulated(gnn)
    energy, forces, stress = (value.detach() for value in predict(model, samples))
    samples = samples._replace(energy=energy, forces=forces, stress=stress)
    loss_by_difference(model, samples, Weights(1.0, 1.0, 1.0, 1.0)).backward()
    assert all(float(p.grad.abs().max()) < 1e-12 for p in gnn.parameters() if p.requires_grad)


# --- parts ---


def test_maps_are_linear_maps_self_connections_and_readout(files, tmp_path):
    """They move; radial networks, basis and embedding keep every digit, in float32 as well."""
    result = finetune(config(files, dtype="float32"), tmp_path / "new.pt", say=silent)
    old, new = (pq.load(path).gnn.state_dict() for path in (files / "model.pt", result.model))
    for name in old:
        if name in ("scale", "shift"):
            continue
        stays = "radial" in name or name in ("basis.frequencies", "embedding")
        assert torch.equal(old[name], new[name]) == stays, name
    assert len(parts.select(pq.load(files / "model.pt").gnn, "maps")) == 5 + 9 + 5 + 2


def test_errors_fall_and_the_file_has_those_of_the_report(files, tmp_path):
    """Forces to a half; the model that is loaded again has them to 1e-3 meV/Å of the report."""
    start = {"rank": 1, "replay": 1}
    fitted = config(files, start, epochs=25, learning_rate=0.02, energy_weight=0.0)
    result = finetune(fitted, tmp_path / "new.pt", say=silent)
    report = json.loads((tmp_path / "new" / "errors.json").read_text())
    after, before = (report[key]["held out"] for key in ("errors", "errors_before"))
    assert after["force_rmse"] < 0.5 * before["force_rmse"]
    images = ase.io.read(files / "frames.traj", index=":")
    held_out = sorted(np.random.default_rng(0).permutation(N_FRAMES)[:2].tolist())
    differences = []
    for index in held_out:
        atoms = images[index].copy()
        atoms.calc = pq.PQEqCalculator(pq.load(result.model))
        differences.append(atoms.get_forces() - images[index].get_forces())
    found = 1000 * np.sqrt(np.mean(np.square(differences)))
    assert found == pytest.approx(result.errors["held out"].force_rmse, abs=1e-3)
    card = pq.checkpoint.card(result.model)["fine_tuning"]
    assert card["rank"] == 1
    assert card["replay"] == 1


# --- low rank ---


def test_low_rank_updates_merge_exactly(files):
    """The merged weights in a plain network give what the updates gave, and differ from those
    before by a matrix of that rank."""
    gnn, samples = network(files, "all"), batch(files)
    before = {name: value.clone() for name, value in gnn.state_dict().items()}
    large = update_by_low_rank(gnn, parts.select(gnn, "all"), 1, seed=3)
    assert "interactions.1.down.0.weight" in large
    assert "interactions.1.radial.weights.2" in large
    assert "embedding" not in large
    assert "readout.1.weight" not in large
    for one, two in zip(predict(network(files), samples), predict(gnn, samples)):
        torch.testing.assert_close(one, two, rtol=0, atol=0)
    generator = torch.Generator().manual_seed(4)
    trained = [p for p in gnn.parameters() if p.requires_grad]
    assert len(trained) == len(before) - len(large) - 2 + 2 * len(large)  # but scale and shift
    with torch.no_grad():
        for weight in trained:
            noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            weight += 0.1 * noise
    plain = network(files)
    plain.load_state_dict(merged(gnn))
    for one, two in zip(predict(plain, samples), predict(gnn, samples)):
        torch.testing.assert_close(one, two, rtol=0, atol=0)
    for name in large:
        change = plain.get_parameter(name) - before[name]
        assert torch.linalg.matrix_rank(change, rtol=1e-9) == 1, name


def test_low_rank_updates_are_of_the_trained_parts_alone(files, tmp_path):
    start = {"train": "layer.1", "rank": 1}
    result = finetune(config(files, start), tmp_path / "new.pt", say=silent)
    old, new = (pq.load(path).gnn.state_dict() for path in (files / "model.pt", result.model))
    for name in old:
        moves = name == "shift" or name.startswith("interactions.1.")
        assert torch.equal(old[name], new[name]) != moves, name
    facts = json.loads((tmp_path / "new" / "errors.json").read_text())
    assert facts["trained_parameters"] < 0.7 * sum(
        value.numel() for name, value in old.items() if name.startswith("interactions.1.")
    )


# --- replay ---


def test_replay_has_the_labels_of_the_model_itself(files):
    """Those that the calculator gives of the model's file, the shifts taken off the energy."""
    ready = prepare(config(files, {"replay": 2}), silent)
    potential = pq.load(files / "model.pt")
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


def test_replay_holds_a_network_where_it_was(files, tmp_path):
    """A fit without an error to begin with stays there; with one, the replayed frames end nearer to
    their labels than without."""
    errors = {}
    for name, n_mixed in (("with", 8), ("hardly", 1)):
        made = finetune(
            config(files, {"replay": n_mixed}, epochs=40), tmp_path / f"{name}.pt", say=silent
        )
        errors[name] = made.errors["replay"].force_rmse
    report = json.loads((tmp_path / "with" / "errors.json").read_text())
    assert report["errors_before"]["replay"]["force_rmse"] == pytest.approx(0, abs=1e-6)
    assert sum(report["replay_frames"]) == report["frames"]["replay"] + report["replay_frames"][0]
    assert 0 < errors["with"] < 0.8 * errors["hardly"]
    assert "replay" in (tmp_path / "with" / "errors.txt").read_text()


def test_structures_of_a_file_are_replayed_in_the_place_of_crystals(files, tmp_path):
    images = [Atoms("HO", [[0, 0, 0], [1.1, 0, 0]], cell=[5, 5, 5], pbc=True) for _ in range(7)]
    ase.io.write(tmp_path / "others.extxyz", images)
    start = {"replay": 2, "replay_files": [str(tmp_path / "others.extxyz")]}
    ready = prepare(config(files, start), silent)
    assert [len(part) for part in ready.replay] == [6, 1]
    assert all(frame.numbers.tolist() == [1, 8] for frame in ready.replay.train)
    places = torch.stack([frame.positions for frame in ready.replay.train])
    assert float(places.std(0).min()) > 0.01
    images[3].symbols[0] = "He"
    ase.io.write(tmp_path / "others.extxyz", images)
    with pytest.raises(ValueError, match=r"others\.extxyz frame 3: He is not in the model"):
        prepare(config(files, start), silent)


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


def test_a_crystal_at_rest_has_the_lowest_energy_of_its_sizes(files):
    gnn, search = network(files), NeighborSearch(CUTOFF)
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


# --- the whole ---


def test_an_interrupted_one_goes_on_to_the_last_bit(files, tmp_path):
    settings = config(files, {"rank": 1, "replay": 2}, epochs=3)
    whole = finetune(settings, tmp_path / "whole.pt", say=silent)

    def interrupt(line: str) -> None:
        if line.startswith("epoch    1"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(settings, tmp_path / "parts.pt", say=interrupt)
    parted = finetune(settings, tmp_path / "parts.pt", resume=True, say=silent)
    one, two = (pq.load(result.model).gnn.state_dict() for result in (whole, parted))
    for name in one:
        assert torch.equal(one[name], two[name]), name


def test_the_command(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["finetune", str(files / "model.pt"), str(files / "frames.traj"), "-o", "new.pt"]
    command += ["--epochs", "1", "--threads", "1", "--train", "maps"]
    assert main([*command, "--rank", "1", "--replay", "2"]) == 0
    shown = capsys.readouterr().out
    for words in ("updates of rank 1", "replay:", "frames of the model's own", "before and after"):
        assert words in shown
    assert pq.load("new.pt").species == pq.load(files / "model.pt").species
    assert main([*command, "--overwrite", "--replay-files", "others.xyz"]) == 2
    assert "start.replay: expected how many frames" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--replay", "1", "--replay-files", "others.xyz"]) == 2
    assert "others.xyz" in capsys.readouterr().err


def test_a_universal_model_keeps_what_it_does_in_a_field(files, tmp_path):
    """The energy of the field alone is zero without one: the labels are the whole reference, and the
    tuned network is that of the tuned base."""
    base = pq.load(files / "model.pt")
    universal = pq.build({**base.config, "pqeq": {"protocol": "ewald", "energy": "field"}})
    universal.gnn.load_state_dict(base.gnn.state_dict())
    pq.save(universal, tmp_path / "universal.pt")
    start = {"model": str(tmp_path / "universal.pt")}
    tuned, alone = (
        finetune(config(files, more), tmp_path / f"{name}.pt", say=silent)
        for name, more in (("tuned", start), ("alone", {}))
    )
    one, two = (pq.load(result.model) for result in (tuned, alone))
    assert set(one.config) == {"gnn", "pqeq"}
    for name, value in two.gnn.state_dict().items():
        torch.testing.assert_close(one.gnn.state_dict()[name], value, rtol=0, atol=0)
