"""Whether dynamics with two time steps has the averages of dynamics with one.

    python benchmarks/same_dynamics.py Li6PS5Cl.xyz --inner electrolytes_fast --outer 4 --temperature 1000 --of Li
    python benchmarks/same_dynamics.py LiCl.xyz --inner electrolytes_fast --outer 4 --temperature 600 --pressure 1

Runs of 1 fs without an inner model, and of --outer fs with one, begin at the same equilibrated
positions, in Langevin thermostats of different random numbers, and take turns in one process. For
each: temperature, potential energy, volume (with --pressure: an isotropic barostat), diffusion
coefficient; and against the first run the deviations of every pair of elements' g(r), in units of
their standard errors, root mean square over the bins (1 where there is no difference). After every
turn the results so far are printed, and are in --save.
"""

import argparse
import json
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import openmm
from harness import save
from openmm import app, unit

import openmm_pqeq as pq
from openmm_pqeq.analysis.blocks import average
from openmm_pqeq.analysis.diffusion import diffusion, diffusive_window, mean_square_displacement
from openmm_pqeq.analysis.paths import unwrapped
from openmm_pqeq.analysis.radial import Radial, radial_distribution
from openmm_pqeq.units import KJ_PER_MOL_PER_EV

FEMTOSECOND = 1e-3
"""ps"""

SAMPLED = 12
"""fs from one frame to the next: a multiple of the outer steps that are tried."""

FRICTION = 1.0
"""1/ps"""

BLOCKS = 8


class Run:
    """Dynamics with outer steps of so many fs, inner steps of 1 fs; 1: no inner model.

    positions : nm; boxes : nm; energies : eV; temperatures : K; a row a frame
    """

    def __init__(self, outer: int, topology: app.Topology, options: argparse.Namespace):
        self.outer, self.topology = outer, topology
        inner = None if outer == 1 else options.inner
        system = pq.create_system(options.model, topology, inner_model=inner)
        if options.pressure is not None:
            every = max(1, options.attempt // outer)
            barostat = openmm.MonteCarloBarostat(options.pressure, options.temperature, every)
            barostat.setRandomNumberSeed(options.seed + 100 + outer)
            system.addForce(barostat)
        heat = options.temperature, FRICTION, outer * FEMTOSECOND
        if outer == 1:
            self.integrator = openmm.LangevinMiddleIntegrator(*heat)
        else:
            self.integrator = openmm.MTSLangevinIntegrator(*heat, pq.time_steps(outer))
        self.integrator.setRandomNumberSeed(options.seed + outer)
        platform = openmm.Platform.getPlatformByName("CPU")
        self.context = openmm.Context(system, self.integrator, platform, {"Threads": "1"})
        self.freedom = 3 * system.getNumParticles() - 3
        self.positions: list[Any] = []
        self.boxes: list[Any] = []
        self.energies: list[float] = []
        self.temperatures: list[float] = []

    def turn(self, frames: int) -> None:
        """So many frames of dynamics."""
        for _ in range(frames):
            self.integrator.step(SAMPLED // self.outer)
            state = self.context.getState(positions=True, energy=True)
            self.positions.append(state.getPositions(asNumpy=True)._value.astype(np.float32))
            self.boxes.append(state.getPeriodicBoxVectors(asNumpy=True)._value)
            potential = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
            self.energies.append(potential / KJ_PER_MOL_PER_EV)
            kelvin = 2 * state.getKineticEnergy() / (self.freedom * unit.MOLAR_GAS_CONSTANT_R)
            self.temperatures.append(kelvin.value_in_unit(unit.kelvin))

    def averages(self) -> dict[str, float]:
        """Means and standard errors."""
        series = {
            "temperature, K": np.array(self.temperatures),
            "potential energy, meV/atom": 3000 * np.array(self.energies) / (self.freedom + 3),
            "volume, Å3": 1000 * np.abs(np.linalg.det(np.array(self.boxes))),
        }
        found = {}
        for name, values in series.items():
            found[name], found[f"{name}, error"] = average(values)[:2]
        return found

    def diffusion(self, element: str) -> dict[str, float]:
        """D, its two errors, and the mean square displacement after 1 ps."""
        chosen = [atom.index for atom in self.topology.atoms() if atom.element.symbol == element]
        path = unwrapped(10 * np.array(self.positions, float), 10 * np.array(self.boxes))
        path = (path - path.mean(axis=1, keepdims=True))[:, chosen]
        interval = SAMPLED * FEMTOSECOND
        msd = mean_square_displacement(path).sum(axis=1)
        lags = interval * np.arange(len(msd))
        found = {"MSD after 1 ps, Å2": float(np.interp(1.0, lags, msd))}
        window = diffusive_window(lags, msd, smallest=2.0)
        if window is not None:
            result = diffusion(path, interval, window)
            found |= {
                "D, Å2/ps": result.coefficient,
                "D, error by blocks": result.error,
                "D, error by hops": result.hops_error,
                "window, ps": window[:2],
            }
        return found

    def radial(self) -> dict[str, Radial]:
        """g(r) of every pair of elements."""
        frames = mdtraj.Trajectory(
            np.array(self.positions), mdtraj.Topology.from_openmm(self.topology)
        )
        frames.unitcell_vectors = np.array(self.boxes)
        symbols = np.array([atom.element.symbol for atom in self.topology.atoms()])
        pairs = combinations_with_replacement(sorted(set(symbols)), 2)
        places = {each: np.flatnonzero(symbols == each) for each in symbols}
        return {
            f"{a}-{b}": radial_distribution(
                frames, places[a], places[b], bin_width=0.1, n_blocks=BLOCKS
            )
            for a, b in pairs
        }


def deviation(one: Radial, other: Radial) -> float:
    """Root mean square of the differences of two g(r), in units of their standard errors, where
    both are more than 0.05; 0 where that is nowhere."""
    n = min(len(one.g), len(other.g))
    there = (one.g[:n] > 0.05) & (other.g[:n] > 0.05)
    there &= np.hypot(one.g_error[:n], other.g_error[:n]) > 0
    if not there.any():
        return 0.0
    error = np.hypot(one.g_error[:n], other.g_error[:n])[there]
    return float(np.sqrt(np.mean(((one.g[:n] - other.g[:n])[there] / error) ** 2)))


def results_of(runs: list[Run], element: str | None) -> list[dict[str, Any]]:
    """A row a run."""
    rows = []
    expected = runs[0].radial()
    for run in runs:
        row: dict[str, Any] = {"outer step, fs": run.outer}
        row["ps"] = SAMPLED * FEMTOSECOND * len(run.energies)
        row |= run.averages()
        row |= {} if element is None else run.diffusion(element)
        if run is not runs[0]:
            found = run.radial()
            row["g(r)"] = {name: deviation(expected[name], found[name]) for name in found}
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("structure", type=Path)
    parser.add_argument("--model", default="electrolytes")
    parser.add_argument("--inner", required=True, help="a small model of the same energy")
    parser.add_argument("--outer", type=int, nargs="+", default=[4], help="outer steps, fs")
    parser.add_argument("--temperature", type=float, default=1000.0, help="K")
    parser.add_argument("--pressure", type=float, help="bar; default: the cell stays")
    parser.add_argument("--attempt", type=int, default=12, help="fs from one to the next volume")
    parser.add_argument("--of", help="element whose diffusion is told")
    parser.add_argument("--equilibrate", type=int, default=3000, help="fs")
    parser.add_argument("--turn", type=int, default=600, help="fs")
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", help="name in benchmarks/results")
    options = parser.parse_args()
    if any(SAMPLED % outer for outer in options.outer) or options.turn % SAMPLED:
        parser.error(f"--outer, --turn: expected divisors and a multiple of {SAMPLED} fs")
    topology, positions = pq.read_structure(options.structure)
    runs = [Run(outer, topology, options) for outer in (1, *options.outer)]
    first = runs[-1]
    first.context.setPositions(positions)
    first.context.setVelocitiesToTemperature(options.temperature, options.seed)
    first.integrator.step(options.equilibrate // first.outer)
    state = first.context.getState(positions=True, velocities=True)
    for run in runs[:-1]:
        run.context.setState(state)
    for turn in range(options.turns):
        for run in runs:
            run.turn(options.turn // SAMPLED)
        if turn % 5 == 4 or turn == options.turns - 1:
            rows = results_of(runs, options.of)
            for row in rows:
                print(json.dumps(row), flush=True)
            if options.save:
                settings = {key: str(value) for key, value in vars(options).items()}
                save(options.save, {"settings": settings, "runs": rows})


if __name__ == "__main__":
    main()
