"""From the description of a run to an OpenMM Simulation."""

import dataclasses
import math
import warnings
from typing import Any, NamedTuple

import numpy as np
import openmm
import torch
from numpy.typing import NDArray
from openmm import app, unit

from openmm_pqeq import checkpoint
from openmm_pqeq.conditions import FREE, by_bonds
from openmm_pqeq.force.create import create_energy, create_system
from openmm_pqeq.force.module import PotentialEnergy
from openmm_pqeq.force.python_force import last_line
from openmm_pqeq.force.time_steps import inner_potential, time_steps
from openmm_pqeq.jobs import values
from openmm_pqeq.md import groupings
from openmm_pqeq.md.config import models_of
from openmm_pqeq.md.schedule import component
from openmm_pqeq.md.settings import RunConfig
from openmm_pqeq.md.velocities import require_velocities
from openmm_pqeq.potential import Potential
from openmm_pqeq.slabs import warn_of_free_flow, warn_of_vacuum
from openmm_pqeq.topology.read import read_structure
from openmm_pqeq.units import KJ_PER_MOL_NM_PER_EV_PER_ANGSTROM, KJ_PER_MOL_PER_EV
from openmm_pqeq.wanted import Directions

_FEMTOSECOND = unit.femtosecond
_PER_PICOSECOND = 1 / unit.picosecond


class Parts(NamedTuple):
    """Potential, topology and positions of a Simulation.

    potential : with its terms
    topology : with the box
    positions : (n_atoms, 3), a Quantity
    """

    potential: Potential
    topology: app.Topology
    positions: unit.Quantity


def read_parts(config: RunConfig) -> Parts:
    """Read the structure and load the model; what is fetched comes last."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    _platform(config)
    checkpoint.refuse_unknown(models_of(config))
    molecules = config.coupling == "fragment" and config.fragments is None
    topology, positions = read_structure(
        config.structure, bonds=config.bonds or molecules, supercell=config.supercell
    )
    if config.ensemble == "NPT" and topology.getPeriodicBoxVectors() is None:
        raise ValueError(
            f"ensemble: NPT needs a periodic cell, and {config.structure} has none; use NVT or NVE"
        )
    require_velocities(config, topology)
    potential = checkpoint.load(config.model, protocol=config.protocol)
    if config.inner_model is not None:
        inner_potential(
            config.inner_model
        )  # what is wrong with it is said before all that takes long
    _warn_of_dynamics(config, potential)
    return Parts(potential, topology, positions)


def _warn_of_dynamics(config: RunConfig, potential: Potential) -> None:
    """Where the model is not for such a run; a barostat says so itself, when it is added."""
    if config.ensemble != "NPT":
        potential.limits.warn_of_temperature(config.temperature)
    if "pqeq" in potential.terms and not {"gnn", "zbl"} & set(potential.terms):
        warnings.warn(
            f"model {config.model} has neither a network nor a repulsion: nothing keeps atoms of "
            "opposite charge apart, and dynamics will end in a collapse. Charges alone are for "
            "energies and responses; add a network, or the term 'zbl'",
            stacklevel=2,
        )


def _warn_of_field(config: RunConfig, parts: Parts, periodic: Directions) -> None:
    """Where it is across a slab; a field that changes is taken to be there in every component that
    does."""
    box = parts.topology.getPeriodicBoxVectors()
    if box is None or parts.potential.pqeq is None:
        return
    cell = np.array(box.value_in_unit(unit.angstrom))
    field = [1.0 if isinstance(value, str) else value for value in config.field]
    places = np.array(parts.positions.value_in_unit(unit.angstrom))
    warn_of_vacuum(field, places, cell, periodic)
    if config.field_changes and not by_bonds(parts.potential):
        warn_of_free_flow(config.coupling or FREE, field, cell, periodic)


def build_simulation(config: RunConfig, parts: Parts, ensemble: str) -> app.Simulation:
    """A Simulation at the structure's positions, in the field of t = 0."""
    system = create_system(
        parts.potential,
        parts.topology,
        backend=config.backend,
        inner_model=config.inner_model,
        **_force_settings(config, parts),
    )
    _warn_of_field(config, parts, system.periodic)
    if ensemble == "NPT":
        system.addForce(barostat_of(config))
    integrator = integrator_of(config, ensemble)
    simulation = app.Simulation(parts.topology, system, integrator, *_platform(config))
    simulation.context.setPositions(parts.positions)
    return simulation


def committee_of(config: RunConfig, parts: Parts) -> list[openmm.System]:
    """Systems of the other models of a committee, in the conditions of the run."""
    systems = []
    for name in config.committee:
        try:
            model = checkpoint.load(name)
            if model.pqeq is not None:
                model = model.configured(protocol=config.protocol)
            systems.append(
                create_system(
                    model,
                    parts.topology,
                    backend=config.backend,
                    **_force_settings(config, parts),
                )
            )
        except (ValueError, FileNotFoundError) as error:
            raise type(error)(f"committee: {name}: {error}") from None
    return systems


def build_energy(config: RunConfig, parts: Parts, compiled: bool = True) -> PotentialEnergy:
    """The energy of the Simulation's force, before it is scripted; `compiled`: False as the
    potential was trained."""
    return create_energy(
        parts.potential, parts.topology, compiled=compiled, **_force_settings(config, parts)
    )


def _force_settings(config: RunConfig, parts: Parts) -> dict[str, Any]:
    """Arguments of `create_energy` that a run has a setting for; a field is that of t = 0.
    Settings count atoms as the file does, and the topology may have them in another order."""
    place = np.argsort(parts.topology.pq_order)
    field = tuple(component(value)(0.0) for value in config.field)
    in_field = any(field) or config.field_changes
    grouped = groupings.meaning(
        config.fragments, config.fragment_charges, config.electrodes, config.reference_charges
    )
    return {
        "total_charge": config.total_charge,
        "field": field if in_field else None,
        "coupling": config.coupling,
        "periodic": config.periodic,
        "precision": config.precision,
        "tolerance": config.tolerance,
        **grouped.renumbered(place.tolist())._asdict(),
    }


def integrator_of(config: RunConfig, ensemble: str) -> openmm.Integrator:
    """Velocity Verlet for NVE, else the thermostat's integrator; with an inner model those of
    multiple time steps."""
    step = config.timestep * _FEMTOSECOND
    temperature, friction = config.temperature * unit.kelvin, config.friction * _PER_PICOSECOND
    if config.inner_model is not None:
        groups = time_steps(config.inner_steps)
        if ensemble == "NVE":
            return openmm.MTSIntegrator(step, groups)
        integrator = openmm.MTSLangevinIntegrator(temperature, friction, step, groups)
        integrator.setRandomNumberSeed(seed_of(config))
        return integrator
    if ensemble == "NVE":
        return openmm.VerletIntegrator(step)
    if config.thermostat == "nose-hoover":
        return openmm.NoseHooverIntegrator(temperature, friction, step)
    integrator = openmm.LangevinMiddleIntegrator(temperature, friction, step)
    integrator.setRandomNumberSeed(seed_of(config))
    return integrator


def barostat_of(config: RunConfig) -> openmm.Force:
    """The barostat; without bonds it moves atoms, with bonds molecules."""
    pressure, temperature, interval = (
        config.pressure * unit.bar,
        config.temperature * unit.kelvin,
        config.barostat_interval,
    )
    barostat: openmm.Force
    if config.barostat == "isotropic":
        barostat = openmm.MonteCarloBarostat(pressure, temperature, interval)
    elif config.barostat == "anisotropic":
        three = openmm.Vec3(config.pressure, config.pressure, config.pressure) * unit.bar
        barostat = openmm.MonteCarloAnisotropicBarostat(
            three, temperature, *config.scale_axes, interval
        )
    elif config.barostat == "flexible":
        barostat = openmm.MonteCarloFlexibleBarostat(pressure, temperature, interval)
    else:
        kinds = openmm.MonteCarloMembraneBarostat
        tension = config.surface_tension * unit.bar * unit.nanometer
        barostat = kinds(pressure, tension, temperature, kinds.XYIsotropic, kinds.ZFree, interval)
    barostat.setRandomNumberSeed(seed_of(config) + 1)
    return barostat


def seed_of(config: RunConfig) -> int:
    """The seed of the description, which has one once `with_seed` has been called."""
    if config.seed is None:
        raise ValueError("seed: the description of the run has none yet; call with_seed first")
    return config.seed


def seeded_anew(config: RunConfig, stage: str, step: int) -> RunConfig:
    """The description with the seed for what goes on at a step of a stage, "equilibrate" or
    "produce": OpenMM keeps the random numbers of no barostat, so they start there anew, the same
    ones whenever it goes on from there, and not those of the beginning."""
    drawn = np.random.SeedSequence([seed_of(config), step, int(stage == "produce")])
    seed = int(drawn.generate_state(1)[0]) % values.LARGEST_SEED
    return dataclasses.replace(config, seed=max(1, seed))


def with_seed(config: RunConfig) -> RunConfig:
    """The description with a seed; one is drawn where it had none."""
    if config.seed is not None:
        return config
    return dataclasses.replace(config, seed=int(np.random.default_rng().integers(1, 2**31 - 8)))


def check_start(simulation: app.Simulation) -> float:
    """Energy (eV) of the starting structure; ValueError where the potential has none."""
    return energy_and_forces(simulation, "the starting positions")[0]


def energy_and_forces(simulation: app.Simulation, where: str) -> tuple[float, NDArray[np.float64]]:
    """eV and (n_atoms, 3) eV/Å of the present positions, `where` in words; ValueError where the
    potential has none, or none that is finite."""
    try:
        state = simulation.context.getState(energy=True, forces=True)
    except openmm.OpenMMException as error:
        raise ValueError(
            f"structure: the potential cannot be evaluated at {where}: {last_line(error)}"
        ) from None
    energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) / KJ_PER_MOL_PER_EV
    forces = state.getForces(asNumpy=True)._value / KJ_PER_MOL_NM_PER_EV_PER_ANGSTROM
    finite = np.isfinite(forces).all(axis=1)
    if not math.isfinite(energy) or not finite.all():
        first = list(simulation.topology.atoms())[int(finite.argmin())]
        raise ValueError(
            f"structure: the energy of {where}, or a force, is not finite, first at "
            f"atom {first.index} ({first.element.symbol}); are two atoms at the same place?"
        )
    return energy, forces


def _platform(config: RunConfig) -> tuple[openmm.Platform, dict[str, str]] | tuple[()]:
    if config.platform is None:
        return ()
    names = [
        openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())
    ]
    for name in names:
        if name.lower() == config.platform.lower():
            return openmm.Platform.getPlatformByName(name), {}
    raise ValueError(f"platform: expected one of {', '.join(names)}, got {config.platform!r}")
