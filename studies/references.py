"""Energies, charges, dipoles and forces by density functional theory, computed by PySCF.

PBE in the basis def2-TZVPD (the diffuse functions of anions included), without dispersion; labels of
many structures in def2-SVP, with density fitting. PySCF is
an extra: `pip install "openmm-pqeq[references]"`. A study that finds it missing takes what its
`--here` computed before and says so, or goes on without.
"""

from collections.abc import Mapping
from typing import NamedTuple

import ase
import numpy as np
from numpy.typing import NDArray

HARTREE = 27.211386245988  # eV, CODATA 2018
BOHR = 0.529177210903  # Å, CODATA 2018
FIELD = HARTREE / BOHR  # V/Å, one atomic unit
BASIS = "def2-tzvpd"


class Reference(NamedTuple):
    """energy eV; charges (n,) e, in meta-Löwdin orbitals; dipole (3,) e Å; ⟨S²⟩; density (2, n, n)
    in the basis, to start a neighbouring geometry from."""

    energy: float
    charges: NDArray[np.float64]
    dipole: NDArray[np.float64]
    spin_squared: float
    density: NDArray[np.float64]


class Labels(NamedTuple):
    """energy eV; forces (n, 3) eV/Å, their mean taken out; Hirshfeld charges (n,) e."""

    energy: float
    forces: NDArray[np.float64]
    charges: NDArray[np.float64]


def available() -> bool:
    """Whether PySCF is installed."""
    try:
        import pyscf  # noqa: F401
    except ImportError:
        return False
    return True


def pbe(
    atoms: ase.Atoms,
    charge: int = 0,
    unpaired: int = 0,
    field: tuple[float, float, float] = (0.0, 0.0, 0.0),
    start: NDArray[np.float64] | None = None,
    linear: Mapping[str, tuple[int, int]] | None = None,
) -> Reference:
    """PBE of a molecule, spins unrestricted.

    atoms : positions Å
    charge : e
    unpaired : electrons
    field : V/Å
    start : density of a neighbouring geometry; followed by second-order steps, which find the
        solution next to it where orbitals of far atoms cross
    linear : of a molecule along z, electrons of each spin by irreducible representation, which then
        stay what they are: of C∞v (A1, E1x, E1y), or of C2v (A1, B1, B2) where a hole in one plane
        leaves the density no axis

    Raises RuntimeError where it does not converge.
    """
    from pyscf import dft, gto

    molecule = gto.M(
        atom=list(zip(atoms.get_chemical_symbols(), atoms.positions)),
        basis=BASIS,
        charge=charge,
        spin=unpaired,
        symmetry=("C2v" if "B1" in linear else "Coov") if linear else False,
        verbose=0,
    )
    force = np.asarray(field) / FIELD
    solver = dft.UKS(molecule, xc="pbe")
    solver.max_cycle = 60
    if linear:
        solver.irrep_nelec = dict(linear)
    if np.any(force):
        core = solver.get_hcore() + np.einsum("x,xij->ij", force, molecule.intor("int1e_r"))
        solver.get_hcore = lambda *_: core
    if start is not None:
        solver = solver.newton()
    solver.kernel(start)
    if not solver.converged and start is None:
        solver = solver.newton()
        solver.kernel(solver.make_rdm1())
    if not solver.converged:
        raise RuntimeError(f"PBE of {atoms.get_chemical_formula()} does not converge")
    _, charges = solver.mulliken_meta(verbose=0)
    nuclei = molecule.atom_charges() @ molecule.atom_coords()
    return Reference(
        float((solver.e_tot - nuclei @ force) * HARTREE),
        np.asarray(charges),
        solver.dip_moment(unit="AU", verbose=0) * BOHR,
        float(solver.spin_square()[0]),
        np.asarray(solver.make_rdm1()),
    )


def polarized(atoms: ase.Atoms, density: NDArray[np.float64], by: float = 0.2):
    """The density of a singlet of two atoms with spin moved from the second to the first, from
    which a solution with broken symmetry may be found."""
    from pyscf import gto

    molecule = gto.M(
        atom=list(zip(atoms.get_chemical_symbols(), atoms.positions)), basis=BASIS, verbose=0
    )
    up, down = density.copy()
    mean = 0.5 * (up + down)
    for atom, sign in ((0, 1), (1, -1)):
        own = slice(*molecule.aoslice_by_atom()[atom, 2:])
        up[own, own] = mean[own, own] * (1 + sign * by)
        down[own, own] = mean[own, own] * (1 - sign * by)
    return np.array([up, down])


def labels(atoms: ase.Atoms, charge: int = 0) -> Labels:
    """PBE of a closed shell in def2-SVP (with its effective core where it has one), by density
    fitting: a label of a few seconds. Charges by Hirshfeld, beside the densities of the separate atoms, Σ_A ρ_A:

        q_A = Z_A − ∫ ρ ρ_A/Σ_B ρ_B          Theor. Chim. Acta 44, 129 (1977), doi:10.1007/BF00549096

    Raises RuntimeError where it does not converge.
    """
    from pyscf import dft, gto

    cores = {symbol: "def2-svp" for symbol, z in zip(atoms.symbols, atoms.numbers) if z > 36}
    molecule = gto.M(
        atom=list(zip(atoms.get_chemical_symbols(), atoms.positions)),
        basis="def2-svp",
        ecp=cores,
        charge=charge,
        verbose=0,
    )
    solver = dft.RKS(molecule, xc="pbe").density_fit()
    solver.grids.level, solver.conv_tol, solver.max_cycle = 1, 1e-7, 25
    solver.kernel()
    if not solver.converged:  # orbitals nearly degenerate
        solver.level_shift = 0.2
        solver.kernel(solver.make_rdm1())
    if not solver.converged:
        raise RuntimeError(f"PBE of {atoms.get_chemical_formula()} does not converge")
    forces = -solver.nuc_grad_method().kernel() * FIELD
    charges = _hirshfeld(solver)
    return Labels(float(solver.e_tot * HARTREE), forces - forces.mean(axis=0), charges)


def _hirshfeld(solver) -> NDArray[np.float64]:
    """(n,) e, of a converged solution."""
    from pyscf.dft.numint import eval_ao

    molecule, grids = solver.mol, solver.grids
    orbitals = eval_ao(molecule, grids.coords)
    density, free = np.asarray(solver.make_rdm1()), np.asarray(solver.init_guess_by_atom())
    of_atoms = np.empty((molecule.natm, len(orbitals)))
    for k, (*_, first, last) in enumerate(molecule.aoslice_by_atom()):
        own = orbitals[:, first:last]
        of_atoms[k] = ((own @ free[first:last, first:last]) * own).sum(axis=1)
    weighted = grids.weights * ((orbitals @ density) * orbitals).sum(axis=1)
    shares = of_atoms / np.maximum(of_atoms.sum(axis=0), 1e-30)
    return np.asarray(molecule.atom_charges() - shares @ weighted)
