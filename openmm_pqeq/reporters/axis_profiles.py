"""Charge density, field and potential along an axis of a running simulation, as an HDF5 file (see
analysis/axis_profiles.py).

Units: Å, e/Å³, V/Å, V, ps.
"""

import os
from numbers import Integral
from typing import Any

import numpy as np
from openmm import app, unit

from openmm_pqeq.analysis.axis_profiles import axis_of, profile
from openmm_pqeq.jobs.values import is_finite, shown
from openmm_pqeq.reporters.frames import FrameFile, Quantity
from openmm_pqeq.reporters.observer import Observer
from openmm_pqeq.reporters.table import next_report, positive_interval
from openmm_pqeq.units import ANGSTROM_PER_NM

MOST_POINTS = 10**6


class ProfileReporter:
    """Write profiles of charge density, field and potential along an axis to an HDF5 file.

    Datasets, with their units as attributes:

    step            (n_frames,)
    time            (n_frames,) ps
    length          (n_frames,) Å, of the cell along the axis
    charge_density  (n_frames, n_points) e/Å³, of cores and shells, averaged over the planes of the
                    other two cell vectors
    field           (n_frames, n_points) V/Å, of these charges; an applied field comes on top
    potential       (n_frames, n_points) V
    fractions       (n_points,) of the length, where the profiles are
    numbers         (n_atoms,) atomic numbers

    Along a periodic axis the means of field and potential are zero. Along one that is not (a slab,
    periodic=(True, True, False)) both are zero at the beginning of the box, and the potential
    beyond the slab is its step.

    Parameters
    ----------
    file : path; an existing file is replaced unless `append`
    interval : steps from one frame to the next
    axis : "x", "y" or "z": the first, second or third box vector; the profile is along the normal
        of the other two
    n_points : grid points
    width : Å, standard deviation of the Gaussians that smear the charges
    append : continue an existing file of the same atoms and settings
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        interval: int,
        axis: str = "z",
        n_points: int = 200,
        width: float = 0.5,
        append: bool = False,
    ):
        self._interval = positive_interval(interval)
        if not isinstance(axis, str) or axis not in ("x", "y", "z"):
            raise ValueError(f"axis: expected x, y or z, got {axis!r}")
        whole = isinstance(n_points, Integral) and not isinstance(n_points, bool)
        if not whole or not 1 <= n_points <= MOST_POINTS:
            raise ValueError(f"n_points: expected 1 to {MOST_POINTS}, got {shown(n_points)}")
        if not is_finite(width) or width <= 0:
            raise ValueError(f"width: expected a positive number, got {width!r}")
        self._axis, self._n_points, self._width = "xyz".index(axis), int(n_points), float(width)
        self._frames = FrameFile(file, append)

    def describeNextReport(self, simulation: app.Simulation) -> dict[str, Any]:
        """Steps to the next frame, as OpenMM asks its reporters."""
        return next_report(simulation, self._interval)

    def report(self, simulation: app.Simulation, state: Any) -> None:
        """Append the present profiles."""
        observer = Observer.of(simulation)
        now = observer.observe(simulation)
        if simulation.topology.getPeriodicBoxVectors() is None:
            raise ValueError(
                "axis: profiles need a box, and this topology has none; give it one, and "
                "periodic=(...) to create_system"
            )
        self._open(observer)
        box = (
            simulation.context.getState()
            .getPeriodicBoxVectors(asNumpy=True)
            .value_in_unit(unit.nanometer)
            * ANGSTROM_PER_NM
        )
        axis = axis_of(box, self._axis)
        isolated = not bool(observer.periodic[self._axis])
        places = np.concatenate([now.positions, now.positions + now.shells]) @ axis.normal
        charges = np.concatenate([now.charges + observer.core_charges, -observer.core_charges])
        found = profile(
            places, charges, axis.length, axis.area, self._n_points, self._width, isolated
        )
        values = {
            "charge_density": found.charge_density,
            "field": found.field,
            "potential": found.potential,
        }
        self._frames.write({"time": now.time, "length": axis.length, **values, "step": now.step})

    def close(self) -> None:
        """Close the file."""
        self._frames.close()

    def _open(self, observer: Observer) -> None:
        n = self._n_points
        quantities = {
            "step": Quantity((), "i8", "1"),
            "time": Quantity((), "f8", "ps"),
            "length": Quantity((), "f8", "Å"),
            "charge_density": Quantity((n,), "f8", "e/Å³"),
            "field": Quantity((n,), "f8", "V/Å"),
            "potential": Quantity((n,), "f8", "V"),
        }
        self._frames.open(quantities, {"numbers": observer.numbers, "fractions": np.arange(n) / n})
