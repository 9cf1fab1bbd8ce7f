"""The parameter set `molecules`: charges by bonds for neutral molecules of H C N O S Cl.

    python validation/molecules_fit.py --data FOLDER [--output pqeq_molecules.csv] [--steps 30]

FOLDER holds qm7b_train.xyz (361 molecules of QM7b; polarizabilities bohr³, dipoles e bohr; Yang et
al., Sci. Data 6, 152 (2019), doi:10.1038/s41597-019-0157-8, Materials Cloud 2019.0002, CC BY 4.0)
and, for the test that nothing is fitted to, water_dimers/water_dimers_mp2_avtz.xyz (MP2/aug-cc-pVTZ,
libAtoms h2o-13, MIT; Bartók et al., Phys. Rev. B 88, 054104 (2013)).

Reference charges are zero: charge moves along bonds between neutral atoms. Fitted are dipoles and
polarizability tensors together, of 261 molecules and of water in experiment (1.855 D, 1.47 Å³),
by Levenberg and Marquardt's method on the dense solution; 100 molecules are held out.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import ase
import ase.build
import ase.io
import numpy as np
import torch
from ase.units import Bohr, Debye
from torch import Tensor

from openmm_pqeq.covalent_radii import covalent_radii
from openmm_pqeq.potential import build
from openmm_pqeq.pqeq.bonds import BOND_DECAY, BOND_RANGE
from openmm_pqeq.pqeq.coulomb.kernels import (
    coulomb_radial_reference,
    dipole_self_energy,
    gaussian_exponents,
    gaussian_self_energy,
    pair_exponents,
)
from openmm_pqeq.structure import structure_of
from openmm_pqeq.units import COULOMB, KCAL_PER_MOL_PER_EV

ELEMENTS = (1, 6, 7, 8, 16, 17)
SYMBOLS = ("H", "C", "N", "O", "S", "Cl")
HELD_OUT = 100
DIPOLE_SCALE, POLARIZABILITY_SCALE = 0.2, 0.04
"""e bohr, and relative to the mean polarizability of the molecule."""
WATER_WEIGHT = 100.0
PRIOR = (0.03, 0.1, 300.0, 0.1, 0.3)
"""Of a change by 1 in a coordinate of the fit, by row of `START`, in units of the residual of one
molecule. Radii stay where they are: that of hydrogen would grow to 1.2 Å, and waters at 5 Å overlap."""
FAR = 5.0
"""Å, between the oxygens of two waters."""
START = {
    "electronegativity": (-8.0, 12.0, 15.0, 16.0, 12.0, 12.5),
    "hardness": (2.5, 1.5, 2.0, 3.0, 1.5, 1.5),
    "radius": (0.45, 0.65, 0.5, 0.45, 0.75, 0.6),
    "spring": (2.0, 1.5, 1.5, 2.0, 1.5, 1.5),
    "softness": (0.3, 0.4, 0.4, 0.4, 0.4, 0.4),
}
"""χ eV; log of η above its bound, eV; R Å; log of K/Z² above its bound, eV/(e Å)²; σ e/√eV."""


class Batch(NamedTuple):
    """Molecules padded to one size: kinds (m, n), exists (m, n), d = r_j − r_i (m, n, n, 3) Å,
    positions (m, n, 3), dipole (m, 3) e Å, polarizability (m, 3, 3) e²Å²/eV, weight (m,)."""

    kinds: Tensor
    exists: Tensor
    d: Tensor
    positions: Tensor
    dipole: Tensor
    polarizability: Tensor
    weight: Tensor


def batch_of(molecules: list[ase.Atoms], dipoles, polarizabilities, weights) -> Batch:
    n = max(map(len, molecules))
    kinds = torch.zeros(len(molecules), n, dtype=torch.int64)
    exists = torch.zeros(len(molecules), n, dtype=torch.bool)
    positions = 1e3 * torch.arange(n, dtype=torch.float64).view(1, n, 1).repeat(
        len(molecules), 1, 3
    )
    for k, atoms in enumerate(molecules):
        here = len(atoms)
        kinds[k, :here] = torch.tensor([ELEMENTS.index(z) for z in atoms.numbers.tolist()])
        exists[k, :here] = True
        positions[k, :here] = torch.tensor(atoms.positions - atoms.positions.mean(axis=0))
    d = positions.unsqueeze(1) - positions.unsqueeze(2)
    stacked = [torch.tensor(np.array(values)) for values in (dipoles, polarizabilities, weights)]
    return Batch(kinds, exists, d, positions, *stacked)


def parameters_at(u: Tensor) -> dict[str, Tensor]:
    """The rows (6,) of a point in the fit's coordinates, (5, 6)."""
    radius = torch.exp(u[2])
    return {
        "electronegativity": u[0],
        "hardness": gaussian_self_energy(radius) + 0.3 + torch.exp(u[1]),
        "radius": radius,
        "spring": 1.1 * dipole_self_energy(radius) + torch.exp(u[3]),
        "softness": torch.exp(u[4]),
    }


def response(batch: Batch, u: Tensor) -> tuple[Tensor, Tensor]:
    """Dipoles (m, 3) e Å and polarizabilities (m, 3, 3) e²Å²/eV."""
    rows = parameters_at(u)
    chi, eta, radius, spring, sigma = (rows[name][batch.kinds] for name in START)
    m, n = batch.kinds.shape
    there = batch.exists.to(chi.dtype)
    identity = torch.eye(n, dtype=chi.dtype)
    pairs = there.unsqueeze(1) * there.unsqueeze(2) * (1 - identity)
    distance = torch.sqrt((batch.d**2).sum(dim=3) + identity)
    alpha = gaussian_exponents(radius)
    radial = coulomb_radial_reference(
        distance, pair_exponents(alpha.unsqueeze(1), alpha.unsqueeze(2))
    )
    first = (radial.first * pairs).unsqueeze(3)
    second = (radial.second * pairs).view(m, n, n, 1, 1)
    axes = torch.eye(3, dtype=chi.dtype)
    charge = radial.value * pairs + torch.diag_embed(eta)
    mixed = (first * batch.d).reshape(m, n, 3 * n)  # charge of i, dipole of j
    outer = batch.d.unsqueeze(4) * batch.d.unsqueeze(3)
    between = -(first.unsqueeze(4) * axes + second * outer)
    own = torch.diag_embed(spring).view(m, n, n, 1, 1) * axes
    dipole = (between + own).permute(0, 1, 3, 2, 4).reshape(m, 3 * n, 3 * n)
    radii = covalent_radii()[torch.tensor(ELEMENTS)][batch.kinds]
    reach = radii.unsqueeze(1) + radii.unsqueeze(2)
    x = distance / reach
    faded = torch.clamp(1 - (x / BOND_RANGE) ** 2, min=0.0) ** 3
    bond = (
        sigma.unsqueeze(1) * sigma.unsqueeze(2) * torch.exp(-BOND_DECAY * (x - 1)) * faded * pairs
    )
    laplacian = torch.diag_embed(bond.sum(dim=2)) - bond
    pull = -(bond.unsqueeze(3) * batch.d).sum(dim=2)
    upper = torch.cat([identity + laplacian @ charge, laplacian @ mixed], dim=2)
    matrix = torch.cat([upper, torch.cat([mixed.transpose(1, 2), dipole], dim=2)], dim=1)
    rest = torch.cat(
        [-(laplacian @ chi.unsqueeze(2)), torch.zeros_like(mixed[:, 0]).unsqueeze(2)], dim=1
    )
    uniform = there.view(m, n, 1, 1) * axes
    in_field = torch.cat([pull, uniform.reshape(m, 3 * n, 3)], dim=1)
    found = torch.linalg.solve(matrix, torch.cat([rest, in_field], dim=2))
    moved = (batch.positions * there.unsqueeze(2)).transpose(1, 2) @ found[:, :n]
    total = moved + (found[:, n:].view(m, n, 3, 4) * there.view(m, n, 1, 1)).sum(dim=1)
    return total[:, :, 0], total[:, :, 1:]


def residuals(batch: Batch, u: Tensor) -> Tensor:
    """(m·12,), of each molecule in units of the scales above."""
    dipole, alpha = response(batch, u)
    weight = torch.sqrt(batch.weight)
    size = torch.diagonal(batch.polarizability, dim1=1, dim2=2).mean(dim=1)
    of_dipole = (dipole - batch.dipole) / (DIPOLE_SCALE * Bohr) * weight.unsqueeze(1)
    of_alpha = (alpha - batch.polarizability) / (POLARIZABILITY_SCALE * size).view(-1, 1, 1)
    of_alpha = of_alpha.flatten(1) * weight.unsqueeze(1)
    return torch.cat([of_dipole, of_alpha / np.sqrt(3.0)], dim=1).flatten()


def fit(batch: Batch, steps: int) -> Tensor:
    """The coordinates (5, 6) after so many steps of Levenberg and Marquardt."""
    rows = [torch.tensor(START[name], dtype=torch.float64) for name in START]
    start = torch.stack([rows[0], rows[1], rows[2].log(), rows[3], rows[4].log()])

    prior = torch.tensor(PRIOR, dtype=torch.float64).repeat_interleave(len(ELEMENTS))

    def all_of(flat: Tensor) -> Tensor:
        return torch.cat([residuals(batch, flat.view(5, -1)), prior * (flat - start.flatten())])

    u, damping = start.flatten(), 1e-2
    r = all_of(u)
    for step in range(steps):
        jacobian = torch.func.jacfwd(all_of)(u)
        normal, gradient = jacobian.t() @ jacobian, jacobian.t() @ r
        for _ in range(8):
            move = torch.linalg.solve(
                normal + damping * torch.diag(torch.diagonal(normal)), gradient
            )
            trial = u - torch.clamp(move, -2.0, 2.0)
            after = all_of(trial)
            if float(after @ after) < float(r @ r):
                break
            damping *= 4
        else:
            break
        gained = 1 - float(after @ after) / float(r @ r)
        u, r, damping = trial, after, damping / 3
        print(f"step {step}: {float(r @ r):.2f}", flush=True)
        if gained < 1e-5:
            break
    return u.view(5, -1)


def errors(batch: Batch, u: Tensor) -> dict[str, float]:
    dipole, alpha = response(batch, u)
    to_bohr3 = COULOMB / Bohr**3
    iso = torch.diagonal(alpha - batch.polarizability, dim1=1, dim2=2).mean(dim=1) * to_bohr3
    norms = dipole.norm(dim=1) - batch.dipole.norm(dim=1)
    return {
        "dipole, MAE of a component, D": float((dipole - batch.dipole).abs().mean() / Debye),
        "dipole, MAE of the norm, D": float(norms.abs().mean() / Debye),
        "isotropic polarizability, MAE, bohr³": float(iso.abs().mean()),
        "polarizability, RMSE of a component, bohr³": float(
            ((alpha - batch.polarizability) * to_bohr3).square().mean().sqrt()
        ),
    }


def water() -> tuple[ase.Atoms, np.ndarray, np.ndarray]:
    """Water in its experimental geometry, dipole (e Å) and polarizability (e²Å²/eV)."""
    angle = np.deg2rad(104.52) / 2
    x, y = 0.9572 * np.sin(angle), 0.9572 * np.cos(angle)
    atoms = ase.Atoms("OH2", [[0, 0, 0], [x, y, 0], [-x, y, 0]])
    return atoms, np.array([0, 1.855 * Debye, 0]), np.eye(3) * 1.47 / COULOMB


def read(folder: Path) -> tuple[Batch, Batch]:
    """Molecules to fit, water among them, and those held out."""
    frames = ase.io.read(folder / "qm7b_train.xyz", ":")
    order = np.random.default_rng(0).permutation(len(frames))
    parts = []
    for chosen in (order[HELD_OUT:], order[:HELD_OUT]):
        some = [frames[k] for k in chosen]
        alphas = [np.array(a.info["pol"], float).reshape(3, 3) * Bohr**3 / COULOMB for a in some]
        dipoles = [a.get_dipole_moment() * Bohr for a in some]
        weights = [1.0] * len(some)
        if not parts:
            atoms, dipole, alpha = water()
            some, weights = [*some, atoms], [*weights, WATER_WEIGHT]
            alphas, dipoles = [*alphas, alpha], [*dipoles, dipole]
        parts.append(batch_of(some, dipoles, alphas, weights))
    return parts[0], parts[1]


def write(path: Path, u: Tensor, lines: list[str]) -> None:
    rows = parameters_at(u)
    header = [
        "PQEq parameters of neutral molecules of H C N O S Cl, for charges by bonds with reference charges 0",
        "fitted by validation/molecules_fit.py of this package to dipoles and polarizabilities of 261 molecules",
        "of QM7b (Yang et al., Sci. Data 6, 152 (2019), doi:10.1038/s41597-019-0157-8; Materials Cloud",
        "2019.0002, CC BY 4.0) and of water in experiment (1.855 D, 1.47 Å³). On 100 molecules not fitted:",
        *lines,
        "chi, eta eV; Z e; R_core Å; K2 kcal/mol/Å²; softness e/√eV; decay: see openmm_pqeq/pqeq/bonds.py",
    ]
    with path.open("w", encoding="utf-8") as table:
        for line in header:
            table.write(f"# {line}\n")
        table.write("element,pol,chi,eta,Z,R_core,K2,softness,decay\n")
        for k, symbol in enumerate(SYMBOLS):
            spring = float(rows["spring"][k]) * KCAL_PER_MOL_PER_EV
            values = [float(rows[n][k]) for n in ("electronegativity", "hardness", "radius")]
            chi, eta, radius = values
            softness = float(rows["softness"][k])
            table.write(
                f"{symbol},1,{chi:.5f},{eta:.5f},1.0,{radius:.5f},{spring:.4f},{softness:.5f},{BOND_DECAY}\n"
            )


def far_waters(file: Path, parameters: Path) -> tuple[float, float, int]:
    """Slope of E_PQEq against the MP2 interaction energy of water dimers more than 5 Å apart, by
    least squares through the origin, its correlation, and how many there are."""
    potential = build(
        {"pqeq": {"protocol": "direct", "parameters": str(parameters), "charge_flow": "bonds"}}
    )

    def energy(atoms: ase.Atoms) -> float:
        at = structure_of(
            torch.tensor(atoms.positions),
            torch.tensor(atoms.numbers),
            reference_charges=torch.zeros(len(atoms)),
        )
        return float(potential.evaluate(at, forces=False).energy)

    found, wanted = [], []
    for atoms in ase.io.read(file, ":"):
        info = atoms.info
        if atoms.get_distance(0, 3) > FAR:
            parts = energy(atoms) - energy(atoms[:3]) - energy(atoms[3:])
            found.append(parts)
            wanted.append(info["energy_ref"] - info["mono1_energy"] - info["mono2_energy"])
    x, y = np.array(wanted), np.array(found)
    return float(x @ y / (x @ x)), float(np.corrcoef(x, y)[0, 1]), len(x)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path("pqeq_molecules.csv"))
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args()
    fitted, held_out = read(arguments.data)
    u = fit(fitted, arguments.steps)
    lines = [f"{name}: {value:.3f}" for name, value in errors(held_out, u).items()]
    for line in lines:
        print(line)
    atoms, _, _ = water()
    dipole, alpha = response(batch_of([atoms], [np.zeros(3)], [np.eye(3)], [1.0]), u)
    size = float(torch.diagonal(alpha[0]).mean()) * COULOMB
    print(f"water: {float(dipole[0].norm()) / Debye:.3f} D, {size:.3f} Å³")
    write(arguments.output, u, lines)
    dimers = arguments.data / "water_dimers/water_dimers_mp2_avtz.xyz"
    if dimers.is_file():
        slope, correlation, n = far_waters(dimers, arguments.output)
        print(f"{n} water dimers beyond {FAR} Å: slope {slope:.3f}, correlation {correlation:.4f}")


if __name__ == "__main__":
    main()
