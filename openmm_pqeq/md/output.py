"""The folder of a run: what is in it, what must not be overwritten, and the reporters that write
it.

run.toml         the description, complete; repeats the run
input-NAME       copy of the structure file
topology.pdb     the starting structure, for programs that read the trajectory
topology.cif     the same as PDBx/mmCIF, for any number of atoms
trajectory.dcd   or .xtc: positions, not wrapped into the cell
table.csv        energies, temperature, volume, density, field, dipole, polarization, mean charges
charges.h5       charges and shells of every atom
restart.zip      continues the run (--resume)
run.log          what was done and when
plot.png         polarization and temperature against time
"""

import dataclasses
import os
from pathlib import Path
from typing import Any, NamedTuple

from openmm import app

from openmm_pqeq.md.config import RunConfig, write_toml
from openmm_pqeq.md.schedule import FieldSchedule
from openmm_pqeq.md.table import TableReporter
from openmm_pqeq.md.truncate import truncate_charges, truncate_dcd, truncate_table, truncate_xtc
from openmm_pqeq.reporters import ChargeReporter
from openmm_pqeq.topology.write import write_topology


class Files(NamedTuple):
    """Paths of everything a run writes."""

    toml: Path
    input: Path
    topology: Path
    topology_cif: Path
    trajectory: Path
    table: Path
    charges: Path
    restart: Path
    log: Path
    plot: Path


def files_of(config: RunConfig) -> Files:
    """Where a run writes."""
    folder, name = Path(config.output), Path(config.structure).name
    return Files(
        toml=folder / "run.toml",
        input=folder / (name if name.startswith("input-") else f"input-{name}"),
        topology=folder / "topology.pdb",
        topology_cif=folder / "topology.cif",
        trajectory=folder / f"trajectory.{config.trajectory_format}",
        table=folder / "table.csv",
        charges=folder / "charges.h5",
        restart=folder / "restart.zip",
        log=folder / "run.log",
        plot=folder / "plot.png",
    )


def refuse_existing(config: RunConfig) -> None:
    """FileExistsError where the folder has a run already; nothing is changed."""
    folder = Path(config.output)
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"output: {folder} is a file; expected the name of a folder")
    existing = [path.name for path in files_of(config) if path.exists()]
    if existing:
        raise FileExistsError(
            f"output: {folder} already has {', '.join(existing)}. Choose another folder, continue "
            "that run with --resume, or"
            " replace it with --overwrite"
        )


def begin(config: RunConfig, topology: app.Topology, positions: Any) -> Files:
    """Make the folder, remove the files of an earlier run, and write what does not change any
    more."""
    files = files_of(config)
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    structure = Path(config.structure)
    content = structure.read_bytes()
    for path in (*files, folder / "trajectory.dcd", folder / "trajectory.xtc"):
        path.unlink(missing_ok=True)
    files.input.write_bytes(content)
    write_description(config, files)
    write_topology(topology, positions, files.topology)
    return files


def write_description(config: RunConfig, files: Files) -> None:
    """Write run.toml, with names relative to its folder, so that the folder can be moved."""
    model = config.model
    if Path(model).is_file():
        model = os.path.relpath(model, files.toml.parent)
    described = dataclasses.replace(config, structure=files.input.name, output=".", model=model)
    temporary = files.toml.with_name("run.toml.part")
    temporary.write_text(write_toml(described), encoding="utf-8")
    os.replace(temporary, files.toml)


def cut_back(config: RunConfig, files: Files, step: int, n_atoms: int, box: bool) -> None:
    """Remove everything after `step`, and everything where the run has not begun to write."""
    n_frames = step // config.trajectory_interval
    if config.trajectory_format == "dcd":
        truncate_dcd(files.trajectory, n_frames, config.trajectory_interval, n_atoms, box)
    else:
        truncate_xtc(files.trajectory, n_frames)
    if files.table.is_file():
        truncate_table(files.table, step)
    if files.charges.is_file():
        truncate_charges(files.charges, step)


class Reporters(NamedTuple):
    """What a run reports to; `all` in the order in which OpenMM calls them."""

    table: TableReporter
    all: list[Any]

    def close(self) -> None:
        """Close the files."""
        for reporter in self.all:
            if hasattr(reporter, "close"):
                reporter.close()


def reporters_of(config: RunConfig, files: Files, charges: bool) -> Reporters:
    """The reporters of the production stage; files that exist are continued."""
    table = TableReporter(files.table, config.table_interval, charges, append=files.table.is_file())
    kind = app.DCDReporter if config.trajectory_format == "dcd" else app.XTCReporter
    written = files.trajectory.is_file() and files.trajectory.stat().st_size > 0
    trajectory = kind(
        str(files.trajectory), config.trajectory_interval, append=written, enforcePeriodicBox=False
    )
    reporters: list[Any] = [trajectory, table]
    if config.field_changes:
        reporters.insert(0, FieldSchedule(config.field, config.field_interval))
    if charges and config.charges_interval > 0:
        reporters.append(
            ChargeReporter(files.charges, config.charges_interval, append=files.charges.is_file())
        )
    return Reporters(table, reporters)


def sync(files: Files) -> None:
    """Make sure that the frames a restart file counts are on disk before it is."""
    for path in (files.trajectory, files.table, files.charges):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
