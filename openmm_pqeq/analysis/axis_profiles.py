"""Charge density, field and potential along an axis, averaged over the planes perpendicular to it.

    ρ(z) = (1/A) Σ_j Q_j g(z − z_j) ,     g a Gaussian of standard deviation w
    dE/dz = 4π k_e ρ ,     dφ/dz = −E                                 the two integrations

over cores (q + Z at r) and shells (−Z at r + s), with k_e = e²/4πε₀. Both integrations are exact,
term by term in a Fourier series:

    ρ_m = (1/AL) Σ_j Q_j exp(−i k_m z_j − k_m² w²/2) ,   E_m = 4π k_e ρ_m/(i k_m) ,   φ_m = 4π k_e ρ_m/k_m² ,   k_m = 2πm/L

Periodic: the means of field and potential are zero, as in an Ewald sum with conducting
surroundings. Isolated (a slab in vacuum, not periodic along the axis): the field is zero at the
edge z = 0, and so is the potential; across a slab with a dipole μ the potential then has a step of
4π k_e μ/A. A net charge has a uniform background. An applied field is not included. Units: Å, e/Å³,
V/Å, V.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_pqeq.units import COULOMB

Array = NDArray[np.float64]

SHARPEST = 6.0
"""Terms of the series go to k w = 6, where the Gaussian has fallen to 1.5e-8."""


class Profile(NamedTuple):
    """positions (n,) Å along the axis, charge_density (n,) e/Å³, field (n,) V/Å, potential (n,)
    V."""

    positions: Array
    charge_density: Array
    field: Array
    potential: Array


def profile(
    coordinates: ArrayLike,
    charges: ArrayLike,
    length: float,
    area: float,
    n_points: int = 200,
    width: float = 0.5,
    isolated: bool = False,
) -> Profile:
    """Profiles of point charges, smeared.

    Parameters
    ----------
    coordinates : (n_charges,) Å along the axis, any images
    charges : (n_charges,) e
    length : Å, of the cell along the axis
    area : Å², of the cell perpendicular to it
    n_points : grid points from 0 to `length`, the end excluded
    width : Å, standard deviation w of the Gaussians
    isolated : whether the axis is not periodic

    Raises ValueError for lengths that are not positive.
    """
    for name, value in (
        ("length", length),
        ("area", area),
        ("n_points", n_points),
        ("width", width),
    ):
        if not 0 < value < np.inf:
            raise ValueError(f"{name}: expected a positive number, got {value!r}")
    places, amounts = np.asarray(coordinates, dtype=float), np.asarray(charges, dtype=float)
    grid = np.arange(n_points) * (length / n_points)
    density, field, potential = (np.zeros(n_points) for _ in range(3))
    edge_field = edge_potential = 0.0
    for m in range(1, max(1, int(SHARPEST * length / (2 * np.pi * width))) + 1):
        k = 2 * np.pi * m / length
        amplitude = (
            2
            * (amounts @ np.exp(-1j * k * places))
            * np.exp(-0.5 * (k * width) ** 2)
            / (area * length)
        )
        wave = amplitude * np.exp(1j * k * grid)
        density += wave.real
        field += 4 * np.pi * COULOMB * wave.imag / k
        potential += 4 * np.pi * COULOMB * wave.real / k**2
        edge_field += 4 * np.pi * COULOMB * amplitude.imag / k
        edge_potential += 4 * np.pi * COULOMB * amplitude.real / k**2
    density += amounts.sum() / (area * length)
    if isolated:
        field, potential = field - edge_field, potential - edge_potential + edge_field * grid
    return Profile(np.asarray(grid), density, field, potential)


class Axis(NamedTuple):
    """A cell vector as an axis: normal (3,) to the other two, distance of the planes that they span
    (Å), and their area (Å²)."""

    normal: Array
    length: float
    area: float


def axis_of(cell: ArrayLike, index: int) -> Axis:
    """Axis along which cell vector `index` of a cell (3, 3) Å, rows, repeats the planes of the
    other two."""
    rows = np.asarray(cell, dtype=float)
    cross = np.cross(rows[(index + 1) % 3], rows[(index + 2) % 3])
    area = float(np.linalg.norm(cross))
    if not area > 0:
        raise ValueError(f"cell: expected three vectors that span a volume, got {rows.tolist()}")
    normal = cross / area * np.sign(cross @ rows[index])
    return Axis(normal, float(normal @ rows[index]), area)
