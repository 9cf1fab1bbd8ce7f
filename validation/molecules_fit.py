"""The parameter set `molecules`: charges by bonds for neutral molecules of H C N O S Cl.

    python validation/molecules_fit.py --data FOLDER [--output pqeq_molecules.csv] [--steps 16]

FOLDER holds qm7b_train.xyz (361 molecules of QM7b; polarizabilities bohr³, dipoles e bohr; Yang et
al., Sci. Data 6, 152 (2019), doi:10.1038/s41597-019-0157-8, Materials Cloud 2019.0002, CC BY 4.0)
and, for the test that nothing is fitted to, water_dimers/water_dimers_mp2_avtz.xyz (MP2/aug-cc-pVTZ,
libAtoms h2o-13, MIT; Bartók et al., Phys. Rev. B 88, 054104 (2013)).

Reference charges are zero: charge moves along bonds between neutral atoms. Fitted are dipoles and
polarizability tensors together, of 261 molecules and of water in experiment (1.855 D, 1.47 Å³),
by Levenberg and Marquardt's method on the dense solution; 100 molecules are held out. Water's
quadrupole, and both moments as it is stretched and bent, are fitted to coupled clusters (`WATERS`):
without, a set with the right dipole had three quarters of the quadrupole and a dipole that falls as a
bond is stretched, and distant waters a fifth too little energy.
"""

import argparse
from pathlib import Path

import ase
import ase.build
import ase.io
import numpy as np
import torch
from ase.units import Bohr, Debye
from molecules_response import ELEMENTS, START, Batch, batch_of, parameters_at, response
from torch import Tensor

from openmm_pqeq.potential import build
from openmm_pqeq.structure import structure_of
from openmm_pqeq.units import COULOMB, KCAL_PER_MOL_PER_EV

SYMBOLS = ("H", "C", "N", "O", "S", "Cl")
HELD_OUT = 100
DIPOLE_SCALE, POLARIZABILITY_SCALE = 0.2, 0.04
"""e bohr, and relative to the mean polarizability of the molecule."""
QUADRUPOLE_SCALE = 0.3
"""e Å²."""
WATER_WEIGHT = 200.0
WATERS = (
    (0.9572, 0.9572, 104.52, 0.0, 1.848, 2.570, -0.141, 0.0),
    (0.9272, 0.9572, 104.52, -0.0229, 1.8412, 2.517, -0.137, -0.065),
    (0.9872, 0.9572, 104.52, 0.0220, 1.8546, 2.623, -0.145, 0.066),
    (0.9872, 0.9872, 104.52, 0.0, 1.8605, 2.675, -0.148, 0.0),
    (0.9572, 0.9572, 99.50, 0.0, 1.9194, 2.268, 0.131, 0.0),
    (0.9572, 0.9572, 109.50, 0.0, 1.7729, 2.866, -0.407, 0.0),
)
"""Two bonds (Å), the angle (degrees), μ_x and μ_y (D), Θ_xx, Θ_yy and Θ_xy about the centre of mass
(D Å), y along the bisector of 104.52° towards the hydrogens, x in the plane: CCSD/aug-cc-pVTZ, frozen
core, with PySCF 2.14. In experiment Θ is 2.63, −0.13, −2.50 D Å (Verhoeven, Dymanus, J. Chem. Phys. 52,
3222 (1970), doi:10.1063/1.1673462)."""
PRIOR = (0.03, 0.1, 300.0, 0.1, 0.3, 8.0)
"""Of a change by 1 in a coordinate of the fit, by row of `START`, in units of the residual of one
molecule. Radii stay where they are: that of hydrogen would grow to 1.2 Å, and waters at 5 Å overlap."""
FAR = 5.0
"""Å, between the oxygens of two waters."""


def residuals(batch: Batch, u: Tensor) -> Tensor:
    """(m·21,), of each molecule in units of the scales above."""
    found = response(batch, u)
    size = torch.diagonal(batch.polarizability, dim1=1, dim2=2).mean(dim=1).view(-1, 1, 1)
    parts = (
        (found.dipole - batch.dipole) / (DIPOLE_SCALE * Bohr),
        (found.polarizability - batch.polarizability) / (POLARIZABILITY_SCALE * size * np.sqrt(3)),
        (found.quadrupole - batch.quadrupole) / QUADRUPOLE_SCALE,
    )
    weighted = [p.flatten(1) * w.sqrt().unsqueeze(1) for p, w in zip(parts, batch.weight.t())]
    return torch.cat(weighted, dim=1).flatten()


def fit(batches: list[Batch], steps: int) -> Tensor:
    """The coordinates (6, 6) after so many steps of Levenberg and Marquardt."""
    rows = [torch.tensor(START[name], dtype=torch.float64) for name in START]
    start = torch.stack([*rows[:2], rows[2].log(), rows[3], rows[4].log(), rows[5].log()])

    prior = torch.tensor(PRIOR, dtype=torch.float64).repeat_interleave(len(ELEMENTS))

    def all_of(flat: Tensor) -> Tensor:
        pull = prior * (flat - start.flatten())
        return torch.cat([*(residuals(batch, flat.view(6, -1)) for batch in batches), pull])

    u, damping = start.flatten(), 1e-2
    r = all_of(u)
    for step in range(steps):
        jacobian = torch.stack(
            [torch.func.jvp(all_of, (u,), (e,))[1] for e in torch.eye(len(u), dtype=u.dtype)], dim=1
        )
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
    return u.view(6, -1)


def errors(batch: Batch, u: Tensor) -> dict[str, float]:
    dipole, alpha, _ = response(batch, u)
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


def water(first: float = 0.9572, second: float = 0.9572, angle: float = 104.52) -> ase.Atoms:
    """Water with these bonds (Å) and angle (degrees), as in `WATERS`."""
    half = np.deg2rad(angle) / 2
    x, y = np.sin(half), np.cos(half)
    return ase.Atoms("OH2", [[0, 0, 0], [first * x, first * y, 0], [-second * x, second * y, 0]])


def waters() -> Batch:
    """Water in experiment, and its moments as it is stretched and bent."""
    atoms, dipoles, quadrupoles = [water()], [np.array([0, 1.855 * Debye, 0])], [np.zeros((3, 3))]
    for first, second, angle, mu_x, mu_y, xx, yy, xy in WATERS:
        atoms.append(water(first, second, angle))
        dipoles.append(np.array([mu_x, mu_y, 0]) * Debye)
        quadrupoles.append(np.array([[xx, xy, 0], [xy, yy, 0], [0, 0, -xx - yy]]) * Debye)
    alphas = [np.eye(3) * 1.47 / COULOMB] * len(atoms)
    weights = [[WATER_WEIGHT, WATER_WEIGHT, 0.0]] + [[WATER_WEIGHT, 0.0, WATER_WEIGHT]] * len(
        WATERS
    )
    return batch_of(atoms, dipoles, alphas, quadrupoles, weights)


def read(folder: Path) -> tuple[Batch, Batch]:
    """Molecules to fit, and those held out."""
    frames = ase.io.read(folder / "qm7b_train.xyz", ":")
    order = np.random.default_rng(0).permutation(len(frames))
    parts = []
    for chosen in (order[HELD_OUT:], order[:HELD_OUT]):
        some = [frames[k] for k in chosen]
        alphas = [np.array(a.info["pol"], float).reshape(3, 3) * Bohr**3 / COULOMB for a in some]
        dipoles = [a.get_dipole_moment() * Bohr for a in some]
        unknown, weights = np.zeros((len(some), 3, 3)), [[1.0, 1.0, 0.0]] * len(some)
        parts.append(batch_of(some, dipoles, alphas, unknown, weights))
    return parts[0], parts[1]


def write(path: Path, u: Tensor, lines: list[str]) -> None:
    rows = parameters_at(u)
    header = [
        "PQEq parameters of neutral molecules of H C N O S Cl, for charges by bonds with reference charges 0",
        "fitted by validation/molecules_fit.py of this package to dipoles and polarizabilities of 261 molecules",
        "of QM7b (Yang et al., Sci. Data 6, 152 (2019), doi:10.1038/s41597-019-0157-8; Materials Cloud",
        "2019.0002, CC BY 4.0), of water in experiment (1.855 D, 1.47 Å³), and to moments of water as it moves",
        "(CCSD/aug-cc-pVTZ, computed for this package). On 100 molecules not fitted:",
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
            softness, decay = float(rows["softness"][k]), float(rows["decay"][k])
            table.write(
                f"{symbol},1,{chi:.5f},{eta:.5f},1.0,{radius:.5f},{spring:.4f},{softness:.5f},{decay:.5f}\n"
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
    parser.add_argument("--steps", type=int, default=16)
    arguments = parser.parse_args()
    fitted, held_out = read(arguments.data)
    u = fit([fitted, waters()], arguments.steps)
    lines = [f"{name}: {value:.3f}" for name, value in errors(held_out, u).items()]
    for line in lines:
        print(line)
    found = response(waters(), u)
    size = float(torch.diagonal(found.polarizability[0]).mean()) * COULOMB
    print(
        f"water: {float(found.dipole[0].norm()) / Debye:.3f} D, {size:.3f} Å³, quadrupole", end=" "
    )
    print([round(float(one) / Debye, 2) for one in torch.diagonal(found.quadrupole[0])], "D Å")
    write(arguments.output, u, lines)
    dimers = arguments.data / "water_dimers/water_dimers_mp2_avtz.xyz"
    if dimers.is_file():
        slope, correlation, n = far_waters(dimers, arguments.output)
        print(f"{n} water dimers beyond {FAR} Å: slope {slope:.3f}, correlation {correlation:.4f}")


if __name__ == "__main__":
    main()
