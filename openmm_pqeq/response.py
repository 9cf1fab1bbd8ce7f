"""Polarizability and Born effective charges of a potential (pqeq/derivatives/polarizability.py has
the equations)."""

from torch import Tensor

from openmm_pqeq.gradients import make_ordinary, ordinary_structure, recorded
from openmm_pqeq.potential import Potential
from openmm_pqeq.pqeq.derivatives.polarizability import polarizability_and_born_charges
from openmm_pqeq.structure import Structure


def response(potential: Potential, structure: Structure) -> tuple[Tensor, Tensor]:
    """Polarizability (3, 3) e²Å²/eV and Born charges (n_atoms, 3, 3) e, [atom, field, force], of
    one structure in float64.

    Raises ValueError for a potential without PQEq, where nothing answers to a field, and for a
    compiled one.
    """
    if potential.pqeq is None:
        raise ValueError(
            "polarizability, born_charges: this potential has no PQEq term, and nothing else "
            "answers to a field"
        )
    if potential.pqeq.warm_start:
        raise ValueError(
            "potential: a compiled one has first derivatives only; give the one that "
            "compile_for_inference() was called on"
        )
    with recorded():
        make_ordinary(potential)
        structure = ordinary_structure(structure)
        return polarizability_and_born_charges(potential.pqeq, structure, potential.search)


def polarizability(potential: Potential, structure: Structure) -> Tensor:
    """Polarizability −∂²E/∂F_a∂F_b, (3, 3) e²Å²/eV."""
    return response(potential, structure)[0]


def born_charges(potential: Potential, structure: Structure) -> Tensor:
    """Born effective charges ∂(force_i,b)/∂F_a, (n_atoms, 3, 3) e, [atom, field, force]."""
    return response(potential, structure)[1]
