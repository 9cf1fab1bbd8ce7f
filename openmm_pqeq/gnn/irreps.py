"""Irreducible representations of O(3), (l, p), and how two of them couple.

    (l1, p1) ⊗ (l2, p2) → (l, p1 p2),   |l1 − l2| ≤ l ≤ l1 + l2

    C_abc = √(2l+1) Σ Q^{l1}_{ia} Q^{l2}_{jb} conj(Q^l_{kc}) ⟨l1 i l2 j | l k⟩ / norm

⟨l1 i l2 j | l k⟩ are the Clebsch–Gordan coefficients, by Racah's sum in whole numbers, and Q goes
from real to complex spherical harmonics. Names ("16x0e + 8x1o"), order (l = 1 is x, y, z) and signs
are those of e3nn 0.6, so that models and papers mean the same here.

Racah, Phys. Rev. 62, 438 (1942), https://doi.org/10.1103/PhysRev.62.438;
Geiger, Smidt, https://doi.org/10.48550/arXiv.2207.09453
"""

import functools
import re
from fractions import Fraction
from math import factorial
from typing import NamedTuple

import torch
from torch import Tensor

PARITIES = {"e": 1, "o": -1}


class Irrep(NamedTuple):
    """Degree l and parity p, 1 or −1; written as "1o"."""

    l: int  # noqa: E741 (the papers' name)
    p: int

    def __repr__(self) -> str:
        return f"{self.l}{'e' if self.p == 1 else 'o'}"


def irreps_of(text: str) -> list[tuple[int, Irrep]]:
    """Multiplicities and irreps of such as "16x0e + 8x1o", in its order; "1y" has the parity of the
    spherical harmonics.

    >>> irreps_of("16x0e + 2o + 1y")
    [(16, 0e), (1, 2o), (1, 1o)]

    Raises ValueError for anything else.
    """
    found = []
    for part in text.split("+") if isinstance(text, str) and text.strip() else [str(text)]:
        match = re.fullmatch(r"\s*(?:(\d+)\s*x\s*)?(\d+)([eoy])\s*", part)
        if match is None:
            raise ValueError(f"expected irreps such as 16x0e + 8x1o, got {text!r}")
        degree = int(match[2])
        parity = PARITIES.get(match[3], (-1) ** degree)
        found.append((int(match[1] or 1), Irrep(degree, parity)))
    return found


def products(one: Irrep, other: Irrep) -> list[Irrep]:
    """What two irreps couple to, by l."""
    degrees = range(abs(one.l - other.l), one.l + other.l + 1)
    return [Irrep(degree, one.p * other.p) for degree in degrees]


@functools.cache
def _coupling(l1: int, l2: int, l3: int) -> Tensor:
    complex_ones = torch.zeros(2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1, dtype=torch.complex128)
    for m1 in range(-l1, l1 + 1):
        for m2 in range(max(-l2, -l3 - m1), min(l2, l3 - m1) + 1):
            value = clebsch_gordan(l1, m1, l2, m2, l3)
            complex_ones[l1 + m1, l2 + m2, l3 + m1 + m2] = value
    real = torch.einsum(
        "ia,jb,kc,ijk->abc",
        real_to_complex(l1),
        real_to_complex(l2),
        real_to_complex(l3).conj(),
        complex_ones,
    ).real
    return real * ((2 * l3 + 1) ** 0.5 / torch.linalg.vector_norm(real))


def coupling(l1: int, l2: int, l3: int) -> Tensor:
    """C (2 l1 + 1, 2 l2 + 1, 2 l3 + 1), float64, with ΣC² = 2 l3 + 1: a copy."""
    return _coupling(l1, l2, l3).clone()


def clebsch_gordan(l1: int, m1: int, l2: int, m2: int, l3: int) -> float:
    """⟨l1 m1 l2 m2 | l3 m1+m2⟩ of whole l, exact but for one square root."""
    m3 = m1 + m2
    norm = Fraction(
        (2 * l3 + 1)
        * factorial(l3 + l1 - l2)
        * factorial(l3 - l1 + l2)
        * factorial(l1 + l2 - l3)
        * factorial(l3 + m3)
        * factorial(l3 - m3)
        * factorial(l1 - m1)
        * factorial(l1 + m1)
        * factorial(l2 - m2)
        * factorial(l2 + m2),
        factorial(l1 + l2 + l3 + 1),
    )
    total = Fraction(0)
    first = max(0, l2 - l3 - m1, l1 - l3 + m2)
    for k in range(first, min(l1 + l2 - l3, l1 - m1, l2 + m2) + 1):
        total += Fraction(
            (-1) ** k,
            factorial(k)
            * factorial(l1 + l2 - l3 - k)
            * factorial(l1 - m1 - k)
            * factorial(l2 + m2 - k)
            * factorial(l3 - l2 + m1 + k)
            * factorial(l3 - l1 - m2 + k),
        )
    return (1.0 if total >= 0 else -1.0) * float(norm * total * total) ** 0.5


def real_to_complex(degree: int) -> Tensor:
    """Q (2l+1, 2l+1), complex128: rows are m = −l … l, columns the real harmonics; times (−i)^l,
    which makes couplings real."""
    q = torch.zeros(2 * degree + 1, 2 * degree + 1, dtype=torch.complex128)
    q[degree, degree] = 1.0
    for m in range(1, degree + 1):
        sign = (-1) ** m
        q[degree - m, degree + m], q[degree - m, degree - m] = 0.5**0.5, -1j * 0.5**0.5
        q[degree + m, degree + m], q[degree + m, degree - m] = sign * 0.5**0.5, 1j * sign * 0.5**0.5
    return (-1j) ** degree * q
