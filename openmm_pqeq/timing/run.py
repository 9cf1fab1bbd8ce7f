"""The profile of a run: where the time of its steps goes, before it begins.

Measured by step.py on a simulation of its own, with the run's potential, structure, ensemble and
settings, and the velocities that the run begins with. The run itself is not touched.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from openmm_pqeq.jobs.files import whole, write_text
from openmm_pqeq.jobs.machine import machine, processor
from openmm_pqeq.md.build import (
    build_energy,
    build_simulation,
    check_start,
    read_parts,
    seed_of,
    with_seed,
)
from openmm_pqeq.md.settings import RunConfig
from openmm_pqeq.md.velocities import begin_velocities
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
    begin_velocities(simulation, config, seed_of(config) + 2)
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
    write_text(paths[0], json.dumps(content, indent=1) + "\n")
    figure = _plot(profile, config, structure)
    with whole(paths[1]) as part:
        figure.savefig(part, format="png")
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
