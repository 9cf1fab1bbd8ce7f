"""What a run says: how it begins, and why it failed."""

from contextlib import suppress

import numpy as np
import openmm
import torch
from openmm import app

from openmm_pqeq.force.python_force import last_line
from openmm_pqeq.jobs.failure import RunFailure, on_the_way, reason_of
from openmm_pqeq.jobs.quantities import pressure_in_words
from openmm_pqeq.md.output import Files
from openmm_pqeq.md.restart import Restart, read_restart
from openmm_pqeq.md.settings import RunConfig


def beginning(
    config: RunConfig, simulation: app.Simulation, energy: float, restart: Restart | None
) -> str:
    """The first line of the log: what is run with what; `energy` is that of the structure, eV."""
    elements: dict[str, int] = {}
    for atom in simulation.topology.atoms():
        elements[atom.element.symbol] = elements.get(atom.element.symbol, 0) + 1
    formula = " ".join(f"{symbol}{count}" for symbol, count in sorted(elements.items()))
    what = "begin" if restart is None else f"resume {restart.stage} at step {restart.step}"
    platform = simulation.context.getPlatform().getName()
    ensemble = config.ensemble
    if ensemble == "NPT":
        ensemble += f" at {pressure_in_words(config.pressure)}"
    return (
        f"{what}: {formula}, model {config.model}, {ensemble}, {config.n_steps} steps of "
        f"{config.timestep:g} fs, "
        f"energy of the structure {energy:.6f} eV, seed {config.seed}, platform {platform}, "
        f"backend {config.backend}, "
        f"OpenMM {openmm.version.version}, torch {torch.__version__}, numpy {np.__version__}"
    )


def failure(config: RunConfig, files: Files, step: int, error: Exception) -> RunFailure:
    """What went wrong on the way, at which step, and how to go on."""
    reason = last_line(error) if isinstance(error, openmm.OpenMMException) else reason_of(error)
    kept = None
    with suppress(OSError, ValueError):
        kept = f"{files.restart} (step {read_restart(files.restart).step})"
    command = f"openmm-pqeq run {config.output} --resume"
    if kept is None:
        begun = files.toml.is_file()
        again = f"openmm-pqeq run {files.toml}" if begun else "the same command with"
        command = f"{again} --overwrite"
    return on_the_way("run", step, "step", reason, kept, command)
