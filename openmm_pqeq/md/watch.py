"""A run looks at itself: temperature, shortest distance, total energy.

| | said once | absurd, and the end of the run |
|---|---|---|
| temperature | 3 T and T + 500 K | 10 T and T + 2000 K, with T what was set |
| distance of two atoms | half the sum of their covalent radii | 0.4 Å; H2 has 0.74 Å |
| energy since the first row | 0.05 eV an atom, in NVE, where it is conserved | 10 eV an atom |

Temperatures fluctuate by T √(2/3N), 0.37 T for five atoms. Covalent radii: Cordero et al., Dalton
Trans. 2008, 2832, doi:10.1039/b801115j. Networks may attract atoms that are closer than half of them
(docs/sevennet.md). Nothing is evaluated for it: velocities and positions are
read a few times a second at most, energies from the rows of the table.
"""

import warnings
from collections.abc import Callable, Mapping

import numpy as np
import openmm
import torch
from ase.data import covalent_radii
from openmm import app, unit

from openmm_pqeq.finite import named, not_finite
from openmm_pqeq.md.settings import RunConfig
from openmm_pqeq.md.table import degrees_of_freedom
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.structure import Structure, structure_of
from openmm_pqeq.units import BOLTZMANN, KJ_PER_MOL_PER_EV

HOT, ABSURDLY_HOT = (3.0, 500.0), (10.0, 2000.0)
"""A factor, and K above what was set."""
CLOSE, ABSURDLY_CLOSE = 0.5, 0.4
"""Of the sum of covalent radii; Å."""
DRIFT, ABSURD_DRIFT = 0.05, 10.0
"""eV an atom."""
REMEDY = "use a shorter time step, minimise first, or a model that is meant for this structure"


class StabilityWatch:
    """Of one run.

    Parameters
    ----------
    config : the run
    topology : its atoms
    log : takes what is unusual; it also becomes a warning
    """

    def __init__(self, config: RunConfig, topology: app.Topology, log: Callable[[str], None]):
        self.config, self.log = config, log
        self._numbers = torch.tensor([atom.element.atomic_number for atom in topology.atoms()])
        self._radii = torch.tensor(covalent_radii)[self._numbers]
        self._search = NeighborSearch(max(ABSURDLY_CLOSE, 2 * CLOSE * float(self._radii.max())))
        self._said: set[str] = set()
        self._first: float | None = None

    def look(self, simulation: app.Simulation, row: Mapping[str, float]) -> None:
        """Look at the present moment, and at the latest row of the table.

        Raises RuntimeError for positions that are not finite, and for what is absurd unless the run
        is not to stop for it.
        """
        state = simulation.context.getState(positions=True, velocities=True)
        positions = torch.tensor(state.getPositions(asNumpy=True).value_in_unit(unit.angstrom))
        if (atom := not_finite(positions)) >= 0:
            raise RuntimeError(f"positions: {self._name(atom)} has NaN or infinity; {REMEDY}")
        box = state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.angstrom)
        periodic = torch.tensor(simulation.system.periodic)
        self._distance(structure_of(positions, self._numbers, torch.tensor(box), periodic))
        self._temperature(temperature_of(simulation.system, state))
        if "total_energy_eV" in row:
            self._energy(row)

    def _name(self, atom: int) -> str:
        return named(atom, int(self._numbers[atom]))

    def _temperature(self, now: float) -> None:
        wanted = self.config.temperature
        hot, absurd = (
            now > max(factor * wanted, wanted + above) for factor, above in (HOT, ABSURDLY_HOT)
        )
        self._judge(
            "temperature", hot, absurd, f"the temperature is {now:.0f} K, and {wanted:g} K was set"
        )

    def _distance(self, structure: Structure) -> None:
        pairs = self._search(structure)
        if len(pairs.distances) == 0:
            return
        shares = pairs.distances / (self._radii[pairs.centers] + self._radii[pairs.neighbors])
        absurd = float(pairs.distances.min()) < ABSURDLY_CLOSE
        k = int(pairs.distances.argmin() if absurd else shares.argmin())
        i, j = self._name(int(pairs.centers[k])), self._name(int(pairs.neighbors[k]))
        distance, share = float(pairs.distances[k]), float(shares[k])
        seen = (
            f"{i} and {j} are {distance:.3f} Å apart, {share:.2f} of the sum of their covalent radii, "
            "where a network may attract them"
        )
        self._judge("distance", share < CLOSE, absurd, seen)

    def _energy(self, row: Mapping[str, float]) -> None:
        kept = "conserved_eV" in row
        now = row["conserved_eV" if kept else "total_energy_eV"]
        if self._first is None:
            self._first = now
        change = abs(now - self._first) / len(self._numbers)
        what = "total energy less the field's work" if kept else "total energy"
        self._judge(
            "energy",
            (kept or self._conserved()) and change > DRIFT,
            change > ABSURD_DRIFT,
            f"the {what} has changed by {change:.3g} eV an atom since the first row",
        )

    def _conserved(self) -> bool:
        """Whether the total energy is: in NVE, unless the field does work that is not in it, see
        pqeq/coupling.py and the table's conserved_eV."""
        in_energy = not any(self.config.field) or self.config.coupling == "full"
        return self.config.ensemble == "NVE" and not self.config.field_changes and in_energy

    def _judge(self, what: str, unusual: bool, absurd: bool, seen: str) -> None:
        """End the run where it is absurd, else say what is unusual, once."""
        if absurd and self.config.stop_if_unstable:
            raise RuntimeError(
                f"{seen}: the run is unstable; {REMEDY} (--no-stop-if-unstable goes on regardless)"
            )
        if (unusual or absurd) and what not in self._said:
            self._said.add(what)
            message = f"{seen}; if that is not meant, {REMEDY}"
            self.log(f"warning: {message}")
            warnings.warn(message, stacklevel=2)


def temperature_of(system: openmm.System, state: openmm.State) -> float:
    """Σ ½ m v² in K."""
    masses = [system.getParticleMass(i)._value for i in range(system.getNumParticles())]
    velocities = state.getVelocities(asNumpy=True).value_in_unit(unit.nanometer / unit.picosecond)
    kinetic = 0.5 * float((np.array(masses) * (velocities**2).sum(axis=1)).sum())
    return 2 * kinetic / KJ_PER_MOL_PER_EV / (degrees_of_freedom(system) * BOLTZMANN)
