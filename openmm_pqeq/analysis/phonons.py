"""Phonons of a crystal, by phonopy: force constants from displaced atoms of a supercell.

    Φ_iα,jβ = −∂f_jβ/∂r_iα ,      ω²(q) e = D(q) e ,      D = Σ_R Φ e^(iq·R)/√(m_i m_j)

phonopy finds which atoms have to move, builds Φ with the crystal's symmetry, and adds the splitting
of longitudinal and transverse modes from ε∞ and Born charges (a file BORN, see born.py) where it is
given; forces with long-range charges have that splitting themselves at small q, and the supercell
has to be large enough for it. Frequencies that are imaginary are given as negative ones. What
breaks translation (a charge solution that has not converged, a cell that is not relaxed) shows in
the acoustic frequencies at Γ: they are zero, and what they are is the error. Togo, J. Phys. Soc.
Jpn. 92, 012001 (2023), doi:10.7566/JPSJ.92.012001. Å, eV, amu, cm⁻¹.
"""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_pqeq.units import PER_ANGSTROM_IN_PER_CM, SPEED_OF_LIGHT

Array = NDArray[np.float64]

THZ_IN_PER_CM = PER_ANGSTROM_IN_PER_CM / SPEED_OF_LIGHT
"""1 THz = 1/ps in cm⁻¹."""


class Bands(NamedTuple):
    """Frequencies along a path.

    distances : (n,) 1/Å, along it
    frequencies : (n, n_modes) cm⁻¹
    labels : name and distance of the points with names
    """

    distances: Array
    frequencies: Array
    labels: list[tuple[float, str]]


class Density(NamedTuple):
    """Density of states (n,) modes by cm⁻¹, of all modes of the primitive cell, at wavenumbers (n,)
    cm⁻¹."""

    wavenumbers: Array
    density: Array


def phonons_of(
    atoms: Any,
    supercell: Sequence[int],
    displacement: float = 0.01,
    born: str | os.PathLike[str] | None = None,
    primitive: bool = True,
) -> Any:
    """phonopy's Phonopy with force constants, of ASE's relaxed atoms with a calculator.

    Parameters
    ----------
    atoms : the crystal; not changed
    supercell : repeats along its three vectors, in which atoms are displaced
    displacement : Å
    born : a file BORN of the primitive cell
    primitive : whether q counts in the primitive cell that symmetry finds, or in the cell given

    Raises ImportError without phonopy.
    """
    try:
        from phonopy import Phonopy
        from phonopy.file_IO import parse_BORN
        from phonopy.structure.atoms import PhonopyAtoms
    except ImportError:
        raise ImportError(
            "phonons: force constants of a supercell need phonopy (pip install "
            "openmm-pqeq[analysis])"
        ) from None
    if not atoms.pbc.all():
        raise ValueError(f"atoms: expected a crystal, periodic in all directions, got {atoms.pbc}")
    if len(supercell) != 3 or min(supercell) < 1 or not 0 < displacement <= 0.5:
        raise ValueError(
            "supercell, displacement: expected three numbers above zero and up to 0.5 Å, got "
            f"{tuple(supercell)} and {displacement!r}"
        )
    crystal = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses(),
    )
    work = Phonopy(crystal, np.diag(list(supercell)), primitive_matrix="auto" if primitive else "P")
    work.generate_displacements(distance=displacement)
    displaced = work.supercells_with_displacements or []
    work.forces = [_forces(atoms, each) for each in displaced]
    work.produce_force_constants()
    if born is not None:
        work.nac_params = parse_BORN(work.primitive, filename=born)
    return work


def _forces(atoms: Any, displaced: Any) -> Array:
    """(n_atoms, 3) eV/Å of a supercell of phonopy's."""
    from ase import Atoms

    moved = Atoms(
        displaced.symbols,
        scaled_positions=displaced.scaled_positions,
        cell=displaced.cell,
        pbc=True,
        masses=displaced.masses,
    )
    moved.calc = atoms.calc
    forces = moved.get_forces()
    return np.asarray(forces - forces.mean(axis=0))


def frequencies(work: Any, points: ArrayLike, direction: ArrayLike | None = None) -> Array:
    """(n, n_modes) cm⁻¹ at points (n, 3) of the primitive reciprocal cell; at Γ with the splitting
    along a direction (3,) where BORN is known."""
    work.run_qpoints(
        np.atleast_2d(np.asarray(points, dtype=float)),
        nac_q_direction=None if direction is None else np.asarray(direction, dtype=float),
    )
    return np.asarray(work.qpoints.frequencies) * THZ_IN_PER_CM


def acoustic_error(work: Any) -> float:
    """cm⁻¹: the largest size of the three acoustic frequencies at Γ, which should be zero."""
    return float(np.sort(np.abs(frequencies(work, np.zeros(3))[0]))[:3].max())


def bands(work: Any, n_points: int = 200) -> Bands:
    """Along ASE's path through the special points of the primitive cell."""
    from ase.cell import Cell

    path = Cell(work.primitive.cell).bandpath(npoints=n_points)
    distances, places, names = path.get_linear_kpoint_axis()
    labels = [(float(place), name.replace("G", "Γ")) for place, name in zip(places, names)]
    return Bands(np.asarray(distances), frequencies(work, path.kpts), labels)


def density_of_states(
    work: Any, mesh: Sequence[int] = (20, 20, 20), n_points: int = 300
) -> Density:
    """By tetrahedra over a mesh of the primitive reciprocal cell."""
    work.run_mesh(list(mesh), is_gamma_center=True)
    work.run_total_dos()
    found = work.total_dos
    wavenumbers = np.asarray(found.frequency_points) * THZ_IN_PER_CM
    density = np.asarray(found.dos) / THZ_IN_PER_CM
    grid = np.linspace(wavenumbers[0], wavenumbers[-1], n_points)
    return Density(grid, np.interp(grid, wavenumbers, density))
