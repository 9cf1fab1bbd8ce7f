"""What a POSCAR says: scaling factors, flags of selective dynamics, velocities; or it is refused."""

import pytest
from structure_files import POSCAR, facts, of_two, written

from openmm_pqeq.topology.file import read_file


@pytest.mark.parametrize("flags", ["f f f", ".FALSE. .FALSE. .FALSE.", ".F. F f", "F F F Ba"])
def test_flags_are_read_as_fortran_reads_them(tmp_path, flags):
    """VASP takes the first letter; ASE takes anything but F for free."""
    text = POSCAR.format(barium=flags)
    assert facts(written(tmp_path, "POSCAR", text)).fixed == (4,)
    older = text.replace("barium titanate", "O Ti Ba").replace("O Ti Ba\n3 1 1", "3 1 1")
    assert facts(written(tmp_path, "POSCAR", older)).fixed == (4,)
    assert not facts(written(tmp_path, "POSCAR", POSCAR.format(barium="t .TRUE. .T."))).fixed


@pytest.mark.parametrize(
    ("scale", "edges", "cartesian"),
    [
        ("2.0", [8, 8, 10], "2 2 2.5"),
        ("-640.0", [8, 8, 10], "2 2 2.5"),  # a volume
        ("1.0 2.0 3.0", [4, 8, 15], "2 2 2.5"),
    ],
)
def test_scaling_factors_of_poscar(tmp_path, scale, edges, cartesian):
    for mode, second in (("Direct", "0.5 0.5 0.5"), ("cartesian", cartesian), ("K", cartesian)):
        text = of_two(scale, mode, f"0 0 0\n{second}\n")
        atoms, _ = read_file(written(tmp_path, "POSCAR", text))
        assert atoms.cell.lengths() == pytest.approx(edges)
        assert atoms.positions[1] == pytest.approx([0.5 * edge for edge in edges])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"counts": "400000000000 1"}, "expected 400000000001 positions, .* got 3 lines for them"),
        ({"counts": "2"}, "expected as many numbers of atoms as elements, got 2 for Mg O"),
        ({"counts": "1 1 1"}, "as many numbers of atoms as elements, got 1 1 1 for Mg O"),
        ({"positions": "0 0 0\n"}, "ASE cannot read structure"),
        ({"positions": 3 * "0 0 .5\n"}, r"expected 2 positions, .* got more: 0 0 .5"),
        ({"scale": "1.0 2.0"}, "number of scaling factors must be 1 or 3"),
        ({"scale": "-1.0 2.0 3.0"}, "must be positive"),
        ({"scale": "0"}, "singular"),
        ({"scale": "nan"}, "finite"),
        ({"rest": "Direct\n.01 0 0\n0 0 0\n"}, r"velocities: expected Å/fs .* got Direct"),
        ({"rest": "\nnan 0 0\n0 0 0\n"}, "velocities: expected three finite numbers"),
        ({"rest": "\n.01 0 0\n"}, "ASE cannot read structure"),
    ],
)
def test_a_poscar_that_says_no_structure_is_refused(tmp_path, changed, message):
    with pytest.raises(ValueError, match=message):
        read_file(written(tmp_path, "POSCAR", of_two(**changed)))


@pytest.mark.parametrize("before", ["\n", "Cartesian\n", "  \n"])
@pytest.mark.parametrize("scale", ["1.0", "2.0"])
def test_velocities_of_poscar(tmp_path, before, scale):
    """Å/fs, whatever the scaling factor; Direct and zero are none."""
    text = of_two(scale, rest=f"{before}0.01 0 0\n0 -0.02 0\n")
    found = facts(written(tmp_path, "POSCAR", text)).velocities
    assert found.tolist() == [
        pytest.approx([1.0, 0, 0], abs=1e-12),  # nm/ps
        pytest.approx([0, -2.0, 0], abs=1e-12),
    ]
    still = of_two(scale, rest="Direct\n0 0 0\n0 0 0\n")
    assert facts(written(tmp_path, "POSCAR", still)).velocities is None


def test_velocities_after_those_of_the_lattice(tmp_path):
    block = "Lattice velocities and vectors\n1\n" + 3 * "0 0 0\n" + "4 0 0\n0 4 0\n0 0 5\n"
    text = of_two(rest=block + "\n0.01 0 0\n0 0 0\n")
    assert facts(written(tmp_path, "POSCAR", text)).velocities[0, 0] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="got Direct"):
        read_file(written(tmp_path, "POSCAR", of_two(rest=block + "Direct\n0.01 0 0\n0 0 0\n")))
