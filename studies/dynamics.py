"""Molecular dynamics of a study: a folder of `openmm-pqeq run`, begun, or gone on with.

A study that was interrupted goes on where the restart file is; a finished run is read. With more
steps than a run has had, it goes on, too.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ase
import ase.io
import numpy as np
from numpy.typing import NDArray
from study import Study

from openmm_pqeq.cli.analyses.run_files import loaded
from openmm_pqeq.jobs.facts import read_facts
from openmm_pqeq.md.config import RunConfig, run_config
from openmm_pqeq.md.output import files_of
from openmm_pqeq.md.plot import read_table
from openmm_pqeq.md.resume import resumed_config
from openmm_pqeq.md.run import run

Array = NDArray[np.float64]


class Run(NamedTuple):
    """What a run has written.

    table : columns of table.csv, (n_rows,) each
    frames : mdtraj's Trajectory
    positions : (n_frames, n_atoms, 3) Å
    cells : (n_frames, 3, 3) Å, rows
    times : (n_frames,) ps
    symbols : (n_atoms,)
    """

    table: dict[str, Array]
    frames: Any
    positions: Array
    cells: Array
    times: Array
    symbols: NDArray[np.str_]

    def atoms(self, frame: int) -> ase.Atoms:
        """A frame of it."""
        return ase.Atoms(self.symbols, self.positions[frame], cell=self.cells[frame], pbc=True)


def dynamics(
    study: Study,
    name: str,
    atoms: ase.Atoms,
    settings: Mapping[str, Any],
    seed: int | None = None,
) -> Run:
    """Do a run, or what is left of it.

    name : of its folder in `runs`
    settings : of `openmm-pqeq run`, but structure, output and seed
    seed : of velocities and noise; None: that of the study
    """
    folder = study.output / "runs" / name
    resume = (folder / "restart.zip").is_file()
    if resume:
        config = resumed_config(folder, {"steps": settings["steps"]})
    else:
        folder.parent.mkdir(parents=True, exist_ok=True)
        structure = folder.parent / f"{name}.extxyz"
        ase.io.write(structure, atoms)
        place = {"structure": str(structure), "output": str(folder)}
        place["seed"] = study.seed if seed is None else seed
        config = run_config({"restart_interval": 500, **settings, **place})
    if not (resume and _is_finished(folder, settings["steps"])):
        _do(study, name, config, resume)
    files = files_of(config)
    frames = loaded(files.trajectory, files.topology)
    interval = 1e-3 * config.timestep * config.trajectory_interval
    return Run(
        read_table(files.table),
        frames,
        10.0 * np.asarray(frames.xyz, dtype=float),
        10.0 * np.asarray(frames.unitcell_vectors, dtype=float),
        interval * np.arange(1, len(frames) + 1),
        np.array([atom.element.symbol for atom in frames.topology.atoms]),
    )


def _is_finished(folder: Path, steps: int) -> bool:
    """Whether a run says of itself that it has ended, after so many steps."""
    facts = read_facts(folder)
    return "finished" in facts and facts["settings"]["steps"] == steps


def _do(study: Study, name: str, config: RunConfig, resume: bool) -> None:
    said = -1

    def watch(news) -> None:
        nonlocal said
        tenth = 10 * news.step // max(1, news.n_steps)
        if tenth != said:
            said = tenth
            study.say(f"{name}: {news.stage}, step {news.step} of {news.n_steps}")

    result = run(config, overwrite=not resume, resume=resume, watch=watch)
    if result.interrupted:
        raise SystemExit(f"interrupted; the same command goes on from step {result.step}")
