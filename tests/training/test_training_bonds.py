"""A network on top of charges by bonds: reference charges of frames, what is subtracted, and errors."""

import itertools

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms

import openmm_pqeq as pq
from openmm_pqeq import evaluation
from openmm_pqeq.training.frames import read_frames, with_reference_charges
from openmm_pqeq.training.settings import DataSettings

KEYS = ("electronegativity", "hardness", "radius", "softness", "spring_constant", "core_charge")
PARAMETERS = {
    "O": dict(zip(KEYS, (8.7, 15.0, 0.9, 0.45, 700.0, 1.0))),
    "Na": dict(zip(KEYS, (2.8, 9.0, 1.6, 0.35, 1200.0, 1.0))),
    "Cl": dict(zip(KEYS, (7.5, 11.0, 1.1, 0.45, 420.0, 1.0))),
}
PQEQ = {"protocol": "ewald", "parameters": PARAMETERS, "charge_flow": "bonds", "tolerance": 1e-9}
GNN = {"species": ["O", "Na", "Cl"], "hidden_irreps": "4x0e + 2x1o", "layers": 1, "r_max": 3.5}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """NaCl, Na2O and an ion, with the labels of a known network and charges by bonds."""
    known = pq.build({"gnn": {**GNN, "seed": 7, "scale": 0.5}, "pqeq": PQEQ})
    random, images = np.random.default_rng(3), []
    charges = {"Na": 1, "Cl": -1, "O": -2}
    for formula, total in (("NaClNaCl", 0), ("Na2ONa2O", 0), ("NaClNaCl", 0), ("Na2Cl", 1)):
        atoms = Atoms(formula, cell=[4.6, 4.6, 4.8], pbc=True, info={"charge": total})
        places = [[0, 0, 0], [0.5, 0, 0.1], [0.5, 0.5, 0.5], [0, 0.5, 0.6], [0, 0, 0.5]]
        places += [[0.5, 0.5, 0]]
        atoms.set_scaled_positions(places[: len(atoms)])
        atoms.positions += random.normal(scale=0.1, size=atoms.positions.shape)
        atoms.calc = pq.PQEqCalculator(
            known, reference_charges={e: charges[e] for e in set(atoms.get_chemical_symbols())}
        )
        atoms.get_forces(), atoms.get_stress()
        images.append(atoms)
    path = tmp_path_factory.mktemp("bonds") / "frames.traj"
    ase.io.write(path, images)
    return path


def frames_of(file):
    return read_frames([str(file)], DataSettings(files=(str(file),)))


def test_frames_get_the_oxidation_states_of_their_composition(file):
    found = with_reference_charges(frames_of(file))
    charges = [frame.structure.reference_charges.tolist() for frame in found]
    assert charges[0] == [1, -1, 1, -1]
    assert charges[1] == [1, 1, -2, 1, 1, -2]
    assert charges[3] == [1, 1, -1]
    halved = with_reference_charges(frames_of(file)[:1], {"Na": 0.5, "Cl": -0.5})
    assert halved[0].structure.reference_charges.tolist() == [0.5, -0.5, 0.5, -0.5]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"K": 1.0}, "no frame has an atom of K"),
        ({"Na": 1.0}, r"frames.traj frame 0: reference_charges: none for Cl"),
        ({"Na": 1.0, "Cl": -2.0, "O": -2.0}, r"frame 0: reference_charges: they add up to -2 e"),
    ],
)
def test_what_does_not_fit_is_named_with_its_frame(file, given, message):
    with pytest.raises(ValueError, match=message):
        with_reference_charges(frames_of(file), given)


def test_a_network_learns_what_charges_by_bonds_leave(file):
    pytest.importorskip("lightning", reason="training needs the extra `train`")
    from openmm_pqeq.training.config import config_of
    from openmm_pqeq.training.prepare import prepare

    for given in ({}, {"Na": 1.0, "Cl": -1.0, "O": -2.0}):
        table = {"data": {"files": [str(file)], "reference_charges": given}}
        table |= {"potential": {"gnn": GNN, "pqeq": PQEQ}, "training": {"dtype": "float64"}}
        prepared = prepare(config_of(table), say=lambda text: None)
        network = pq.build({"gnn": {**GNN, "seed": 7, "scale": 0.5}})
        for index, frame in enumerate(frames_of(file)):
            right = network.evaluate(frame.structure)
            assert torch.allclose(prepared.samples[index].forces, right.forces, atol=1e-7)


NAMES = ("electronegativity", "hardness", "radius", "spring_constant", "softness")
NAMES += ("electronegativity_slope",)
SPRINGS = {"O": 220.0, "Na": 300.0, "Cl": 60.0}
SLOPES = {"O": 2.5, "Na": 0.6, "Cl": -1.5}
KINDS = {
    e: {**p, "spring_constant": SPRINGS[e], "electronegativity_slope": SLOPES[e]}
    for e, p in PARAMETERS.items()
}
KINDS["Na+"] = {**KINDS["Na"], "hardness": 10.0}


def moving(file, bounds=0.2):
    """Frames end to end, and PQEq alone, all of whose parameters move; Na has a kind of its own."""
    pytest.importorskip("lightning", reason="training needs the extra `train`")
    from openmm_pqeq.training.pqeq import TrainedPQEq
    from openmm_pqeq.training.samples import join, sample_of

    known = pq.build({"pqeq": {**PQEQ, "tolerance": 1e-11, "parameters": KINDS}})
    generator = torch.Generator().manual_seed(1)
    frames = []
    for frame in with_reference_charges(frames_of(file))[1:]:  # moved, so that shells feel a field
        at = frame.structure.positions
        at = at + 0.25 * torch.randn(at.shape, generator=generator, dtype=torch.float64)
        frames.append(frame._replace(structure=frame.structure._replace(positions=at)))
    shifts = {8: 0.0, 11: 0.0, 17: 0.0}
    batch = join([sample_of(frame, known.search, shifts, torch.float64) for frame in frames])
    rows = sorted({row for one in frames for row in known.pqeq.kinds(one.structure).tolist()})
    return known, frames, batch, TrainedPQEq(known.pqeq, NAMES, bounds, rows)


def test_moving_charges_by_bonds_are_those_of_the_potential(file):
    known, frames, batch, trained = moving(file)
    found = trained.predict(batch)
    wanted = [known.evaluate(frame.structure, stress=True) for frame in frames]
    for name in ("energy", "forces", "stress"):
        values = torch.cat([getattr(one, name) for one in wanted])
        torch.testing.assert_close(getattr(found, name), values, rtol=0, atol=1e-8)
    assert set(trained.table()) == {"O", "Cl", "Na+"}


def test_derivatives_of_errors_in_the_parameters_of_charges_by_bonds(file):
    """Σ w·F + Σ w·σ + ΣE differentiated in each parameter's move against central differences."""
    _, _, batch, trained = moving(file)
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(batch.forces.shape, dtype=torch.float64, generator=generator)

    def loss() -> torch.Tensor:
        found = trained.predict(batch, create_graph=True)
        return (found.forces * weights).sum() + found.stress.sum() + found.energy.sum()

    moves = [trained.moves[name] for name in NAMES]
    for move in moves:
        with torch.no_grad():
            move.fill_(0.3)  # away from the kink at zero, where the bounds are not symmetric
    slopes = torch.autograd.grad(loss(), moves)
    step = 1e-3
    for name, move, slope in zip(NAMES, moves, slopes):
        assert float(slope.abs().max()) > 1e-5, name
        for index in range(len(move)):
            values = []
            for sign in (1, -1):
                with torch.no_grad():
                    move[index] += sign * step
                values.append(float(loss().detach()))
                with torch.no_grad():
                    move[index] -= sign * step
            expected = (values[0] - values[1]) / (2 * step)
            assert abs(float(slope[index]) - expected) < 1e-6 * float(slope.abs().max()) + 2e-7, (
                name
            )


@pytest.mark.parametrize("corner", list(itertools.product([-20.0, 20.0], repeat=3)))
def test_parameters_that_moved_as_far_as_they_may_still_make_a_model(file, corner):
    """Others are refused when a potential is built of them: hardness, spring and radius at either end."""
    _, _, _, trained = moving(file, bounds=0.9)
    ends = dict(zip(("hardness", "spring_constant", "radius"), corner))
    for name in NAMES:
        with torch.no_grad():
            trained.moves[name].fill_(ends.get(name, -20.0))
    moved = trained.config(KINDS)
    assert moved["Na+"] != KINDS["Na+"]
    assert moved["Na"] == KINDS["Na"]
    pq.build({"pqeq": {**PQEQ, "parameters": moved}})


def test_slopes_move_by_parts_of_what_they_are(file):
    """O, Cl and Na+ by half of theirs, up and down; not beyond what a table may have."""
    known, _, _, trained = moving(file, bounds=0.5)
    for end, part in ((20.0, 1.0), (-20.0, -1.0)):
        with torch.no_grad():
            trained.moves["electronegativity_slope"].fill_(end)
        found = trained.config(KINDS)
        for kind, start in (("O", 2.5), ("Cl", -1.5), ("Na+", 0.6)):
            wanted = start + part * 0.5 * abs(start)
            assert found[kind]["electronegativity_slope"] == pytest.approx(wanted, abs=1e-12)
    steep = {e: {**p, "electronegativity_slope": -900.0} for e, p in KINDS.items()}
    known = pq.build({"pqeq": {**PQEQ, "parameters": steep}})
    trained = type(trained)(known.pqeq, ["electronegativity_slope"], 0.5, [8, 11])
    with torch.no_grad():
        trained.moves["electronegativity_slope"].fill_(-20.0)
    assert trained.config(steep)["O"]["electronegativity_slope"] == -1000.0


def test_slopes_that_are_all_zero_or_of_no_bonds_are_refused(tmp_path):
    pytest.importorskip("lightning", reason="training needs the extra `train`")
    from openmm_pqeq.training.prepare import model_to_start
    from openmm_pqeq.training.settings import StartSettings

    models = {
        "flat": (
            PQEQ,
            r"every electronegativity_slope of .*flat.pt is 0 and start.bounds are parts",
        ),
        "free": ({"protocol": "ewald"}, "flow freely, and have no electronegativity_slope"),
        "steep": ({**PQEQ, "parameters": KINDS}, None),
    }
    for name, (pqeq, message) in models.items():
        path = tmp_path / f"{name}.pt"
        pq.save(pq.build({"gnn": GNN, "pqeq": pqeq}), path)
        start = StartSettings(model=str(path), train_pqeq=("electronegativity_slope",))
        if message is None:
            model_to_start(start)
        else:
            with pytest.raises(ValueError, match=f"start.train_pqeq: .*{message}"):
                model_to_start(start)


def test_what_has_no_softness_or_reference_charges_is_refused(tmp_path):
    pytest.importorskip("lightning", reason="training needs the extra `train`")
    from openmm_pqeq.training.prepare import model_to_start
    from openmm_pqeq.training.settings import StartSettings

    pq.save(pq.build({"gnn": GNN, "pqeq": PQEQ}), tmp_path / "model.pt")
    pq.save(pq.build({"gnn": GNN, "pqeq": {"protocol": "ewald"}}), tmp_path / "free.pt")
    start = StartSettings(model=str(tmp_path / "free.pt"), train_pqeq=("softness",))
    with pytest.raises(ValueError, match=r"start.train_pqeq: .* flow freely"):
        model_to_start(start)
    start = StartSettings(model=str(tmp_path / "model.pt"), train_pqeq=("radius",), replay=2)
    with pytest.raises(ValueError, match=r"start.replay: expected 0"):
        model_to_start(start)


def test_the_known_model_has_no_errors(file):
    known = pq.build({"gnn": {**GNN, "seed": 7, "scale": 0.5}, "pqeq": PQEQ})
    found = evaluation.joined(list(evaluation.compared(known, frames_of(file))))
    assert evaluation.errors_of(found).forces.rmse < 1e-3  # meV/Å
    half = {"Na": 0.5, "Cl": -0.5}
    salt = [frames_of(file)[0]]
    found = evaluation.joined(list(evaluation.compared(known, salt, half)))
    assert evaluation.errors_of(found).forces.rmse > 10


def test_a_model_may_have_reference_charges_of_its_own(file, tmp_path):
    """They count at each door where nobody gives others, and travel in its file."""
    half = {"Na": 0.5, "Cl": -0.5, "O": -1.0}
    pq.save(pq.build({"pqeq": {**PQEQ, "reference_charges": half}}), tmp_path / "model.pt")
    own, bare = pq.load(tmp_path / "model.pt"), pq.build({"pqeq": PQEQ})
    salt, salts = ase.io.read(file, 0), [frames_of(file)[0]]
    known = {"Na": 0.5, "Cl": -0.5}
    right = pq.PQEqCalculator(bare, reference_charges=known).get_potential_energy(salt)
    formal = pq.PQEqCalculator(bare).get_potential_energy(salt)
    assert pq.PQEqCalculator(own).get_potential_energy(salt) == pytest.approx(right, abs=1e-9)
    oxidation = pq.PQEqCalculator(own, reference_charges="oxidation").get_potential_energy(salt)
    assert oxidation == pytest.approx(formal, abs=1e-9)
    assert abs(right - formal) > 0.1
    (found,) = evaluation.compared(own, salts)
    assert found.energies[1, 0] == pytest.approx(right, abs=1e-6)


@pytest.mark.parametrize(
    ("given", "flow", "message"),
    [
        ({"Na": 1.0}, "free", "charges that flow freely start from none"),
        ({"Xx": 1.0}, "bonds", "expected an element's symbol and a finite number"),
        ({"Na": "1"}, "bonds", "expected an element's symbol and a finite number"),
        ([1.0, -1.0], "bonds", "expected a mapping of elements"),
    ],
)
def test_reference_charges_of_a_model_are_checked(given, flow, message):
    with pytest.raises(ValueError, match=f"reference_charges: {message}"):
        pq.build({"pqeq": {**PQEQ, "charge_flow": flow, "reference_charges": given}})


def test_the_energy_of_a_field_alone_needs_no_reference_charges(tmp_path):
    """Without a field nothing is solved, and Na2Cl has no oxidation states."""
    field_alone = pq.build({"gnn": GNN, "pqeq": {**PQEQ, "energy": "field"}})
    atoms = Atoms("Na2Cl", [[0, 0, 0], [2.5, 0, 0], [0, 2.5, 0]], cell=[5, 5, 5], pbc=True)
    network = pq.PQEqCalculator(field_alone.select("gnn"))
    atoms.calc = network
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    path = tmp_path / "frames.traj"
    ase.io.write(path, atoms)
    frames = frames_of(path)
    (found,) = evaluation.compared(field_alone, frames)
    assert found.energies[1, 0] == pytest.approx(energy, abs=1e-9)
    assert np.allclose(found.forces[1], forces, atol=1e-9)
