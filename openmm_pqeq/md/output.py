"""The folder of a run: what is in it, what must not be overwritten, and the reporters that write
it.

run.toml         the description, complete; repeats the run
input-NAME       copy of the structure file
topology.pdb     the starting structure, for programs that read the trajectory
topology.cif     the same as PDBx/mmCIF, for any number of atoms
trajectory.dcd   or .xtc: positions, not wrapped into the cell
table.csv        energies, temperature, volume, density, field, dipole, polarization, mean charges
charges.h5       charges and shells of every atom
committee.csv    how far a committee of models agrees, where there is one
uncertain.extxyz frames where it does not
restart.zip      continues the run (--resume)
facts.json       what was run, with what, and where
run.log          what was done and when
plot.png         polarization and temperature against time
"""

import dataclasses
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import openmm
from openmm import app

from openmm_pqeq import checkpoint
from openmm_pqeq.jobs import facts, folder
from openmm_pqeq.jobs.facts import WITHOUT_CARD
from openmm_pqeq.jobs.files import sha256, whole, write_text
from openmm_pqeq.md import truncate
from openmm_pqeq.md.config import MODELS, models_of, names_a_file, with_models, write_toml
from openmm_pqeq.md.schedule import FieldSchedule
from openmm_pqeq.md.settings import FORMATS, RunConfig
from openmm_pqeq.md.table import TableReporter
from openmm_pqeq.model_file import fingerprint
from openmm_pqeq.reporters import ChargeReporter, CommitteeReporter
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
    committee: Path
    uncertain: Path
    restart: Path
    log: Path
    plot: Path


def files_of(config: RunConfig) -> Files:
    """Where a run writes."""
    folder, name = Path(config.output), Path(config.structure).name
    return Files(
        toml=folder / "run.toml",
        input=folder / _copied(name),
        topology=folder / "topology.pdb",
        topology_cif=folder / "topology.cif",
        trajectory=folder / f"trajectory.{config.trajectory_format}",
        table=folder / "table.csv",
        charges=folder / "charges.h5",
        committee=folder / "committee.csv",
        uncertain=folder / "uncertain.extxyz",
        restart=folder / "restart.zip",
        log=folder / "run.log",
        plot=folder / "plot.png",
    )


def kind_of(config: RunConfig) -> folder.Kind:
    """The files of a run, for the protocol of the folder."""
    trajectories = [f"trajectory.{name}" for name in FORMATS]
    names = dict.fromkeys([*(path.name for path in files_of(config)), *trajectories])
    return folder.Kind("run", tuple(names), resumes_from="run.toml", marks=("run.toml",))


def checksums(config: RunConfig) -> dict[str, str]:
    """Checksums of what a run reads, by which a resumed one knows it again; of models also
    without their cards, which may change."""
    found = {"structure": sha256(Path(config.structure))}
    for name, of in models_of(config).items():
        path = checkpoint.file_of(of)
        found |= {name: sha256(path), name + WITHOUT_CARD: fingerprint(path)}
    return found


def refuse_twins(config: RunConfig, checksums: dict[str, str]) -> None:
    """ValueError for a committee with the same model twice, the run's own counted in: it would agree
    with itself."""
    seen: dict[str, str] = {}
    for name in models_of(config):
        if name == "inner_model":
            continue
        if other := seen.get(checksums[name + WITHOUT_CARD]):
            raise ValueError(
                f"committee: expected models that differ, got the same weights for {other} and "
                f"{name}, which agree with each other; leave one away"
            )
        seen[checksums[name + WITHOUT_CARD]] = name


def begin(
    config: RunConfig, topology: app.Topology, positions: Any, checksums: dict[str, str]
) -> Files:
    """Remove the files of an earlier run, and write what does not change any more."""
    files = files_of(config)
    content = Path(config.structure).read_bytes()  # it may be in the very folder
    described = facts.facts_of(dataclasses.asdict(config), config.seed, checksums)
    earlier = _input_of_an_earlier_run(files)
    folder.begin(Path(config.output), kind_of(config), described)
    if earlier is not None:
        earlier.unlink(missing_ok=True)
    with whole(files.input) as part:
        part.write_bytes(content)
    write_description(config, files)
    write_topology(topology, positions, files.topology)
    return files


def _input_of_an_earlier_run(files: Files) -> Path | None:
    """The copy of the structure that a run to be replaced began with, where it has another name."""
    with suppress(FileNotFoundError, ValueError):
        settings = facts.read_facts(files.toml.parent).get("settings")
        name = settings.get("structure") if isinstance(settings, dict) else None
        if isinstance(name, str) and name:
            copy = files.toml.parent / _copied(Path(name).name)
            return copy if copy != files.input else None
    return None


def _copied(name: str) -> str:
    """The name of the copy of a structure file."""
    return name if name.startswith("input-") else f"input-{name}"


def write_description(config: RunConfig, files: Files) -> None:
    """Write run.toml, with names relative to its folder, so that the folder can be moved."""
    models = {name: getattr(config, name) for name in MODELS}
    models = with_models(models, lambda model: _beside(model, files.toml.parent))
    described = dataclasses.replace(config, structure=files.input.name, output=".", **models)
    write_text(files.toml, write_toml(described))


def _beside(model: str, folder: Path) -> str:
    """The path of a model's file as it is from a folder; the name of a model as it is."""
    names = checkpoint.available_models(published=True)
    if model in names or not Path(model).is_file():
        return model
    path = os.path.relpath(model, folder)
    return path if names_a_file(path) else os.path.join(os.curdir, path)


class Reported(NamedTuple):
    """A file that grows with the run, and the reporter that writes it.

    file : how it is counted and cut back
    reporter : opens it, to continue it where the argument is True; None where another's reporter
        writes it
    """

    file: truncate.Growing
    reporter: Callable[[bool], Any] | None


def reported(
    config: RunConfig,
    files: Files,
    topology: app.Topology,
    charges: bool,
    committee: Sequence[openmm.System] = (),
) -> list[Reported]:
    """All that a run reports, in the order in which OpenMM calls the reporters; a further reporter
    is a further line here. The committee's may end the run, and is the last."""
    path, interval = files.trajectory, config.trajectory_interval
    box = topology.getPeriodicBoxVectors() is not None
    dcd = config.trajectory_format == "dcd"
    kind = app.DCDReporter if dcd else app.XTCReporter
    trajectory: truncate.Growing = truncate.XTC(path, interval)
    if dcd:
        trajectory = truncate.DCD(path, interval, topology.getNumAtoms(), box)
    every = [
        Reported(
            trajectory,
            lambda append: kind(str(path), interval, append=append, enforcePeriodicBox=False),
        ),
        Reported(
            truncate.Rows(files.table, config.table_interval),
            lambda append: TableReporter(files.table, config.table_interval, charges, append),
        ),
    ]
    if charges and config.charges_interval > 0:
        every.append(
            Reported(
                truncate.Charges(files.charges, config.charges_interval),
                lambda append: ChargeReporter(files.charges, config.charges_interval, append),
            )
        )
    return every + _of_committee(config, files, committee)


def _of_committee(
    config: RunConfig, files: Files, members: Sequence[openmm.System]
) -> list[Reported]:
    """The table of a committee, and the frames that its reporter saves."""
    if not members:
        return []
    interval, above = config.committee_interval, config.committee_save_above
    frames = None if above is None else files.uncertain

    def reporter(append: bool) -> CommitteeReporter:
        return CommitteeReporter(
            files.committee,
            interval,
            members,
            frames,
            above,
            config.committee_stop_above,
            append,
        )

    table = Reported(truncate.Rows(files.committee, interval), reporter)
    if frames is None:
        return [table]
    return [Reported(truncate.SomeFrames(frames, interval), None), table]


def check(every: list[Reported], step: int) -> None:
    """ValueError where a file has lost what the run had written at `step`; changes nothing."""
    for one in every:
        truncate.check(one.file, step)


def cut_back(every: list[Reported], step: int) -> None:
    """Remove everything after `step`, of all files or of none."""
    check(every, step)
    for one in every:
        if one.file.path.is_file():
            one.file.cut_back(step // one.file.interval)


class Reporters(NamedTuple):
    """The reporters of a run; `all` in the order in which OpenMM calls them."""

    table: TableReporter
    all: list[Any]
    paths: list[Path]

    def close(self) -> None:
        """Close the files."""
        for reporter in self.all:
            if hasattr(reporter, "close"):
                reporter.close()

    def sync(self) -> None:
        """Make sure that the frames a restart file counts are on disk before it is."""
        for path in self.paths:
            if path.is_file():
                truncate.sync(path)


def reporters_of(config: RunConfig, every: list[Reported]) -> Reporters:
    """The reporters of the production stage; files that have something are continued."""
    reporters: list[Any] = []
    for one in every:
        path = one.file.path
        if one.reporter is not None:
            reporters.append(one.reporter(path.is_file() and path.stat().st_size > 0))
    table = next(reporter for reporter in reporters if isinstance(reporter, TableReporter))
    if config.field_changes:
        reporters.insert(0, FieldSchedule(config.field, config.field_interval))
    return Reporters(table, reporters, [one.file.path for one in every])
