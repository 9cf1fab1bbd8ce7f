"""phonopy's file BORN: the format, the order of indices, symmetry-independent atoms, and a sum of
zero."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms

from openmm_pqeq.analysis.born import independent_atoms, with_sum_rule, write_born
from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.checkpoint import load, save
from openmm_pqeq.cli import main
from openmm_pqeq.potential import build

CHARGE = 1e-6  # e: central differences of forces solved to 1e-12 eV/e in fields of 2e-4 V/Å


def wurtzite():
    """ZnO, whose two zincs and two oxygens are each of one kind; rattled where a test wants no
    symmetry."""
    a, c, u = 3.25, 5.2, 0.382
    cell = [[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]]
    fractions = [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, u], [2 / 3, 1 / 3, 0.5 + u]]
    return Atoms("Zn2O2", scaled_positions=fractions, cell=cell, pbc=True)


def tensors(path):
    """Factor and tensors (n, 3, 3) of a BORN file, ε∞ first."""
    lines = path.read_text().splitlines()
    return float(lines[0]), np.array([line.split() for line in lines[1:]], dtype=float).reshape(
        -1, 3, 3
    )


def test_the_file_has_factor_dielectric_tensor_and_the_independent_atoms(tmp_path):
    charges = np.random.default_rng(0).normal(size=(4, 3, 3))
    write_born(tmp_path / "BORN", np.diag([2.0, 3.0, 4.0]), charges, [0, 2])
    factor, (infinite, *written) = tensors(tmp_path / "BORN")
    assert abs(factor - 14.4) < 1e-3  # eV Å, phonopy's documented value for VASP's units
    assert np.array_equal(infinite, np.diag([2.0, 3.0, 4.0]))
    assert np.abs(np.array(written) - charges[[0, 2]]).max() < 1e-8


def test_rows_are_fields_and_columns_forces(tmp_path):
    """phonopy multiplies the wave vector, and so the field, with the first index: D ∝
    (q·Z_i)(q·Z_j)."""
    atoms = ase.io.read(Path(__file__).parents[2] / "examples" / "BaTiO3.cif")
    atoms.rattle(0.1, seed=3)
    potential = load("batio3").select("pqeq")
    born = PQEqCalculator(potential, tolerance=1e-12).get_property("born_charges", atoms)
    write_born(tmp_path / "BORN", np.eye(3), born, range(5))
    _, (_, *written) = tensors(tmp_path / "BORN")
    step, wave_vector = 2e-4, np.array([0.3, -0.5, 0.81])
    forces = [
        PQEqCalculator(potential, field=sign * step * wave_vector, tolerance=1e-12).get_forces(
            atoms
        )
        for sign in (1, -1)
    ]
    assert (
        np.abs(
            np.einsum("a,iab->ib", wave_vector, np.array(written))
            - (forces[0] - forces[1]) / (2 * step)
        ).max()
        < CHARGE
    )
    assert (
        np.abs(born - born.transpose(0, 2, 1)).max() > 100 * CHARGE
    )  # a transposed tensor would have been seen


def test_independent_atoms_are_the_first_of_each_kind():
    pytest.importorskip("spglib")
    atoms = wurtzite()
    assert independent_atoms(atoms.cell.array, atoms.positions, atoms.numbers) == [0, 2]
    atoms.rattle(0.1, seed=3)
    assert independent_atoms(atoms.cell.array, atoms.positions, atoms.numbers) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="spglib finds no symmetry"):
        independent_atoms(np.eye(3), np.zeros((2, 3)), [1, 1])


def test_the_sum_rule_takes_out_the_mean_and_says_what_it_was():
    charges = np.random.default_rng(1).normal(size=(5, 3, 3))
    neutral, residual = with_sum_rule(charges)
    assert np.abs(neutral.sum(axis=0)).max() < 1e-14
    assert np.abs(residual - charges.sum(axis=0)).max() < 1e-14
    assert np.abs((charges - neutral) - residual / 5).max() < 1e-14


@pytest.mark.parametrize(
    ("charges", "infinite", "independent", "name"),
    [
        (np.zeros((2, 3)), np.eye(3), [0], "born_charges"),
        (np.full((2, 3, 3), np.nan), np.eye(3), [0], "born_charges"),
        (np.zeros((2, 3, 3)), np.ones(3), [0], "high_frequency"),
        (np.zeros((2, 3, 3)), np.eye(3), [2], "independent"),
        (np.zeros((2, 3, 3)), np.eye(3), [], "independent"),
    ],
)
def test_what_is_wrong_is_named(charges, infinite, independent, name, tmp_path):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        write_born(tmp_path / "BORN", infinite, charges, independent)
    assert not (tmp_path / "BORN").exists()


def test_phonopy_reads_it(tmp_path):
    pytest.importorskip("spglib")
    file_io = pytest.importorskip("phonopy.file_IO", reason="phonopy is not installed")
    from phonopy.structure.atoms import PhonopyAtoms

    atoms = wurtzite()
    calculator = PQEqCalculator(build({"pqeq": {"protocol": "ewald", "tolerance": 1e-10}}))
    born = calculator.get_property("born_charges", atoms)
    write_born(
        tmp_path / "BORN",
        np.eye(3) * 3,
        born,
        independent_atoms(atoms.cell.array, atoms.positions, atoms.numbers),
    )
    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(),
    )
    found = file_io.parse_BORN(cell, filename=tmp_path / "BORN", lang="C")
    assert (
        np.abs(found["born"] - born).max() < 1e-6
    )  # e; phonopy rebuilds the other atoms by symmetry


# Command line


@pytest.fixture
def crystal(tmp_path):
    """A file with ZnO, and a model for it."""
    ase.io.write(tmp_path / "ZnO.cif", wurtzite())
    save(build({"pqeq": {"protocol": "ewald"}}), tmp_path / "zno.pt")
    save(build({"d3": {"damping": "bj", "functional": "pbe"}}), tmp_path / "d3.pt")
    return tmp_path


@pytest.mark.filterwarnings("default:born_file")
def test_the_command_line_writes_it(crystal, capsys):
    pytest.importorskip("spglib")
    model, born = str(crystal / "zno.pt"), crystal / "BORN"
    command = ["energy", str(crystal / "ZnO.cif"), "--model", model, "--born-file", str(born)]
    assert main(command) == 0
    shown, said = capsys.readouterr()
    assert "warning: born_file: the charges of this model flow freely" in said
    assert "ε∞ xx yy zz" in shown
    assert "Born charge of Zn" in shown
    _, (infinite, zinc, oxygen) = tensors(born)
    assert np.diag(infinite).min() > 1
    assert np.abs(zinc + oxygen).max() < 1e-7  # e, two of each
    assert zinc[0, 0] > 0.1


@pytest.mark.filterwarnings("default:born_file")
def test_the_command_line_replaces_no_file_unasked(crystal, capsys):
    pytest.importorskip("spglib")
    born = crystal / "BORN"
    born.write_text("mine\n")
    command = [
        "energy",
        str(crystal / "ZnO.cif"),
        "--model",
        str(crystal / "zno.pt"),
        "--born-file",
    ]
    assert main([*command, str(born)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert born.read_text() == "mine\n"
    assert main([*command, str(crystal / "none" / "BORN")]) == 2
    assert "born_file: there is no folder" in capsys.readouterr().err
    assert main([*command, str(born), "--overwrite"]) == 0
    assert len(tensors(born)[1]) == 3


def test_the_command_line_refuses_what_has_no_born_charges(crystal, capsys):
    from ase.build import molecule

    ase.io.write(crystal / "water.xyz", molecule("H2O"))
    assert (
        main(
            [
                "energy",
                str(crystal / "water.xyz"),
                "--model",
                str(crystal / "zno.pt"),
                "--born-file",
                "BORN",
            ]
        )
        == 2
    )
    assert "not periodic" in capsys.readouterr().err
    assert (
        main(["energy", str(crystal / "ZnO.cif"), "--model", str(crystal / "d3.pt"), "--response"])
        == 2
    )
    assert "no charges" in capsys.readouterr().err
