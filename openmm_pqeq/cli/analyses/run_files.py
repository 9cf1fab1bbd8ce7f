"""The files of a run that analyses of its trajectory read, or a trajectory of another program."""

import ctypes
import os
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from openmm_pqeq.jobs import quantities, values


def table_of(source: Path) -> tuple[Path, dict[str, Any]]:
    """The table of a run's folder, or of a file, and its columns; FileNotFoundError without one,
    ValueError without times."""
    from openmm_pqeq.md.plot import read_table

    path = source / "table.csv" if source.is_dir() else source
    if not path.is_file():
        raise FileNotFoundError(f"file: {path} does not exist; expected the folder of a run")
    columns = read_table(path)
    if "time_ps" not in columns:
        raise ValueError(f"file: {path} has no column time_ps; expected table.csv of a run")
    return path, columns


def settings_of(source: Path) -> dict[str, Any]:
    """run.toml; empty where the input is no folder of a run."""
    if not source.exists():
        raise FileNotFoundError(
            f"run: {source} does not exist; expected the folder of a run, or a trajectory"
        )
    if not source.is_dir():
        return {}
    file = source / "run.toml"
    if not file.is_file():
        raise FileNotFoundError(
            f"run: {source} has no run.toml; expected the folder of openmm-pqeq run, or a "
            "trajectory with --topology"
        )
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"run: {file} cannot be read ({error})") from None


def files_of(source: Path, settings: dict[str, Any], topology: str | None) -> tuple[Path, Path]:
    """Trajectory and topology."""
    if not source.is_dir():
        if topology is None:
            raise ValueError(f"topology: {source} is a trajectory; give --topology FILE (PDB)")
        return source, Path(topology)
    path = source / f"trajectory.{settings.get('trajectory_format', 'dcd')}"
    named = Path(topology) if topology else source / "topology.pdb"
    if topology is None and not named.is_file():
        named = source / "topology.cif"
    for each in (path, named):
        if not each.is_file():
            raise FileNotFoundError(f"run: {source} has no {each.name}; is it the folder of a run?")
    return path, named


def interval_of(given: str | None, settings: dict[str, Any]) -> float:
    """ps between two frames of the file."""
    if given is not None:
        return values.within(quantities.picoseconds, 1e-9, 1e9, "ps")("interval", given)
    if not settings:
        raise ValueError("interval: a trajectory alone does not say it; give --interval TIME")
    from openmm_pqeq.md.settings import RunConfig

    def of(name: str) -> float:
        default = RunConfig.__dataclass_fields__[name].default
        return float(settings.get(name, default))

    return of("timestep") * of("trajectory_interval") / 1000


def loaded(path: Path, topology: Path) -> Any:
    """mdtraj's Trajectory; ValueError names the file that is none."""
    import mdtraj
    from openmm import app

    try:
        if topology.suffix == ".cif":
            atoms = mdtraj.Topology.from_openmm(app.PDBxFile(str(topology)).topology)
        else:
            atoms = mdtraj.load_topology(str(topology), standard_names=False)
    except Exception as error:  # of any kind, from parsers of text
        raise ValueError(f"topology: {topology} cannot be read ({error})") from None
    if any(atom.element is None or atom.element.mass <= 0 for atom in atoms.atoms):
        raise ValueError(f"topology: {topology} has atoms without an element")
    try:
        with silent():
            return mdtraj.load(str(path), top=atoms)
    except (OSError, ValueError, TypeError, RuntimeError, IndexError) as error:
        raise ValueError(f"run: {path} cannot be read with {topology} ({error})") from None


@contextmanager
def silent() -> Iterator[None]:
    """What a library's C code prints is not shown: mdtraj's reader of DCD introduces itself."""
    sys.stdout.flush()
    with open(os.devnull, "wb") as nothing:
        kept = os.dup(1)
        os.dup2(nothing.fileno(), 1)
        try:
            yield
        finally:
            with suppress(
                OSError, TypeError, AttributeError
            ):  # there is no such library on Windows
                ctypes.CDLL(None).fflush(None)
            os.dup2(kept, 1)
            os.close(kept)
