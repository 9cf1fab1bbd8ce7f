"""Tables that are fitted to crystals: their rows of types, convexity, and where a fit starts."""

import numpy as np
import pytest
import torch
from salts import PUBLISHED, START, crystal, labelled, salts

from openmm_pqeq.fitting.crystals import problem as problems
from openmm_pqeq.fitting.crystals import report, table
from openmm_pqeq.fitting.crystals.problem import Problem
from openmm_pqeq.fitting.crystals.table import BOND_COLUMNS, Kind
from openmm_pqeq.pqeq.coulomb.kernels import dipole_self_energy, gaussian_self_energy


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
    u = torch.tensor(np.random.default_rng(0).normal(scale=3.0, size=(200, 7)))
    rows = problems.bond_rows(u)
    assert bool((rows.hardness > gaussian_self_energy(rows.radius) + 0.3 - 1e-9).all())
    assert bool((rows.stiffness >= 1.1 * dipole_self_energy(rows.radius) - 1e-9).all())


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


def test_errors_by_the_rarest_ion():
    """NaCl where it has been fitted, KCl where K⁺ has not, each with the errors of its own crystals."""
    fitted = [crystal("NaCl", 2.8 + 0.01 * k) for k in range(3)]
    held_out = [crystal("NaCl", 2.9), crystal("KCl", 3.1)]
    measured = [
        report.Measured("halide", np.zeros((2, 3, 3)), np.full((2, 3, 3), error), 2.0, 2.0 + error)
        for error in (0.1, 0.4)
    ]
    found = report.by_rarest_ion(measured, held_out, fitted)
    assert list(found) == ["none", "1 to 3"]
    assert found["1 to 3"].rmse == pytest.approx(0.1)
    assert found["none"].rmse == pytest.approx(0.4)
    assert list(report.by_rarest_ion(measured, held_out, 30 * held_out)) == ["30 or more"]
    narrow = [one._replace(chemistry="narrow gap") for one in measured]
    assert report.by_rarest_ion(narrow, held_out, fitted) == {}
