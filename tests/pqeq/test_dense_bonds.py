"""Charges by bonds of a crystal, against dense matrices in reciprocal space."""

import math

import laws
import torch
from bonded import potential_of, rock_salt_pair
from pqeq_potentials import BONDED
from structures import tensor

from openmm_pqeq.covalent_radii import covalent_radii
from openmm_pqeq.response import response
from openmm_pqeq.units import COULOMB


def test_an_independent_dense_code_gives_the_same():
    """Rock salt of 5.6 Å in closed reciprocal-space form: charges, ε∞ and Born charges of a matrix of
    8 × 8, with nothing of the package but its constants."""
    at = rock_salt_pair()
    charges, epsilon, born = dense_response(at)
    potential = potential_of("ewald")
    found = potential(at)
    laws.close(found.charges, charges, 1e-9, "charges")
    alpha, z = response(potential, at)
    volume = float(torch.linalg.det(at.cell[0]).abs())
    identity = torch.eye(3, dtype=torch.float64)
    laws.close(identity + 4 * math.pi * COULOMB * alpha / volume, epsilon, 1e-7, "ε∞")
    laws.close(z[0], born, 1e-6, "Born charges")


def dense_response(at):
    """Charges, ε∞, and ∂(dipole)/∂(position of the first atom) by central differences."""

    def solve(positions, field):
        chi, eta, radius, sigma, spring, slope = (
            tensor([BONDED[element][key] for element in ("Na", "Cl")])
            for key in (
                "electronegativity",
                "hardness",
                "radius",
                "softness",
                "spring_constant",
                "electronegativity_slope",
            )
        )
        alpha = 0.462770 / (2 * radius**2)
        volume = float(torch.linalg.det(at.cell[0]).abs())
        reciprocal = 2 * math.pi * torch.linalg.inv(at.cell[0]).t()
        grid = torch.cartesian_prod(*[torch.arange(-14, 15, dtype=torch.float64)] * 3)
        k = (grid @ reciprocal)[(grid != 0).any(dim=1)]
        square = (k * k).sum(dim=1)
        weight = 4 * math.pi * COULOMB / (square * volume)
        phase = torch.exp(1j * (positions @ k.t()).to(torch.complex128))
        wave = torch.exp(-square / 4 / alpha[:, None]) * phase  # of q, (2, n_k)
        waves = torch.cat([wave, *(1j * k[:, a] * wave for a in range(3))])  # q, μ_x, μ_y, μ_z
        matrix = ((waves * weight) @ waves.conj().t()).real
        gamma = torch.sqrt(alpha / 2)
        own_q = COULOMB * 2 * gamma / math.sqrt(math.pi)
        own_dipole = COULOMB * 4 * gamma**3 / (3 * math.sqrt(math.pi))
        stiffness = spring / 23.060547830619026
        matrix = matrix + torch.diag(torch.cat([eta - own_q, *[stiffness - own_dipole] * 3]))
        # bonds: all images within the range
        radii = covalent_radii()[at.numbers]
        laplacian = torch.zeros(2, 2, dtype=torch.float64)
        drop, g = torch.zeros(2, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64)
        flow = torch.zeros(2, 3, dtype=torch.float64)
        moment = torch.zeros(3, dtype=torch.float64)
        shifts = torch.cartesian_prod(*[torch.arange(-4, 5, dtype=torch.float64)] * 3) @ at.cell[0]
        for i in range(2):
            for j in range(2):
                for d in positions[j] - positions[i] + shifts:
                    r = float(d.norm())
                    if 1e-6 < r < 1.6 * float(radii[i] + radii[j]):
                        x = r / float(radii[i] + radii[j])
                        s = float(sigma[i] * sigma[j]) * math.exp(-3.76 * (x - 1))
                        s *= (1 - (x / 1.6) ** 2) ** 3
                        laplacian[i, i] += s
                        laplacian[i, j] -= s
                        lean = float(slope[i] - slope[j]) * (x - 1)
                        drop[i] -= s * (float(field @ d) + lean)
                        moment += 0.5 * s * lean * d
                        flow[i] -= s * d
                        g += 0.5 * s * torch.outer(d, d)
        a, b, c = matrix[:2, :2], matrix[:2, 2:], matrix[2:, 2:]
        reference = at.reference_charges
        left = torch.cat(
            [
                torch.cat([torch.eye(2).double() + laplacian @ a, laplacian @ b], dim=1),
                torch.cat([b.t(), c], dim=1),
            ]
        )
        pull = field.repeat_interleave(2)
        right = torch.cat([reference + drop - laplacian @ chi, pull])
        x = torch.linalg.solve(left, right)
        q, mu = x[:2], x[2:].view(3, 2)
        potential = a @ q + b @ x[2:] + chi
        polarization = moment + g @ field - flow.t() @ potential + mu.sum(dim=1)
        return q, polarization + reference @ positions

    zero, step = tensor([0.0, 0, 0]), 1e-4
    q, _ = solve(at.positions, zero)
    identity = torch.eye(3, dtype=torch.float64)
    volume = float(torch.linalg.det(at.cell[0]).abs())
    alpha = torch.stack(
        [solve(at.positions, e)[1] - solve(at.positions, zero)[1] for e in identity]
    )
    born = torch.zeros(3, 3, dtype=torch.float64)
    for b in range(3):
        moved = torch.zeros_like(at.positions)
        moved[0, b] = step
        ends = [solve(at.positions + sign * moved, zero)[1] for sign in (1, -1)]
        born[:, b] = (ends[0] - ends[1]) / (2 * step)
    return q, identity + 4 * math.pi * COULOMB * alpha / volume, born
