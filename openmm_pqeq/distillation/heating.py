"""Dynamics with the teacher, or with a driver in its place: Langevin's, from the structure as it is
given.

A frame follows from the one before it, its momenta and a seed of its own, so that dynamics that was
stopped after any frame goes on as if it had not been.
"""

from typing import NamedTuple

import ase
import numpy as np
from ase.calculators.calculator import BaseCalculator, CalculationFailed
from ase.md.langevin import Langevin
from ase.units import fs, kB

from openmm_pqeq.distillation.structures import generator

FRICTION = 0.02
"""1/fs: the temperature is there within 100 fs."""


class Heating(NamedTuple):
    """Dynamics of a structure: temperature K, interval between frames and time step fs."""

    start: ase.Atoms
    phase: str
    part: str
    temperature: float
    interval: float
    timestep: float
    seed: int

    @property
    def how(self) -> str:
        """For people, and for the errors by temperature."""
        return f"heated {self.temperature:g} K"

    def begun(self) -> ase.Atoms:
        """The structure with momenta of the temperature, none in all."""
        atoms = self.start.copy()
        width = np.sqrt(kB * self.temperature * atoms.get_masses())[:, None]
        momenta = width * self._random("momenta").normal(size=(len(atoms), 3))
        atoms.set_momenta(momenta - momenta.mean(axis=0))
        return atoms

    def next(self, before: ase.Atoms, index: int, calculator: BaseCalculator) -> ase.Atoms:
        """Frame `index`, from the one before it; with the calculator. CalculationFailed where forces
        are not finite, before atoms are moved by them."""
        atoms = before.copy()
        atoms.calc = calculator

        def check() -> None:
            if not np.isfinite(atoms.get_forces()).all():
                raise CalculationFailed("forces with NaN or infinity")

        dynamics = Langevin(
            atoms,
            self.timestep * fs,
            temperature_K=self.temperature,
            friction=FRICTION / fs,
            fixcm=False,
            rng=self._random(index),
        )
        dynamics.attach(check)
        dynamics.run(max(1, round(self.interval / self.timestep)))
        return atoms

    def _random(self, about: object) -> np.random.RandomState:
        draw = generator(self.seed, self.phase, len(self.start), self.how, about)
        return np.random.RandomState(draw.integers(2**32, dtype=np.uint64) % 2**32)
