"""Equation of state of a crystal: energy against volume.

    E(V) = E₀ + (9 V₀ B/16) {(x − 1)³ B' + (x − 1)² (6 − 4x)} ,   x = (V₀/V)^(2/3)      (Birch–Murnaghan, third order)

The cell keeps its shape; atoms may relax in each. Errors are standard errors of the fit: how far
the energies are from the curve. Birch, Phys. Rev. 71, 809 (1947), doi:10.1103/PhysRev.71.809. The
curve is ASE's. Å³, eV, GPa.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_pqeq.units import EV_PER_CUBIC_ANGSTROM_IN_GPA

Array = NDArray[np.float64]


class EquationOfState(NamedTuple):
    """A fit, with standard errors.

    volume, volume_error : Å³, V₀
    energy, energy_error : eV, E₀
    bulk_modulus, bulk_modulus_error : GPa
    derivative, derivative_error : B' = dB/dP
    """

    volume: float
    volume_error: float
    energy: float
    energy_error: float
    bulk_modulus: float
    bulk_modulus_error: float
    derivative: float
    derivative_error: float

    def at(self, volumes: ArrayLike) -> Array:
        """Energy (n,) eV at volumes (n,) Å³."""
        from ase.eos import birchmurnaghan

        stiffness = self.bulk_modulus / EV_PER_CUBIC_ANGSTROM_IN_GPA
        return np.asarray(
            birchmurnaghan(
                np.asarray(volumes), self.energy, stiffness, self.derivative, self.volume
            )
        )


def energies_of_volumes(
    atoms: Any,
    largest_strain: float = 0.02,
    n_volumes: int = 7,
    largest_force: float | None = 0.01,
) -> tuple[Array, Array]:
    """Volumes (n,) Å³ and energies (n,) eV of ASE's atoms with a calculator, in cells that are
    longer and shorter by up to `largest_strain` in each direction; atoms relax to `largest_force`
    eV/Å (None: they stay at their fractions). The atoms are not changed."""
    from ase.optimize import BFGS

    if not atoms.pbc.all():
        raise ValueError(f"atoms: expected a crystal, periodic in all directions, got {atoms.pbc}")
    if not 0 < largest_strain <= 0.2 or n_volumes < 5:
        raise ValueError(
            "largest_strain, n_volumes: expected up to 0.2 and at least 5, got "
            f"{largest_strain!r} and {n_volumes!r}"
        )
    volumes, energies = [], []
    for strain in np.linspace(-largest_strain, largest_strain, n_volumes):
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell.array * (1 + strain), scale_atoms=True)
        scaled.calc = atoms.calc
        if largest_force is not None:
            with BFGS(scaled, logfile=None) as optimizer:
                optimizer.run(fmax=largest_force, steps=500)
        volumes.append(scaled.get_volume())
        energies.append(scaled.get_potential_energy())
    return np.array(volumes), np.array(energies)


def equation_of_state(volumes: ArrayLike, energies: ArrayLike) -> EquationOfState:
    """Fit volumes (n,) Å³ and energies (n,) eV; ValueError where no minimum is within the
    volumes."""
    from ase.eos import birchmurnaghan
    from scipy.optimize import curve_fit

    v, e = np.asarray(volumes, dtype=float), np.asarray(energies, dtype=float)
    if v.ndim != 1 or v.shape != e.shape or len(v) < 5 or not np.isfinite([v, e]).all():
        raise ValueError(
            f"volumes, energies: expected two series of at least 5 numbers, got {v.shape}, {e.shape}"
        )
    middle = float(v.mean())
    a, b, c = np.polyfit(v / middle - 1, e, 2)
    lowest = middle * (1 - b / (2 * a)) if a > 0 else np.inf
    if not v.min() < lowest < v.max():
        raise ValueError(
            f"volumes: the energy has no minimum between {v.min():.4g} and {v.max():.4g} Å³; relax "
            "the cell first"
        )
    start = [c - b**2 / (4 * a), 2 * a / middle, 4.0, lowest]
    precise = {"method": "trf", "xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15}
    fit, covariance = curve_fit(birchmurnaghan, v, e, start, x_scale=np.abs(start), **precise)
    errors = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    gpa = EV_PER_CUBIC_ANGSTROM_IN_GPA
    return EquationOfState(
        *(float(each) for each in (fit[3], errors[3], fit[0], errors[0])),
        *(float(each) for each in (gpa * fit[1], gpa * errors[1], fit[2], errors[2])),
    )
