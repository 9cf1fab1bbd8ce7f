"""Formats of labelled structures beside ASE's: units, signs and what is refused, on files written
here."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lightning", reason="training needs the extra `train`")

from openmm_pqeq.training.formats import read_images
from openmm_pqeq.training.frames import read_frames
from openmm_pqeq.training.settings import DataSettings

BOHR, HARTREE = 0.529177210903, 27.211386245988  # CODATA 2018: Å, eV

N2P2 = """begin
comment two frames
lattice 10.0 0.0 0.0
lattice 0.0 11.0 0.0
lattice 0.0 1.0 12.0
atom 0.0 0.0 0.0 O -0.8 0.0 0.1 0.0 0.0
atom 1.8 0.0 0.5 H 0.8 0.0 -0.1 0.0 0.02
energy -76.0
charge 0.0
end
begin
atom 0.0 0.0 0.0 C 0.5 0.0 0.0 0.0 0.0
atom 0.0 0.0 2.0 H 0.5 0.0 0.0 0.0 -0.3
energy -38.0
charge 1.0
end
"""


def test_n2p2_in_atomic_units(tmp_path):
    """Bohr and hartree to Å and eV; total charge and charges of atoms; a cell only where lattice
    vectors are given."""
    (tmp_path / "input.data").write_text(N2P2)
    crystal, ion = read_images(tmp_path / "input.data")
    assert crystal.pbc.all()
    assert not ion.pbc.any()
    assert crystal.cell[2] == pytest.approx([0.0, BOHR, 12 * BOHR])
    assert crystal.positions[1] == pytest.approx([1.8 * BOHR, 0.0, 0.5 * BOHR])
    assert crystal.info["energy"] == pytest.approx(-76 * HARTREE)
    assert crystal.arrays["forces"][1, 2] == pytest.approx(0.02 * HARTREE / BOHR)
    assert crystal.arrays["charges"].tolist() == [-0.8, 0.8]
    assert ion.info["charge"] == 1.0
    frames = read_frames([str(tmp_path / "input.data")], DataSettings(files=("x",)))
    assert float(frames[1].structure.total_charge) == 1.0
    assert float(frames[1].labels.energy) == pytest.approx(-38 * HARTREE)
    assert not np.isfinite(frames[0].labels.stress.numpy()).any()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("atom 1.8 0.0 0.5 H", "atom 1.8 0.0 H", r"line 7: expected x y z symbol .* got 8 values"),
        ("energy -76.0", "energy low", "line 8"),
        ("lattice 0.0 1.0 12.0\n", "", "line 9: expected three lattice lines or none, got 2"),
        ("comment two frames", "virial 0.0", "line 2: unknown word 'virial'"),
        (" O ", " Xx ", "line 10"),
    ],
)
def test_n2p2_errors_name_the_line(tmp_path, old, new, message):
    (tmp_path / "input.data").write_text(N2P2.replace(old, new))
    with pytest.raises(ValueError, match=message):
        read_images(tmp_path / "input.data")


def deepmd(folder: Path, virial: bool = True) -> Path:
    """Two frames of Li S in a cubic cell of 3 Å, in the folder's system/set.000 and set.001."""
    system = folder / "data" / "system"
    for part in range(2):
        (system / f"set.00{part}").mkdir(parents=True)
        arrays = {
            "coord": np.arange(6.0) + part,
            "box": 3.0 * np.eye(3).ravel(),
            "force": np.arange(6.0) / 10,
        }
        arrays |= {"virial": 27.0 * np.diag([1.0, 2.0, 3.0]).ravel()} if virial else {}
        for name, values in arrays.items():
            np.save(system / f"set.00{part}" / f"{name}.npy", values[None].astype(np.float32))
        np.save(system / f"set.00{part}" / "energy.npy", np.array([-5.0 - part], dtype=np.float32))
    (system / "type.raw").write_text("0\n1\n")
    return folder / "data"


def test_deepmd_folders(tmp_path):
    """Positions, forces and energy as they are; σ = −virial/V, a virial of 27, 54, 81 eV in 27 Å³
    being −1, −2, −3 eV/Å³."""
    images = read_images(deepmd(tmp_path), ["Li", "S"])
    assert [str(atoms.symbols) for atoms in images] == ["LiS", "LiS"]
    assert images[1].positions[1].tolist() == [4.0, 5.0, 6.0]
    assert [atoms.info["energy"] for atoms in images] == [-5.0, -6.0]
    assert images[0].arrays["forces"][1] == pytest.approx([0.3, 0.4, 0.5], abs=1e-7)
    frames = read_frames([str(tmp_path / "data")], DataSettings(files=("x",), type_map=("Li", "S")))
    assert np.diag(frames[0].labels.stress.numpy()) == pytest.approx([-1.0, -2.0, -3.0])
    (tmp_path / "data" / "system" / "type_map.raw").write_text("Na Cl\n")
    assert str(read_images(tmp_path / "data")[0].symbols) == "NaCl"
    (tmp_path / "data" / "system" / "nopbc").touch()
    assert not read_images(tmp_path / "data")[0].pbc.any()


def test_deepmd_folders_that_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"without type\.raw"):
        read_images(tmp_path)
    folder = deepmd(tmp_path)
    with pytest.raises(ValueError, match=r"types 0 to 1, got \['Li'\]; name them with type_map"):
        read_images(folder, ["Li"])
    (folder / "system" / "set.000" / "box.npy").unlink()
    with pytest.raises(ValueError, match=r"expected coord\.npy and box\.npy"):
        read_images(folder, ["Li", "S"])
