"""Fields across slabs: what is said, at which door, and of what not."""

import warnings

import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule

import openmm_pqeq as pq
from openmm_pqeq.md.build import build_simulation, read_parts
from openmm_pqeq.md.config import run_config
from openmm_pqeq.slabs import gaps, is_across
from openmm_pqeq.topology.read import read_structure

pytestmark = pytest.mark.python_route

ACROSS, ALONG = (0.0, 0.0, 0.02), (0.02, 0.0, 0.0)
UNSCREENED, VACUUM = 'coupling="shell" gives wrong', "of vacuum in a cell that is periodic"
KEYS = ("electronegativity", "hardness", "radius", "softness", "spring_constant", "core_charge")
BY_BONDS = {
    "Mg": dict(zip(KEYS, (3.0, 9.0, 1.4, 0.35, 1200.0, 1.0))),
    "O": dict(zip(KEYS, (8.7, 15.0, 0.9, 0.45, 700.0, 1.0))),
}


def film(pbc=(True, True, False)):
    atoms = bulk("MgO", "rocksalt", a=4.2, cubic=True)
    atoms.positions[:, 2] += 8.0
    atoms.set_cell([4.2, 4.2, 20.0])
    atoms.pbc = pbc
    return atoms


@pytest.fixture(scope="module")
def free():
    return pq.build({"pqeq": {"protocol": "ewald"}})


@pytest.fixture(scope="module")
def bonds():
    settings = {"protocol": "ewald", "charge_flow": "bonds", "parameters": BY_BONDS}
    return pq.build({"pqeq": settings})


def said(atoms, potential, **conditions):
    """Of the calculator, all warnings as one text."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pq.PQEqCalculator(potential, **conditions).get_potential_energy(atoms)
    return "\n".join(str(warning.message) for warning in caught)


def test_free_flow_across_a_film(free, bonds):
    assert UNSCREENED in said(film(), free, field=ACROSS)
    assert "as a metal would" in said(film(), free, field=ACROSS, coupling="full")
    assert said(film(), free, field=ALONG) == ""
    assert said(film(), free) == ""
    assert said(film(), bonds, field=ACROSS) == ""
    assert said(film((False, False, False)), free, field=ACROSS) == ""  # a molecule


def test_vacuum_in_a_periodic_cell(free, bonds):
    for potential in (free, bonds):
        text = said(film((True, True, True)), potential, field=ACROSS)
        assert "along cell vector 2 there are 17.9 Å " + VACUUM in text
        assert "periodic=[True, True, False]" in text
        assert said(film((True, True, True)), potential, field=ALONG) == ""
    water = molecule("H2O", cell=[20, 20, 20], pbc=True)
    assert said(water, free, field=ACROSS) == ""
    assert said(bulk("MgO", "rocksalt", a=4.2), free, field=ACROSS) == ""


def test_systems_and_runs(free, tmp_path):
    ase.io.write(tmp_path / "film.extxyz", film())
    ase.io.write(tmp_path / "periodic.extxyz", film((True, True, True)))
    pq.save(free, tmp_path / "model.pt")
    topology, _ = read_structure(tmp_path / "film.extxyz")
    with pytest.warns(UserWarning, match=UNSCREENED):
        pq.create_force(free, topology, field=ACROSS, backend="python")
    given = {"model": str(tmp_path / "model.pt"), "output": str(tmp_path / "run"), "steps": 1}
    given |= {"backend": "python", "platform": "Reference", "seed": 1}
    for name, field, message in (
        ("periodic", ACROSS, VACUUM),
        ("periodic", (0, 0, "0.02*sin(t)"), VACUUM),
        ("film", (0, 0, "0.02*sin(t)"), UNSCREENED),
    ):
        structure = str(tmp_path / f"{name}.extxyz")
        config = run_config({**given, "structure": structure, "field": field})
        with pytest.warns(UserWarning, match="has neither a network nor a repulsion"):
            parts = read_parts(config)
        with pytest.warns(UserWarning, match=message):
            build_simulation(config, parts, "NVT")


def test_gaps_are_those_between_planes():
    cell = np.array([[4.0, 0, 0], [2.0, 3.0, 0], [0, 1.0, 20.0]])
    places = np.array([[0.0, 0.1, 0.95], [0.5, 0.6, 0.05]]) @ cell
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    assert np.allclose(gaps(places, cell), heights * [0.5, 0.5, 0.9])
    assert not is_across((1.0, 5.0, 0.0), cell[:2])
    assert is_across((1.0, 5.0, 0.1), cell[:2])
    assert is_across((0.0, 0.0, 0.1), cell[:0])
    assert np.allclose(gaps(np.zeros((1, 3)), cell), heights)
