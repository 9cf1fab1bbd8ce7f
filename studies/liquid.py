"""What a run of water with ions says: shells, motion, dipoles, response.

μ of a molecule   Σ q (r − r_O) − Σ s,      shells s of core charge 1 e
ε                 ε∞ + 4π k_e ⟨M²⟩/(3 V kT),  M = Σ μ of the water; what ions carry is conductivity
D                 slope of the mean square displacement over WINDOW, against the centre of mass

Errors: blocks of a run; of several runs, the root of their squares over their number. Å, ps, e.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ase
import h5py
import mdtraj
import numpy as np
from ase.data import atomic_masses, atomic_numbers
from ase.units import Debye, GPa, kB
from dynamics import Run, dynamics
from numpy.typing import NDArray
from study import Study

import openmm_pqeq as pq
from openmm_pqeq.analysis import conductivity as conduction
from openmm_pqeq.analysis.blocks import average
from openmm_pqeq.analysis.dielectric import high_frequency, static_from_fluctuations
from openmm_pqeq.analysis.diffusion import Diffusion, Window, diffusion, mean_square_displacement
from openmm_pqeq.analysis.paths import unwrapped, without_drift
from openmm_pqeq.analysis.radial import Radial, first_shell, radial_distribution

Array = NDArray[np.float64]

MODEL, TEMPERATURE = "brine", 300  # K
TIMESTEP, EVERY = 0.5, 40  # fs; steps between frames
PAIRS = (("O", "O"), ("Na", "O"), ("Cl", "O"))
IONS = {"Na": 1.0, "Cl": -1.0}
LOOKED, STRESSES = 4, 200
"""Frames of a run whose polarizability is computed, and whose stress is."""


class Value(NamedTuple):
    """A mean and its standard error; NaN where it has none."""

    mean: float
    error: float


def steps_of(picoseconds: float) -> int:
    return round(1e3 * picoseconds / TIMESTEP)


def followed(
    study: Study,
    name: str,
    box: ase.Atoms,
    picoseconds: float,
    field: tuple[float, float, float] | None = None,
) -> Run:
    """NVT of a box, minimised first, or what is left of it; field in V/Å."""
    settings: dict[str, Any] = {
        "model": MODEL,
        "temperature": TEMPERATURE,
        "timestep": TIMESTEP,
        "friction": 1.0,
        "minimize": True,
        "steps": steps_of(picoseconds),
        "table_interval": EVERY,
        "trajectory_interval": EVERY,
        "charges_interval": EVERY,
        "restart_interval": 100,
    }
    return dynamics(study, name, box, settings if field is None else {**settings, "field": field})


def together(values: Sequence[Value]) -> Value:
    """Of runs of equal length that know nothing of each other."""
    means, errors = np.array(values).T
    return Value(float(means.mean()), float(np.sqrt((errors**2).sum()) / len(errors)))


def later(run: Run, left_out: float) -> Run:
    """What comes after so many ps."""
    part = run.times > left_out
    frames = run.frames[np.flatnonzero(part)]
    return run._replace(
        frames=frames, positions=run.positions[part], cells=run.cells[part], times=run.times[part]
    )


def shells_of(frames: mdtraj.Trajectory, symbols: NDArray[np.str_]) -> dict[str, Radial]:
    """g(r) of oxygen about O, Na, Cl, those that are there."""
    found = {}
    for center, other in PAIRS:
        if center not in symbols:
            continue
        ends = (np.flatnonzero(symbols == symbol) for symbol in (center, other))
        found[f"{center}–{other}"] = radial_distribution(frames, *ends, n_blocks=3)
    return found


def first_of(radial: Radial) -> tuple[float, float, float, Value]:
    """Å of the first peak, its height, Å of the minimum, oxygens within it."""
    peak, minimum = first_shell(radial)
    return peak, float(radial.g.max()), minimum, Value(*radial.within(minimum))


def path_of(run: Run) -> Array:
    """(n_frames, n_atoms, 3) Å, continuous, against the centre of mass."""
    masses = atomic_masses[[atomic_numbers[symbol] for symbol in run.symbols]]
    return without_drift(unwrapped(run.positions, run.cells), masses)


def interval_of(run: Run) -> float:
    """ps between frames."""
    return float(run.times[1] - run.times[0])


def displacements(run: Run) -> dict[str, Array]:
    """Mean square displacement, Å², by lag, of oxygens, Na and Cl, those that are there."""
    path = path_of(run)
    return {
        symbol: mean_square_displacement(path[:, run.symbols == symbol]).sum(axis=1)
        for symbol in _moving(run)
    }


def diffusions(run: Run, window: Window) -> dict[str, Diffusion]:
    """Of water (its oxygens), Na and Cl, those that are there. Errors are those by blocks, where these are long enough:
    the other ones, by hops, are for solids."""
    path, found = path_of(run), {}
    for symbol in _moving(run):
        one = diffusion(path[:, run.symbols == symbol], interval_of(run), window)
        found[symbol] = one if np.isnan(one.error) else one._replace(hops_error=np.nan)
    return found


def _moving(run: Run) -> list[str]:
    return [symbol for symbol in ("O", *IONS) if symbol in run.symbols]


def error_of(found: Diffusion) -> float:
    """That by blocks, or else by hops."""
    return float(np.nanmax([found.error, found.hops_error]))


def conductivities(run: Run, window: Window, temperature: float) -> tuple[Value, Value]:
    """Nernst–Einstein's and the collective one, S/cm."""
    volume = float(np.linalg.det(run.cells[0]))
    found = diffusions(run, window)
    counts = [int(np.sum(run.symbols == symbol)) for symbol in IONS]
    charges = list(IONS.values())
    single = conduction.nernst_einstein(
        [found[symbol] for symbol in IONS], counts, charges, volume, temperature
    )
    path = path_of(run)
    ions = np.concatenate([path[:, run.symbols == symbol] for symbol in IONS], axis=1)
    joint = conduction.collective(
        ions, np.repeat(charges, counts), interval_of(run), window, volume, temperature
    )
    return Value(*single), Value(*joint)


def molecules(run: Run) -> NDArray[np.int64]:
    """(n_molecules, 3) an oxygen and the two hydrogens next to it."""
    atoms = run.atoms(0)
    oxygens, hydrogens = (np.flatnonzero(run.symbols == symbol) for symbol in ("O", "H"))
    near = [
        hydrogens[np.argsort(atoms.get_distances(oxygen, hydrogens, mic=True))[:2]]
        for oxygen in oxygens
    ]
    return np.column_stack([oxygens, np.array(near)])


def bonds(run: Run) -> tuple[float, float]:
    """Å: the shortest and the longest O–H of all molecules, as they were in the first frame."""
    away = _from_oxygen(run, molecules(run))
    lengths = np.linalg.norm(away[:, :, 1:], axis=-1)
    return float(lengths.min()), float(lengths.max())


def dipoles(run: Run, charges_file: Path) -> Array:
    """(n_frames, n_molecules, 3) e Å, of those frames of the run that the file has, too."""
    with h5py.File(charges_file, "r") as file:
        times, charges, shells = (
            np.asarray(file[name], dtype=float) for name in ("time", "charges", "shells")
        )
    inside = (times > run.times[0] - 1e-4) & (times < run.times[-1] + 1e-4)
    frames = np.searchsorted(run.times, times[inside] - 1e-4)
    which = molecules(run)
    away = _from_oxygen(run, which)[frames]
    moments = np.einsum("tma,tmax->tmx", charges[inside][:, which], away)
    return np.asarray(moments - shells[inside][:, which].sum(axis=2))


def moment(found: Array) -> tuple[Value, float]:
    """D of a molecule: mean with its error, and the spread over molecules and time."""
    sizes = np.linalg.norm(found, axis=2) / Debye
    mean = average(sizes.mean(axis=1))
    return Value(mean.mean, mean.error), float(sizes.std())


def fast(run: Run, model: str) -> Value:
    """ε∞, of some frames."""
    calculator = pq.PQEqCalculator(model)
    found = []
    for k in np.linspace(0, len(run.positions) - 1, LOOKED, dtype=int):
        atoms = run.atoms(k)
        alpha = calculator.get_property("polarizability", atoms)
        found.append(np.trace(high_frequency(alpha, atoms.get_volume())) / 3)
    return Value(float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(LOOKED)))


def static(run: Run, found: Array, infinite: float, temperature: float) -> Value:
    """ε of the water, from the fluctuations of its dipole about zero."""
    volume = float(np.linalg.det(run.cells[0]))
    result = static_from_fluctuations(
        found.sum(axis=1), volume, temperature, infinite, mean=np.zeros(3)
    )
    return Value(result.isotropic, result.isotropic_error)


def pressure(run: Run, model: str, temperature: float) -> Value:
    """GPa, N kT/V − tr σ/3, of some frames: the table of a run has no stress."""
    calculator = pq.PQEqCalculator(model)
    found = []
    n = min(STRESSES, len(run.positions))
    for k in np.linspace(0, len(run.positions) - 1, n, dtype=int):
        atoms = run.atoms(k)
        stress = calculator.get_stress(atoms)
        ideal = len(atoms) * kB * temperature / atoms.get_volume()
        found.append((ideal - stress[:3].mean()) / GPa)
    mean = average(found)
    return Value(mean.mean, mean.error)


def _from_oxygen(run: Run, which: NDArray[np.int64]) -> Array:
    """(n_frames, n_molecules, 3, 3) Å, the atoms of each of these molecules from its oxygen,
    nearest images of a rectangular cell."""
    away = run.positions[:, which] - run.positions[:, which[:, :1]]
    edges = np.diagonal(run.cells, axis1=1, axis2=2)[:, None, None, :]
    return np.asarray(away - edges * np.round(away / edges))
