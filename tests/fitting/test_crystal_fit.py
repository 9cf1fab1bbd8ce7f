"""Fits to crystals: recovery of known parameters, resumption, lost crystals, and the guard."""

import numpy as np
import pytest
import torch
from salts import START, crystal, labelled, quiet, salts, six_salts_by_bonds

from openmm_pqeq.fitting.crystals import fit as fits
from openmm_pqeq.fitting.crystals import problem as problems
from openmm_pqeq.fitting.crystals import report, table
from openmm_pqeq.fitting.crystals.fit import fit, loss_at, make_prior, normal_equations
from openmm_pqeq.fitting.crystals.guard import Guard
from openmm_pqeq.fitting.crystals.problem import LOST, Problem
from openmm_pqeq.fitting.crystals.table import BOND_COLUMNS, SHELL_COLUMNS


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
