"""A step on a device and how long it takes: what the parts of benchmarks/gpu.py share.

Energy and forces of a compiled potential. Times are by the clock, medians of steps, and the device
has finished. Atoms move on by 0.003 Å from step to step, as in dynamics, so that lists of neighbours
and charges are remembered. Every crystal is made here: rock salt with the elements and the density
of LiPON.
"""

import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from ase import Atoms
from systems import like_lipon, rattled

from openmm_pqeq.potential import Potential
from openmm_pqeq.structure import Structure, structure_of

STEP, WARMUP, STEPS, ENOUGH = 0.003, 12, 30, 6.0
"""Å; steps that do not count and that do; s after which there are no more of them."""

REPEATS = {
    "cuda": {2160: (6, 9, 10), 24000: (20, 20, 15), 100800: (30, 30, 28), 504: (6, 3, 7), 9984: (12, 13, 16)},
    "cpu": {48: (3, 2, 2), 96: (4, 3, 2)},
}  # fmt: skip
"""Cells of four atoms, by the number of atoms; on the CPU everything is small."""

OXIDATION = {3: 1.0, 15: 5.0, 8: -2.0, 7: -3.0}


def row(what: str, atoms: int, seconds: float | None = None, **more: object) -> None:
    """Print a row of the table."""
    timed = {} if seconds is None else {"ms": round(1e3 * seconds, 3)}
    print(json.dumps({"what": what, "atoms": atoms} | timed | more), flush=True)


def crystal(atoms: int, device: str) -> Atoms:
    return rattled(like_lipon(REPEATS[device][atoms]), 0.05)


def structure(atoms: Atoms, device: str) -> Structure:
    reference = [OXIDATION[number] for number in atoms.numbers]
    given = structure_of(
        torch.tensor(atoms.positions, device=device),
        torch.tensor(atoms.numbers),
        torch.tensor(atoms.cell.array),
        reference_charges=torch.tensor(reference, dtype=torch.float64),
    )
    return given._replace(only_energy=True, reference_charges=neutral(given))


def neutral(given: Structure) -> torch.Tensor | None:
    """Reference charges that add up to nothing: what is left over goes to all atoms alike."""
    reference = given.reference_charges
    return None if reference is None else reference - reference.mean()


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def measured(step: Callable[[], object], device: str) -> dict[str, float]:
    """Median time of a step (s), the spread of its fifths (ms) and the most memory (MiB)."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    times: list[float] = []
    begun = time.perf_counter()
    for index in range(WARMUP + STEPS):
        wait(device)
        at = time.perf_counter()
        step()
        wait(device)
        if index >= WARMUP:
            times.append(time.perf_counter() - at)
        if index >= WARMUP + 4 and time.perf_counter() - begun > ENOUGH:
            break
    spread = 1e3 * np.quantile(times, [0.2, 0.8])
    found = {"seconds": statistics.median(times), "fifths_ms": [round(x, 3) for x in spread]}
    if device == "cuda":
        found["MiB"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return found


def compiled(potential: Potential, device: str) -> Potential:
    """As OpenMM runs it."""
    return potential.configured(precision="mixed").compile_for_inference().to(device)


def stepper(fast: Potential, given: Structure) -> Callable[[], torch.Tensor]:
    """Energy and forces of the next step, scripted."""
    module = torch.jit.freeze(torch.jit.script(fast))
    drawn = np.random.default_rng(1).normal(0.0, STEP, given.positions.shape)
    velocity, steps = torch.tensor(drawn, device=given.positions.device), 0

    def step() -> torch.Tensor:
        nonlocal steps
        steps += 1
        positions = (given.positions + steps * velocity).requires_grad_(True)
        energy = module(given._replace(positions=positions)).energy.sum()
        return -torch.autograd.grad(energy, positions)[0]

    return step


def sizes(device: str, *wanted: int) -> list[int]:
    """Numbers of atoms, of those that there are."""
    return [n for n in wanted if n in REPEATS[device]] or list(REPEATS[device])
