"""The profile of a run: where the time of its steps goes, before it begins.

Measured by step.py on a simulation of its own, with the run's potential, structure, ensemble and
settings, and the velocities that the run begins with. The run itself is not touched.
"""

import dataclasses
import datetime
import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from openmm import unit

from openmm_pqeq import ops, versions
from openmm_pqeq.md.build import (
    build_energy,
    build_simulation,
    check_start,
    read_parts,
    seed_of,
    with_seed,
)
from openmm_pqeq.md.config import RunConfig
from openmm_pqeq.report.plots import Curve, plot_bars
from openmm_pqeq.timing.step import StepProfile, step_profile

FASTEST_TIMESTEP = 0.5
"""fs, at which speeds are given: what hydrogen allows."""


def profile_run(config: RunConfig, n_steps: int = 20, reference: bool = False) -> StepProfile:
    """Measure `n_steps` steps as the run would do them.

    reference : also evaluate the potential as trained, at the same positions
    Raises what a run raises before it begins.
    """
    config = with_seed(config)
    parts = read_parts(config)
    simulation = build_simulation(config, parts, config.ensemble)
    check_start(simulation)
    simulation.context.setVelocitiesToTemperature(
        config.temperature * unit.kelvin, seed_of(config) + 2
    )
    slow = build_energy(config, parts, compiled=False) if reference else None
    return step_profile(simulation, build_energy(config, parts), n_steps, slow)


def write_profile(
    profile: StepProfile, config: RunConfig, structure: str, folder: Path, name: str
) -> list[Path]:
    """Write `name`.json and `name`.png into a folder, which is made; the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.json", folder / f"{name}.png"]
    settings = dataclasses.asdict(config) | {
        "structure": structure,
        "model": Path(config.model).name,
    }
    del settings["output"]
    content = {"machine": machine(), "settings": settings} | as_dict(profile)
    paths[0].write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    figure = _plot(profile, config, structure)
    figure.savefig(paths[1])
    return paths


def as_dict(profile: StepProfile) -> dict[str, Any]:
    """The profile for JSON; times in seconds."""
    return {
        "atoms": profile.n_atoms,
        "steps": profile.n_steps,
        "parts": {
            row.name: {
                "energy": row.energy._asdict(),
                "forces": row.forces._asdict(),
                "share": row.processor / profile.step.processor,
            }
            for row in profile.rows
        },
        "step": profile.step._asdict(),
        "neighbours_with_searches": profile.searching._asdict(),
        "neighbours_and_openmm": profile.neighbors_and_openmm,
        "products_of_a_charge_solution": profile.products,
        "searches_of_neighbours": profile.searches,
        "as_trained": None if profile.reference is None else profile.reference._asdict(),
        "times_as_trained": profile.speedup,
        "atoms_times_steps_per_second": profile.n_atoms / profile.step.wall,
        "ns_per_day_at_0.5_fs": profile.ns_per_day(FASTEST_TIMESTEP),
    }


def machine() -> dict[str, Any]:
    """What times were measured on, and when."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": [round(load, 1) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "native_operators": str(ops.status()),
        "versions": {
            name: version
            for name, version in versions.installed_versions().items()
            if version is not None
        },
    }


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )


def _plot(profile: StepProfile, config: RunConfig, structure: str) -> Any:
    rows = profile.rows
    energy = np.array([1000.0 * row.energy.processor for row in rows])
    forces = np.array([1000.0 * row.forces.processor for row in rows])
    title = f"A step of {structure}, {profile.n_atoms:,} atoms, model {Path(config.model).name}"
    protocol = "" if config.protocol is None else f"{config.protocol}, "
    note = (
        f"{1000 * profile.step.processor:.3g} ms of processor time, {1000 * profile.step.wall:.3g} "
        "ms by the clock: "
        f"{profile.ns_per_day(FASTEST_TIMESTEP):.3g} ns/day at {FASTEST_TIMESTEP} fs.  "
        f"{protocol}{config.precision} precision, "
        f"{torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''},\n"
        f"{processor()}. Medians of {profile.n_steps} steps; {profile.products:g} products a "
        "charge solution."
    )
    bars = [Curve("energy, or the part as a whole", energy), Curve("forces", forces)]
    return plot_bars([row.name for row in rows], bars, "processor time (ms)", title, note)
