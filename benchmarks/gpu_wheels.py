"""Fetch the wheels that benchmarks/gpu.sh installs, for another machine than this one.

    python benchmarks/gpu_wheels.py gpu-wheels [--python 3.12] [PACKAGE ...]

They are few enough to be carried along: 35 MB. Of SevenNet's wheel, which holds all their models,
SevenNet-0 of July 2024 is kept. A package is fetched without what it needs: the machine has numpy,
scipy, h5py, matplotlib, rich, sympy, opt_einsum_fx, pytest, and what SevenNet needs of torch_geometric,
scikit-learn and pandas; name what it lacks, such as nvidia-cuda-nvcc and cmake.
"""

import argparse
import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGES = (
    *("openmm==8.6.1", "openmm-cuda-13==8.6.1", "vesin-torch==0.6.2", "ase==3.29.0"),
    *("e3nn==0.6.0", "opt-einsum-fx==0.1.4", "torch-dftd==0.5.3", "pooch==1.9.0"),
    *("sevenn==0.13.0", "matscipy==1.2.0", "braceexpand==0.1.7"),
)
PLATFORMS = ("2_34", "2_31", "2_28", "2_27", "2_24", "2_17", "2_12", "2_5")
"""manylinux_*_x86_64: of glibc 2.34 and older; pip takes each name literally."""

LEFT_OUT = ("SevenNet_l3i5/", "SevenNet_MF_0/", "SevenNet_0__22May2024/", ".so")
"""In paths of SevenNet's wheel: other models, and libraries of its own D3."""


def fetch(folder: Path, packages: list[str], python: str) -> None:
    """Download wheels, one by one, so that each may be of another platform."""
    wanted = ["--only-binary=:all:", "--no-deps", "--implementation", "cp"]
    wanted += ["--python-version", python, "--dest", str(folder)]
    for platform in PLATFORMS:
        wanted += ["--platform", f"manylinux_{platform}_x86_64"]
    for package in packages:
        print(package, flush=True)
        command = [sys.executable, "-m", "pip", "--quiet", "download", *wanted, package]
        subprocess.run(command, check=True)


def slim(wheel: Path) -> None:
    """Leave out of a wheel what is in `LEFT_OUT`."""
    smaller = wheel.with_suffix(".smaller")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.infolist():
            if not any(part in item.filename for part in LEFT_OUT):
                new.writestr(item, old.read(item), zipfile.ZIP_DEFLATED, 9)
    smaller.replace(wheel)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("more", nargs="*", metavar="PACKAGE", help="that the machine lacks")
    parser.add_argument("--python", default="3.12")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for old in arguments.folder.glob("*.whl"):
        old.unlink()
    fetch(arguments.folder, [*PACKAGES, *arguments.more], arguments.python)
    for wheel in arguments.folder.glob("sevenn-*.whl"):
        slim(wheel)
    size = sum(wheel.stat().st_size for wheel in arguments.folder.glob("*.whl"))
    print(f"{arguments.folder}: {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
