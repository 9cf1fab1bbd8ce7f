"""Structures that are made for a teacher, and their laws."""

import ase.db
import ase.io
import numpy as np
import pytest
from ase.build import bulk
from distillations import do, table

from openmm_pqeq.distillation.settings import StructureSettings
from openmm_pqeq.distillation.structures import read_phases, replaced, varied

pytest.importorskip("lightning", reason="training needs the extra `train`")


def test_atoms_are_moved_and_cells_strained_by_as_much_as_is_said(tmp_path):
    """Of 500 atoms: the standard deviation of normal moves is known to 2 %."""
    big = bulk("Cu", cubic=True).repeat(5)
    settings = StructureSettings(rattled=(0.1,), strained=(), scaled=(1.1,), copies=1)
    given, rattled, scaled = (made.atoms for made in varied("Cu", [big], settings, "training"))
    assert np.array_equal(given.positions, big.positions)
    assert float((rattled.positions - big.positions).std()) == pytest.approx(0.1, rel=0.06)
    assert np.allclose(scaled.cell.array, 1.1 * big.cell.array, rtol=0, atol=1e-12)


def test_what_is_made_does_not_depend_on_what_else_is_made():
    cell = [bulk("Cu", cubic=True)]
    few = StructureSettings(rattled=(0.1,), strained=(0.02,), scaled=(), copies=2)
    more = StructureSettings(rattled=(0.1, 0.2), strained=(0.01, 0.02), scaled=(0.9,), copies=3)
    many = [made.atoms.positions.tolist() for made in varied("Cu", cell, more, "training")]
    assert all(
        made.atoms.positions.tolist() in many for made in varied("Cu", cell, few, "training")
    )
    other = [made.atoms.positions.tolist() for made in varied("other", cell, few, "training")]
    assert sum(one in many for one in other) == 1  # the one as given


def test_a_share_of_an_element_is_replaced():
    cell = bulk("NaCl", "rocksalt", 5.6, cubic=True).repeat(2)
    mixed = replaced(cell, "Na", "Li", 0.25, np.random.default_rng(0))
    assert mixed.get_chemical_formula("metal") == "Li8Na24Cl32"


def test_crystals_are_built_of_elements_and_need_no_files(tmp_path):
    content = table(tmp_path, files=[], crystals=3, elements=["Cu", "Au"], largest_force=1e3)
    do(content, tmp_path)
    images = ase.io.read(tmp_path / "out" / "training.traj", ":")
    assert len(images) == 3 * 8
    assert {a.info["phase"] for a in images} == {"prototypes"}
    held_out = ase.io.read(tmp_path / "out" / "held_out.traj", ":")
    assert all(not np.array_equal(a.positions, b.positions) for a, b in zip(images, held_out))


def test_small_crystals_are_repeated_and_shared_sites_refused(tmp_path):
    table(tmp_path)
    settings = StructureSettings(files=("Cu.xyz",), atoms=10)
    assert len(read_phases(settings, tmp_path)["Cu"][0]) == 16
    text = "data_x\n" + "".join(
        f"_cell_length_{x} 4\n_cell_angle_{y} 90\n"
        for x, y in zip("abc", ("alpha", "beta", "gamma"))
    )
    text += "_symmetry_space_group_name_H-M 'P 1'\nloop_\n_atom_site_label\n_atom_site_fract_x\n"
    text += "_atom_site_fract_y\n_atom_site_fract_z\n_atom_site_occupancy\nNa 0 0 0 0.5\n"
    (tmp_path / "half.cif").write_text(text)
    with pytest.raises(ValueError, match="half.cif has sites that several species share"):
        read_phases(StructureSettings(files=("half.cif",)), tmp_path)


@pytest.mark.parametrize("key", ["charge", "total_charge"])
def test_total_charges_come_with_the_structures(tmp_path, key):
    """Under either of their names, and those of cells with the cells."""
    cell = bulk("NaCl", "rocksalt", 5.6)
    cell.info[key] = 1.0
    ase.io.write(tmp_path / "NaCl.xyz", cell, format="extxyz")
    settings = StructureSettings(files=("NaCl.xyz",), atoms=8)
    (read,) = read_phases(settings, tmp_path)["NaCl"]
    assert (len(read), read.info) == (8, {"charge": 4.0})
    for made in varied("NaCl", [read], settings, "training"):
        assert made.atoms.info["charge"] == 4.0


def test_atoms_in_one_place_are_refused_before_any_label(tmp_path):
    content = table(tmp_path)
    twice = ase.io.read(tmp_path / "Cu.xyz")
    twice.positions[1] = twice.positions[0]
    ase.io.write(tmp_path / "Cu.xyz", twice, format="extxyz")
    with pytest.raises(ValueError, match=r"Cu\.xyz structure 0: positions: atoms 0 and 1"):
        do(content, tmp_path)
