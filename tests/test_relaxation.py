"""Relaxations end where forces, and stresses of a cell that may change, vanish."""

import signal

import ase
import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms

from openmm_pqeq import relaxation
from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.checkpoint import save
from openmm_pqeq.cli import main
from openmm_pqeq.potential import build
from openmm_pqeq.relaxation import relax


@pytest.fixture
def argon():
    """Rattled fcc argon under 5 % tension; Lennard-Jones, cut off smoothly."""
    atoms = bulk("Ar", "fcc", a=5.4, cubic=True)
    atoms.rattle(0.1, seed=3)
    atoms.calc = LennardJones(sigma=3.4, epsilon=0.0104, rc=8.0, smooth=True)
    return atoms


def test_atoms_alone_leave_the_cell(argon):
    cell = argon.cell.array.copy()
    steps = list(relax(argon, largest_force=1e-3))
    assert steps[-1].largest_force < 1e-3 < steps[0].largest_force
    assert steps[-1].energy < steps[0].energy
    assert np.array_equal(argon.cell.array, cell)


@pytest.mark.parametrize("pressure", [0.0, 0.2])
def test_a_free_cell_has_the_pressure_asked_for(argon, pressure):
    list(relax(argon, "free", largest_force=1e-4, pressure=pressure))
    stress = argon.get_stress()
    assert abs(-stress[:3].mean() * 160.21766 - pressure) < 2e-3  # GPa in an eV/Å³
    assert np.abs(stress[3:]).max() < 1e-5


def test_an_isotropic_cell_keeps_its_shape(argon):
    argon.set_cell(argon.cell.array @ np.diag([1.0, 1.0, 1.02]), scale_atoms=True)
    list(relax(argon, "isotropic", largest_force=1e-3))
    a, _, c = argon.cell.lengths()
    assert c / a == pytest.approx(1.02, rel=1e-9)


def test_fixed_atoms_stay(argon):
    argon.set_constraint(FixAtoms([0]))
    first = argon.positions[0].copy()
    list(relax(argon, largest_force=1e-3))
    assert np.array_equal(argon.positions[0], first)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cell": "soft"}, "cell: expected one of"),
        ({"optimizer": "newton"}, "optimizer: expected"),
        ({"pressure": 1.0}, "pressure: expected 0 for a cell that is fixed, got 1 GPa"),
    ],
)
def test_unknown_choices_are_named(argon, settings, message):
    with pytest.raises(ValueError, match=message):
        next(relax(argon, **settings))


def test_a_molecule_has_no_cell_to_change():
    atoms = ase.Atoms("Ar2", [[0, 0, 0], [0, 0, 3.5]], calculator=LennardJones())
    with pytest.raises(ValueError, match="three periodic directions"):
        next(relax(atoms, "free"))


def test_command_writes_what_it_reached(tmp_path, capsys):
    from openmm_pqeq.checkpoint import save

    model = build({"pqeq": {"protocol": "direct"}, "zbl": {}})
    save(model, tmp_path / "model.pt")
    dimer = ase.Atoms("NaCl", [[0, 0, 0], [0, 0, 0.9]])
    dimer.set_constraint(FixAtoms([0]))
    ase.io.write(tmp_path / "dimer.extxyz", dimer)
    out = tmp_path / "out"
    command = ["relax", str(tmp_path / "dimer.extxyz"), "--model", str(tmp_path / "model.pt")]
    command += ["-o", str(out), "--steps", "3"]
    assert main(command) == 1  # not there yet
    assert "not relaxed yet after 3 steps" in capsys.readouterr().out
    atoms = ase.io.read(out / "relaxed.extxyz")
    assert np.array_equal(atoms.positions[0], [0, 0, 0])
    assert atoms.get_distance(0, 1) > 0.9
    atoms.calc = PQEqCalculator(model, tolerance=1e-7)
    rows = (out / "steps.csv").read_text(encoding="utf-8").splitlines()
    assert float(rows[-1].split(",")[1]) == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
    assert {"relaxation.png", "facts.json"} <= {path.name for path in out.iterdir()}
    assert main(command) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_relaxation_that_fails_on_the_way_is_a_failure(tmp_path, monkeypatch, capsys):
    """Exit code 1: the folder has been begun."""
    dimer = ase.Atoms("Ar2", [[0, 0, 0], [0, 0, 3.5]])
    dimer.write(tmp_path / "dimer.extxyz")
    save(build({"zbl": {"outer": 6.0}}), tmp_path / "model.pt")
    real = relaxation.relax

    def failing(*given):
        yield next(real(*given))
        raise RuntimeError("charges did not converge")

    monkeypatch.setattr(relaxation, "relax", failing)
    place = ["--model", str(tmp_path / "model.pt"), "-o", str(tmp_path / "out")]
    assert main(["relax", str(tmp_path / "dimer.extxyz"), *place]) == 1
    said = capsys.readouterr().err
    assert "the relaxation failed after step 0: charges did not converge" in said
    assert "--overwrite" in said


def test_a_relaxation_that_is_asked_to_end_leaves_what_it_has(tmp_path, monkeypatch):
    """SIGTERM ends it after its present step."""
    dimer = ase.Atoms("Ar2", [[0, 0, 0], [0, 0, 0.9]])
    dimer.write(tmp_path / "dimer.extxyz")
    save(build({"zbl": {"outer": 6.0}}), tmp_path / "model.pt")
    real = relaxation.relax

    def asked(*given):
        for step in real(*given):
            if step.step == 2:
                signal.raise_signal(signal.SIGTERM)
            yield step

    monkeypatch.setattr(relaxation, "relax", asked)
    place = ["--model", str(tmp_path / "model.pt"), "-o", str(tmp_path / "out")]
    assert main(["relax", str(tmp_path / "dimer.extxyz"), *place]) == 130
    assert len((tmp_path / "out" / "steps.csv").read_text().splitlines()) == 4
    assert (tmp_path / "out" / "relaxed.extxyz").is_file()
