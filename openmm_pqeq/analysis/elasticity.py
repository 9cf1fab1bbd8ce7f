"""Elastic tensor of a crystal, from the stress of a few strained cells.

    C_ab = dσ_a/dε_b                                a, b of xx, yy, zz, yz, xz, xy; shears as 2ε_yz, ...
    (σ(+ε) − σ(−ε))/2 = Σ_k p_k B_k ε              least squares in the p_k

B_k span the tensors that the point group of the crystal allows (spglib): three of a cubic one, 21
of a triclinic one. Only those of the six strains are made that are needed to tell the p_k apart: two
of a cubic crystal. Each is made with two sizes and both signs; the error comes from how far the
stresses are from the line. Atoms may relax in each cell. Moduli by Voigt (uniform strain), Reuss
(uniform stress) and Hill (their mean). At a pressure that is not zero these are stress–strain
coefficients. Nye, Physical Properties of Crystals (1985); Hill, Proc. Phys. Soc. A 65, 349 (1952),
doi:10.1088/0370-1298/65/5/307. GPa.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_pqeq.analysis.symmetry import rotations_of
from openmm_pqeq.units import EV_PER_CUBIC_ANGSTROM_IN_GPA

Array = NDArray[np.float64]

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
SIZES = (0.5, 1.0)
"""Of the largest strain; each with both signs."""


class Elasticity(NamedTuple):
    """An elastic tensor.

    tensor : (6, 6) GPa
    error : (6, 6) GPa, standard errors of the fit
    constants : (n, 6, 6) GPa: the tensor with each p_k one standard error higher, less the tensor;
        in directions that are independent of each other
    strains : which of the six were made
    """

    tensor: Array
    error: Array
    constants: Array
    strains: tuple[int, ...]


class Moduli(NamedTuple):
    """Of a polycrystal, GPa: bulk and shear moduli by Voigt, Reuss and Hill, Young's modulus and
    Poisson's ratio of Hill, the universal anisotropy 5G_V/G_R + K_V/K_R − 6 (zero where there is
    none)."""

    bulk_voigt: float
    bulk_reuss: float
    bulk_hill: float
    shear_voigt: float
    shear_reuss: float
    shear_hill: float
    young: float
    poisson: float
    anisotropy: float


def elastic_tensor(
    atoms: Any,
    largest_strain: float = 0.005,
    largest_force: float | None = 0.005,
    symmetry_precision: float | None = 1e-3,
) -> Elasticity:
    """Elastic tensor of ASE's atoms with a calculator that knows stress, periodic along all three
    directions and relaxed; they are not changed.

    Parameters
    ----------
    atoms : the crystal
    largest_strain : of the cells that are made
    largest_force : eV/Å, to which atoms relax in them; None: they stay at their fractions
    symmetry_precision : Å, of spglib; None: no symmetry, six strains

    Raises ValueError for settings that are none, ImportError without spglib.
    """
    if not atoms.pbc.all():
        raise ValueError(f"atoms: expected a crystal, periodic in all directions, got {atoms.pbc}")
    if not 0 < largest_strain <= 0.1:
        raise ValueError(f"largest_strain: expected up to 0.1, got {largest_strain!r}")
    rotations = np.eye(3)[None]
    if symmetry_precision is not None:
        rotations = rotations_of(
            atoms.cell.array, atoms.positions, atoms.numbers.tolist(), symmetry_precision
        )
    basis = invariant_tensors(rotations)
    strains = needed_strains(basis)
    rows, stresses = [], []
    for strain in strains:
        for size in SIZES:
            amount = size * largest_strain
            plus, minus = (_stress(atoms, strain, sign * amount, largest_force) for sign in (1, -1))
            stresses.append(0.5 * (plus - minus))
            rows.append(amount * basis[:, :, strain].T)
    return _fitted(np.concatenate(rows), np.concatenate(stresses), basis, strains)


def _fitted(design: Array, stresses: Array, basis: Array, strains: Sequence[int]) -> Elasticity:
    solution = np.linalg.lstsq(design, stresses, rcond=None)[0]
    residual = stresses - design @ solution
    variance = float(residual @ residual) / max(1, len(stresses) - len(solution))
    values, vectors = np.linalg.eigh(variance * np.linalg.inv(design.T @ design))
    spread = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    constants = np.einsum("nk,kab->nab", spread, basis)
    tensor = np.einsum("k,kab->ab", solution, basis)
    return Elasticity(
        tensor, np.sqrt((constants**2).sum(axis=0)), constants, tuple(int(s) for s in strains)
    )


def _stress(atoms: Any, strain: int, amount: float, largest_force: float | None) -> Array:
    """(6,) GPa of a strained cell."""
    from ase.optimize import BFGS

    deformation = np.zeros((3, 3))
    i, j = VOIGT[strain]
    deformation[i, j] += 0.5 * amount
    deformation[j, i] += 0.5 * amount
    strained = atoms.copy()
    strained.set_cell(atoms.cell.array @ (np.eye(3) + deformation), scale_atoms=True)
    strained.calc = atoms.calc
    if largest_force is not None:
        with BFGS(strained, logfile=None) as optimizer:
            if not optimizer.run(fmax=largest_force, steps=500):
                raise RuntimeError(
                    f"largest_force: the atoms of a strained cell do not relax to "
                    f"{largest_force:g} eV/Å in 500 steps; relax the crystal first, or allow more"
                )
    return np.asarray(strained.get_stress(voigt=True)) * EV_PER_CUBIC_ANGSTROM_IN_GPA


def invariant_tensors(rotations: ArrayLike) -> Array:
    """(n, 6, 6) orthonormal tensors of stiffness that no rotation (n, 3, 3) changes."""
    turned = [_of_stress(rotation) for rotation in np.asarray(rotations, dtype=float)]
    free = []
    for a in range(6):
        for b in range(a, 6):
            one = np.zeros((6, 6))
            one[a, b] = one[b, a] = 1.0
            free.append(one)
    means = [np.mean([m @ one @ m.T for m in turned], axis=0) for one in free]
    _, values, vectors = np.linalg.svd(np.reshape(means, (21, 36)), full_matrices=False)
    return np.asarray(vectors[values > 1e-6 * values[0]].reshape(-1, 6, 6))


def needed_strains(basis: ArrayLike) -> list[int]:
    """The first of the six strains whose stresses tell all tensors of a basis (n, 6, 6) apart."""
    tensors = np.asarray(basis, dtype=float)
    chosen: list[int] = []
    rank = 0
    for strain in range(6):
        columns = tensors[:, :, [*chosen, strain]].reshape(len(tensors), -1)
        now = int(np.linalg.matrix_rank(columns, tol=1e-6))
        if now > rank:
            chosen, rank = [*chosen, strain], now
    return chosen


def _of_stress(rotation: Array) -> Array:
    """(6, 6) how a rotation turns the six components of a stress."""
    turned = np.empty((6, 6))
    for b, (i, j) in enumerate(VOIGT):
        one = np.zeros((3, 3))
        one[i, j] = one[j, i] = 1.0
        image = rotation @ one @ rotation.T
        turned[:, b] = [image[pair] for pair in VOIGT]
    return turned


def moduli(tensor: ArrayLike) -> Moduli:
    """Moduli of an elastic tensor (6, 6) GPa; ValueError where it is not that of a stable crystal."""
    c = np.asarray(tensor, dtype=float)
    if c.shape != (6, 6) or not np.linalg.eigvalsh(0.5 * (c + c.T)).min() > 0:
        raise ValueError(
            "tensor: expected an elastic tensor (6, 6) whose eigenvalues are positive: this crystal "
            "is not stable"
        )
    bulk_voigt, shear_voigt = _uniform_strain(c)
    compliance = np.linalg.inv(c)
    factors = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
    # of the tensor s_ijkl, whose shears are not doubled, the same sums give 1/9K and 1/4G
    ninth, quarter = _uniform_strain(compliance / np.outer(factors, factors))
    bulk_reuss, shear_reuss = 1 / (9 * ninth), 1 / (4 * quarter)
    bulk, rigidity = 0.5 * (bulk_voigt + bulk_reuss), 0.5 * (shear_voigt + shear_reuss)
    return Moduli(
        bulk_voigt,
        bulk_reuss,
        bulk,
        shear_voigt,
        shear_reuss,
        rigidity,
        9 * bulk * rigidity / (3 * bulk + rigidity),
        (3 * bulk - 2 * rigidity) / (2 * (3 * bulk + rigidity)),
        5 * shear_voigt / shear_reuss + bulk_voigt / bulk_reuss - 6,
    )


def _uniform_strain(tensor: Array) -> tuple[float, float]:
    """The two isotropic means of a tensor t_ijkl in Voigt's notation: t_iijj/9 and (t_ijij −
    t_iijj/3)/10."""
    dilation = float(tensor[:3, :3].sum())
    norm = float(tensor[:3, :3].trace() + 2 * tensor[3:, 3:].trace())
    return dilation / 9, (norm - dilation / 3) / 10


def moduli_errors(found: Elasticity) -> Moduli:
    """Standard errors of the moduli, from those of the tensor, linearly."""
    middle = np.array(moduli(found.tensor))
    changes = [np.array(moduli(found.tensor + change)) - middle for change in found.constants]
    return Moduli(*np.sqrt(np.sum(np.square(changes), axis=0)).tolist())
