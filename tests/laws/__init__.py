"""The laws that every term of the potential obeys, as assertions.

Each takes ``energy``, a function of a `Structure` that returns the energies of its structures,
(n_structures,) eV, and that autograd can follow. For a term this is one line::

    search = NeighborSearch(term.cutoff)
    energy = lambda structure: per_structure(term(structure, search(structure)), structure)

Tolerances are absolute and physical: eV/atom, eV/Å, eV/Å³; the defaults suit float64. Nothing is
relative to a total energy. Tests import this package as ``import laws``.

A field pushes charges with a force that is no gradient (+qF of the coupling `shell`): its value in
the energy is zero. Laws that compare forces with energies take it as ``push`` (n_atoms, 3) eV/Å.
"""

from laws.derivatives import (
    assert_continuous,
    assert_forces,
    assert_second_derivatives,
    assert_stress,
)
from laws.extensivity import assert_batch, assert_size_consistency, assert_supercell
from laws.ingredients import (
    ENERGY,
    FINITE_FORCE,
    FINITE_STRESS,
    FORCE,
    STEP,
    Energy,
    close,
    forces_of,
    per_structure,
    random_rotation,
    strained,
    supercell_of,
    virial_of,
)
from laws.symmetries import (
    assert_any_image,
    assert_inversion,
    assert_permutation,
    assert_rotation,
    assert_translation,
)

__all__ = [
    "ENERGY",
    "FINITE_FORCE",
    "FINITE_STRESS",
    "FORCE",
    "STEP",
    "Energy",
    "assert_any_image",
    "assert_batch",
    "assert_continuous",
    "assert_forces",
    "assert_inversion",
    "assert_permutation",
    "assert_rotation",
    "assert_second_derivatives",
    "assert_size_consistency",
    "assert_stress",
    "assert_supercell",
    "assert_translation",
    "close",
    "forces_of",
    "per_structure",
    "random_rotation",
    "strained",
    "supercell_of",
    "virial_of",
]
