"""Structure files of which a test changes a part."""

from openmm_pqeq.topology.facts import facts_of
from openmm_pqeq.topology.read import read_structure

ION = """3
Lattice="12 0 0 0 12 0 0 0 12" Properties=species:S:1:pos:R:3 pbc="T T T" {info}
Na 6.0 6.0 6.0
O 8.3 6.0 6.0
H 8.9 6.7 6.0
"""

POSCAR = """barium titanate
1.0
3.9661 0 0
0 3.9661 0
0 0 4.3040
O Ti Ba
3 1 1
Selective dynamics
Direct
 0.497 0.018 0.447 T T T
 0.522 0.490 0.948 T T T
-0.004 0.495 0.484 T T T
 0.486 0.511 0.497 T T T
 0.020 0.992 0.994 {barium}
"""

CIF = """data_x
_cell_length_a 8
_cell_length_b 8
_cell_length_c 8
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M '{group}'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
{columns}
"""

WATER_PDB = """{cell}
HETATM    1  O   HOH A   1       0.000   0.000   0.119  1.00  0.00           O
{hydrogens}
HETATM    4  H2  HOH A   1       0.000  -0.763  -0.477  1.00  0.00           {second}
END
"""
CELL = "CRYST1   12.000   12.000   12.000  90.00  90.00  90.00 P 1           1"
ONE = "HETATM    2  H1  HOH A   1       0.000   0.763  -0.477  1.00  0.00           H"
TWO = """HETATM    2  H1 AHOH A   1       0.000   0.763  -0.477  {a}  0.00           H
HETATM    3  {name} BHOH A   1       0.763   0.000  -0.477  {b}  0.00           {element}"""


def written(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def facts(path, **options):
    topology, _ = read_structure(path, **options)
    return facts_of(topology)


def of_two(scale="1.0", mode="Direct", positions="0 0 0\n0.5 0.5 0.5\n", counts="1 1", rest=""):
    cell = "4 0 0\n0 4 0\n0 0 5"
    return f"two\n{scale}\n{cell}\nMg O\n{counts}\n{mode}\n{positions}{rest}"
