"""Fits to crystals: recovery of known parameters, resumption, lost crystals, the guard, types,
files, and the command."""

import csv
import gzip
import json

import ase
import numpy as np
import pytest
import torch

from openmm_pqeq.cli import main
from openmm_pqeq.fitting.crystals import fit as fits
from openmm_pqeq.fitting.crystals import problem as problems
from openmm_pqeq.fitting.crystals import report, table
from openmm_pqeq.fitting.crystals.data import Crystal, read_crystals, split_by_system
from openmm_pqeq.fitting.crystals.fit import fit, loss_at, make_prior, normal_equations
from openmm_pqeq.fitting.crystals.guard import Guard
from openmm_pqeq.fitting.crystals.problem import LOST, Problem
from openmm_pqeq.fitting.crystals.table import BOND_COLUMNS, SHELL_COLUMNS, Kind
from openmm_pqeq.pqeq import resolve_parameters
from openmm_pqeq.pqeq.coulomb.kernels import dipole_self_energy, gaussian_self_energy
from openmm_pqeq.reference_charges import oxidation_states

PUBLISHED = resolve_parameters("reaxnet")
START = table.rows_to_start("reaxnet")
NOTHING = np.full((3, 3), np.nan)


def quiet(line: object) -> None:
    """Say nothing."""


def crystal(symbols: str, size: float, name: str = "", seed: int = 0) -> Crystal:
    """Two or four atoms of a rattled rock salt, without labels."""
    rng = np.random.default_rng(seed)
    n = len(ase.Atoms(symbols))
    places = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0, 0, 0.5]])[:n]
    places = places + 0.02 * rng.normal(size=places.shape)
    cell = size * (np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) if n == 2 else np.eye(3) * 1.5)
    atoms = ase.Atoms(symbols, scaled_positions=places, cell=cell, pbc=True)
    charges = np.array(oxidation_states(atoms.get_chemical_symbols()))
    return Crystal(name or symbols, atoms, charges, np.full((n, 3, 3), np.nan), NOTHING)


def salts() -> list[Crystal]:
    """Fourteen made-up crystals of alkali halides."""
    pairs = [(a, b) for a in ("Li", "Na", "K") for b in ("F", "Cl")]
    found = [crystal(a + b, 2.4 + 0.1 * k, seed=k) for k, (a, b) in enumerate(pairs)]
    return found + [crystal(f"{a}{b}{a}{b}", 2.6, seed=20 + k) for k, (a, b) in enumerate(pairs)]


def labelled(crystals, columns, shift: float = 0.3) -> tuple[list[Crystal], np.ndarray]:
    """Crystals with the labels of a table that is `shift` away from the start, and that table."""
    kinds = table.kinds_of(crystals, 3, columns is BOND_COLUMNS)
    start = table.start_of(kinds, columns, START)
    truth = start + shift * np.random.default_rng(5).normal(size=start.size)
    truth = np.clip(truth, *table.bounds_of(start, columns))
    known, answers = Problem(crystals, kinds, columns, start, 1e-9), list(crystals)
    for batch in known.batches:
        found = known.response(batch, truth)
        for k, index in enumerate(batch.crystals):
            born, epsilon = found.born[k].numpy(), found.epsilon[k].numpy()
            answers[index] = crystals[index]._replace(born=born, epsilon=epsilon)
    return answers, truth


def six_salts_by_bonds() -> tuple[Problem, np.ndarray]:
    """What is to be fitted to six labelled crystals, and where a fit starts."""
    crystals, _ = labelled(salts()[:6], BOND_COLUMNS)
    kinds = table.kinds_of(crystals, 3, True)
    start = table.start_of(kinds, BOND_COLUMNS, START)
    return Problem(crystals, kinds, BOND_COLUMNS, start), start


@pytest.mark.parametrize(("columns", "steps"), [(BOND_COLUMNS, 25), (SHELL_COLUMNS, 12)])
def test_a_fit_recovers_what_made_the_labels(columns, steps):
    """Errors of the crystals that are fitted fall to a fifth of those of the start, and crystals of
    the same elements that are not get better."""
    crystals, _ = labelled(salts(), columns)
    fitted, others = crystals[::2] + crystals[1:4:2], crystals[5::2]
    kinds = table.kinds_of(fitted, 3, columns is BOND_COLUMNS)
    start = table.start_of(kinds, columns, START)
    known = Problem(fitted, kinds, columns, start)
    found = fit(known, make_prior(known, 0.01, 0.01), start, steps, say=quiet, ftol=1e-6)
    unseen = Problem(others, kinds, columns, start)
    before, after = (
        [
            report.errors_of(report.measure(problem, side, x))
            for problem, side in ((known, fitted), (unseen, others))
        ]
        for x in (start, found.x)
    )
    assert after[0].unsolved == after[1].unsolved == 0
    assert after[0].rmse < 0.2 * before[0].rmse
    assert after[0].epsilon < 0.2 * before[0].epsilon
    assert after[1].rmse < before[1].rmse
    assert after[1].epsilon < before[1].epsilon


def test_an_interrupted_fit_goes_on_where_it_was(tmp_path):
    """Three and three steps are six: coordinates to 1e-12."""
    known, start = six_salts_by_bonds()
    prior = make_prior(known, 0.3, 0.5)
    whole = fit(known, prior, start, 6, say=quiet, ftol=0.0)
    for steps in (3, 6):
        parts = fit(known, prior, start, steps, tmp_path / "state.json", say=quiet, ftol=0.0)
    np.testing.assert_allclose(parts.x, whole.x, rtol=0, atol=1e-12)
    assert parts.steps == 6


def test_a_fit_in_parts_ends_where_the_whole_one_does(tmp_path):
    """It is slow three times in a row, whenever it was interrupted in between; and stays ended."""
    known, start = six_salts_by_bonds()
    prior = make_prior(known, 0.01, 0.01)
    whole = fit(known, prior, start, 20, say=quiet, ftol=0.9)
    assert whole.steps < 10
    for steps in range(1, 13):
        parts = fit(known, prior, start, steps, tmp_path / "state.json", say=quiet, ftol=0.9)
    assert parts.steps == whole.steps
    np.testing.assert_array_equal(parts.x, whole.x)


def test_the_guards_crystals_are_watched_after_a_resumption_too(tmp_path, monkeypatch):
    """Two and two steps are four, with a look at the strained crystals before the second alone."""
    monkeypatch.setattr(fits, "GUARD_EVERY", 2)
    looks = []

    def fitted(steps, file=None):
        known, start = six_salts_by_bonds()
        crystals, _ = labelled(salts()[:6], BOND_COLUMNS)
        guard, soft = Guard(known, crystals), start.copy()
        soft[4::6] += 4.0  # all of them beyond their limits
        monkeypatch.setattr(guard, "crystals", guard.crystals[:4])
        found = fit(known, make_prior(known, 9.0, 9.0), soft, steps, file, quiet, guard=guard)
        looks.append(sorted(guard.watched))
        return found

    whole = fitted(3)
    for steps in (2, 3):
        parts = fitted(steps, tmp_path / "state.json")
    assert looks[0]
    assert looks == 3 * looks[:1]
    np.testing.assert_allclose(parts.x, whole.x, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"steps": 1, "x": [1], "damping": 1}',
        '{"steps": 1.5, "x": [], "damping": 1}',
    ],
)
def test_a_damaged_state_is_refused_by_name(tmp_path, text):
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(ValueError, match=r"resume: .*state\.json is damaged, or of another fit"):
        fits.read_state(tmp_path / "state.json", 2 if "1.5" not in text else 0)


def test_the_gradient_of_the_loss_is_its_slope():
    """JᵀWr is half the derivative of loss and prior, by differences, to 1e-6 of the largest."""
    known, start = six_salts_by_bonds()
    prior, x = make_prior(known, 0.3, 0.5), start + 0.1
    _, gradient = normal_equations(known, prior, x)
    largest, h = np.abs(gradient).max(), 1e-5
    for index in range(0, len(x), 7):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        slope = (loss_at(known, prior, up) - loss_at(known, prior, down)) / (4 * h)
        assert abs(slope - gradient[index]) < 1e-6 * largest


def test_a_lost_crystal_costs_a_constant_and_ends_nothing(monkeypatch):
    """One crystal of six without a solution: the fit goes on with the five."""
    known, start = six_salts_by_bonds()
    prior = make_prior(known, 0.3, 0.5)
    residuals_of = problems.residuals_of

    def with_a_loss(batch, found):
        values = residuals_of(batch, found)
        lost = torch.tensor([index == 2 for index in batch.crystals])
        return torch.where(lost.unsqueeze(1), torch.full_like(values, torch.nan), values)

    before = loss_at(known, prior, start)
    monkeypatch.setattr(problems, "residuals_of", with_a_loss)
    assert before < loss_at(known, prior, start) <= before + LOST
    found = fit(known, prior, start, 5, say=quiet)
    assert np.isfinite(found.x).all()
    assert LOST < found.loss < loss_at(known, prior, start)


def test_the_guard_watches_crystals_that_nobody_fits():
    """An unlabelled crystal with ε∞ beyond the limit joins, and pulls the fit back."""
    crystals, _ = labelled(salts()[:6], BOND_COLUMNS)
    lonely = crystal("LiClLiCl", 1.9, "squeezed", seed=9)
    kinds = table.kinds_of(crystals, 3, True)
    start = table.start_of(kinds, BOND_COLUMNS, START)
    known = Problem(crystals, kinds, BOND_COLUMNS, start)
    guard, x = Guard(known, [*crystals, lonely]), start.copy()
    x[4::6] += 3.0  # twenty times softer
    n_batches = len(known.batches)
    assert "of 14 strained crystals 0 have no solution" in guard(x)
    assert guard.watched >= {6, 13}
    assert len(known.batches) > n_batches
    watched = known.batches[-1]
    assert bool((known.residuals(watched, x) > 0).any())
    assert float(known.residuals(watched, start).abs().max()) == 0.0
    assert known.linearized(watched, x).jacobian.abs().max() > 0


def test_types_have_rows_where_there_is_enough_of_them():
    """Cl- and Cl7+ apart; what is rare, and what was never seen, takes its element's row."""
    several = [crystal("NaCl", 2.8), crystal("KCl", 3.1), crystal("LiCl", 2.6)]
    once = crystal("NaCl", 2.8)._replace(charges=np.array([1.0, 5.0]))
    kinds = table.kinds_of([*several, once], 3, True)
    assert Kind(17, -1) in kinds
    assert Kind(17, 5) not in kinds
    assert [kind.label for kind in kinds] == ["Li", "Na", "Cl", "K", "Cl-"]
    assert table.rows_of(once, kinds) == [kinds.index(Kind(11, None)), kinds.index(Kind(17, None))]
    assert table.rows_of(crystal("NaF", 2.4), kinds)[1] == -1
    assert table.parents_of(kinds) == [-1, -1, -1, -1, 2]
    assert Kind(16, 6).label == "S6+"
    assert Kind(16, 0).label == "S0"


def test_every_table_is_convex():
    """Any coordinates: η above a Gaussian's self-energy and K above a dipole's."""
    u = torch.tensor(np.random.default_rng(0).normal(scale=3.0, size=(200, 6)))
    rows = problems.bond_rows(u)
    assert bool((rows.hardness > gaussian_self_energy(rows.radius) + 0.3 - 1e-9).all())
    assert bool((rows.stiffness >= 1.1 * dipole_self_energy(rows.radius) - 1e-9).all())


def test_a_chemical_system_is_on_one_side():
    crystals = [
        crystal(s, 2.6, f"{s} {k}", k) for s in ("NaCl", "KF", "LiF", "KCl") for k in range(3)
    ]
    fitted, held_out = split_by_system(crystals, 0.5, seed=3)
    systems = [{crystals[index].system for index in side} for side in (fitted, held_out)]
    assert not systems[0] & systems[1]
    assert len(held_out) == 6
    assert split_by_system(crystals, 0.5, seed=3) == (fitted, held_out)


# --- files and the command


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
    assert main(["fit-pqeq", str(tmp_path / "fit.toml"), "--output", str(folder)]) != 0
    again = ["fit-pqeq", str(folder / "fit.toml"), "--output", str(folder), "--resume"]
    assert main(again) == 0


def test_a_fit_starts_where_an_earlier_one_ended(tmp_path):
    """Its table, types and all, read back: the same coordinates to 1e-4, as many as are printed."""
    crystals, truth = labelled(salts()[:6], BOND_COLUMNS)
    kinds = table.kinds_of(crystals, 3, True)
    start = table.start_of(kinds, BOND_COLUMNS, START)
    known = Problem(crystals, kinds, BOND_COLUMNS, start)
    rows = report.table_rows(known, truth, PUBLISHED)
    report.write_table(tmp_path / "parameters.csv", rows, ["made up"])
    again = table.start_of(
        kinds, BOND_COLUMNS, table.rows_to_start(str(tmp_path / "parameters.csv"))
    )
    np.testing.assert_allclose(again, truth, rtol=0, atol=1e-4)
    (tmp_path / "bad.csv").write_text("element,reference_charge,chi\nNa,1,none\n")
    with pytest.raises(ValueError, match=r"bad.csv: the table has no column"):
        table.rows_to_start(str(tmp_path / "bad.csv"))


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
