"""Ordered arrangements: occupancies that are kept, the order that electrostatics has, charges that
do not add up."""

import numpy as np
import pytest

from openmm_pqeq.builders.ordering import VACANCY, kinds_of, ordered

pytest.importorskip("pymatgen", reason="partial occupation needs pymatgen")

CIF = """data_disordered
_cell_length_a {a}
_cell_length_b {a}
_cell_length_c {a}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
{sites}
"""


def write(path, a, sites):
    rows = [f"{s}{k} {s} {x} {y} {z} {part}" for k, (s, x, y, z, part) in enumerate(sites)]
    path.write_text(CIF.format(a=a, sites="\n".join(rows)))
    return path


@pytest.fixture
def salt(tmp_path):
    """A simple cubic lattice, half sodium and half chlorine: its ground state is that of CsCl or
    NaCl, neighbours of the other kind."""
    return write(tmp_path / "salt.cif", 2.8, [("Na", 0, 0, 0, 0.5), ("Cl", 0, 0, 0, 0.5)])


def test_charges_order_as_rocksalt(salt):
    """Madelung's constant 1.747565 of 32 pairs at 2.8 Å is the lowest energy of this lattice."""
    found = ordered(salt, {"Na": 1.0, "Cl": -1.0}, 0, (4, 4, 4), number=3)
    expected = -32 * 14.3996 * 1.747565 / 2.8
    assert found[0].energy == pytest.approx(expected, rel=1e-3)
    assert found[0].energy <= found[-1].energy
    atoms = found[0].atoms
    assert sorted(set(atoms.symbols)) == ["Cl", "Na"]
    distances = atoms.get_all_distances(mic=True)
    sodium = atoms.numbers == 11
    like = distances[np.ix_(sodium, sodium)]
    assert like[like > 0.1].min() == pytest.approx(2.8 * np.sqrt(2))


def test_split_sites_are_not_occupied_together(tmp_path):
    """Pairs of half-occupied sites 1 Å apart: one of each is taken."""
    sites = [("Li", 0.0, 0, 0, 0.5), ("Li", 0.2, 0, 0, 0.5), ("Cl", 0.6, 0.5, 0.5, 1)]
    found = ordered(
        write(tmp_path / "split.cif", 5.0, sites), {"Li": 1.0, "Cl": -1.0}, 1, (2, 2, 2)
    )
    (one,) = found
    assert one.atoms.get_chemical_formula() == "Cl8Li8"
    assert one.too_near == 0


def test_occupancies_are_rounded_to_all_sites(tmp_path):
    from pymatgen.core import Lattice, Structure

    structure = Structure(Lattice.cubic(4), [{"Li": 0.54}, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    structure.make_supercell([3, 3, 3])
    kinds = {len(kind.species): kind for kind in kinds_of(structure)}
    lithium = next(kind for kind in kinds_of(structure) if "Li" in kind.species)
    assert lithium.species.count("Li") == 15  # 14.58 of 27
    assert lithium.species.count(VACANCY) == 12
    assert kinds


def test_a_seed_gives_the_same_again(salt):
    one, two = (ordered(salt, {"Na": 1.0, "Cl": -1.0}, 5, (2, 2, 2))[0] for _ in range(2))
    assert np.array_equal(one.atoms.positions, two.atoms.positions)
    assert one.energy == two.energy


def test_what_has_a_charge_is_refused(salt, tmp_path):
    with pytest.raises(ValueError, match=r"charges: this arrangement has \+4 e"):
        ordered(salt, {"Na": 2.0, "Cl": -1.0}, 0, (2, 2, 2))
    with pytest.raises(ValueError, match="Na has none"):
        ordered(salt, {"Cl": -1.0}, 0)
    with pytest.raises(FileNotFoundError, match="file: "):
        ordered(tmp_path / "nowhere.cif", {}, 0)
    (tmp_path / "junk.cif").write_text("hello")
    with pytest.raises(ValueError, match="cannot be read as CIF"):
        ordered(tmp_path / "junk.cif", {}, 0)
