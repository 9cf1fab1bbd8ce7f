"""A program that writes the files of reporters into a folder until it is killed."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from openmm_pqeq.reporters.charges import XYZFile
from openmm_pqeq.reporters.frames import FrameFile, Quantity
from openmm_pqeq.reporters.table import Table

QUANTITIES = {
    "step": Quantity((), "i8", "1"),
    "charges": Quantity((500, 3), "f8", "e"),
    "time": Quantity((), "f8", "ps"),
}
FIXED = {"numbers": np.arange(500)}


def write(folder: Path):
    frames, table = FrameFile(folder / "f.h5"), Table(folder / "t.csv")
    xyz = XYZFile(folder / "x.extxyz", False)
    frames.open(QUANTITIES, FIXED)
    observer = SimpleNamespace(symbols=["O"] * 500, periodic=np.ones(3, bool))
    step = 0
    while True:
        step += 1
        frames.write({"step": step, "charges": np.full((500, 3), step), "time": step})
        table.write({"step": step, "energy_eV": step})
        array = np.full((500, 3), float(step))
        now = SimpleNamespace(
            positions=array,
            charges=array[0, 0] * np.ones(500),
            shells=array,
            cell=np.eye(3),
            step=step,
            time=0.0,
            field=np.zeros(3),
            dipole=np.zeros(3),
        )
        xyz.write(observer, now)
        if step == 5:
            print("writing", flush=True)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
