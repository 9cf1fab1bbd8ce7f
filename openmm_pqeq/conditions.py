"""What a potential's atoms are under: total charge, field, coupling, fragments, electrodes and
periodic directions.

    Wanted (as somebody asked)  --settled with what is Known of the atoms-->  Conditions

Every door makes a `Wanted`: create_force and create_system, PQEqCalculator, openmm-ml, `run` and
`energy`. It converts units, says what it knows of the atoms, and leaves the laws to `checked` and
`settled`, so that each refusal has one reason and the same words everywhere. e, V, V/Å, Å; all
raise ValueError that names the argument.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from openmm_pqeq.charge_groups import groups_wanted
from openmm_pqeq.jobs.values import one_of
from openmm_pqeq.potential import Potential
from openmm_pqeq.pqeq import (
    BONDS,
    COUPLINGS,
    FieldEnergy,
    Groups,
    along_periodic,
    has_meaning_along_periods,
)
from openmm_pqeq.reference_charges.given import reference_charges_of
from openmm_pqeq.slabs import warn_of_free_flow
from openmm_pqeq.wanted import (
    Directions,
    Known,
    Vector,
    Wanted,
    charge_of,
    directions_of,
    field_of,
    plain,
)

MANY_FOR_EWALD = 300
"""Atoms. `pme` takes half as long as `ewald` at 135 atoms and a fiftieth at 1,080
(docs/performance.md)."""

FREE = "shell"
"""The coupling of charges that flow freely, where none is asked for."""


class Conditions(NamedTuple):
    """Conditions of one structure, checked.

    total_charge : e
    field : (3,) V/Å
    coupling : "shell", "full" or "fragment"
    groups : atoms that share their charge; None: all do
    periodic : which lattice vectors are periodic
    reference_charges : e, one for each atom, of charges by bonds; None: charges flow freely, or
        nothing is solved and none could be guessed
    """

    total_charge: float
    field: Vector
    coupling: str
    groups: Groups | None
    periodic: Directions
    reference_charges: tuple[float, ...] | None = None


def checked(wanted: Wanted, potential: Potential) -> Wanted:
    """`Wanted` in plain numbers and tuples, field and coupling filled in; refused is what cannot be
    whatever the atoms are."""
    wanted = wanted._replace(
        fragments=plain(wanted.fragments),
        fragment_charges=plain(wanted.fragment_charges),
        electrodes=plain(wanted.electrodes),
        reference_charges=plain(wanted.reference_charges),
    )
    charge = None if wanted.total_charge is None else charge_of(wanted.total_charge)
    field = field_of((0.0, 0.0, 0.0) if wanted.field is None else wanted.field)
    if by_bonds(potential):
        _refuse_with_bonds(wanted)
        return wanted._replace(total_charge=charge, field=field)
    coupling = one_of("coupling", FREE if wanted.coupling is None else wanted.coupling, COUPLINGS)
    if potential.pqeq is None:
        _refuse_without_charges(wanted._replace(total_charge=charge, field=field))
    elif wanted.reference_charges is not None:
        raise ValueError(
            "reference_charges: the charges of this potential flow freely and start from none, got "
            f"{wanted.reference_charges!r}; leave them out, or build it with charge_flow='bonds'"
        )
    if coupling != "fragment":
        for name in ("fragments", "fragment_charges"):
            if (value := getattr(wanted, name)) is not None:
                raise ValueError(
                    f'{name}: expected None with coupling="{coupling}", got {value!r}; '
                    'coupling="fragment" takes them'
                )
    return wanted._replace(total_charge=charge, field=field, coupling=coupling)


def settled(wanted: Wanted, potential: Potential, known: Known) -> Conditions:
    """The conditions of the atoms at hand."""
    wanted = checked(wanted, potential)
    periodic, field = directions_of(wanted.periodic, known), field_of(wanted.field)
    coupling = BONDS if wanted.coupling is None else wanted.coupling
    if potential.pqeq is None:
        return Conditions(0.0, field, coupling, None, periodic)
    potential.pqeq.check_periodicity(torch.tensor(periodic))
    if not has_meaning_along_periods(coupling):
        _refuse_along_periods(
            f'coupling="{coupling}" moves charge along the field, which has no meaning along a '
            "periodic direction",
            'Use coupling="shell", a field along a direction that is not periodic, or',
            (field, known.cell, periodic),
        )
    warn_of_free_flow(coupling, field, known.cell, periodic)
    _warn_of_quadratic_sums(potential, periodic, known.n_atoms)
    said = known.total_charge if wanted.total_charge is None else wanted.total_charge
    charge = 0.0 if said is None else float(said)
    groups = groups_wanted(wanted, known, charge)
    reference: tuple[float, ...] | None = None
    if coupling == BONDS:
        reference = _reference_charges(wanted, potential, known, groups, charge, periodic)
        if groups is not None:
            _refuse_along_periods(
                "electrodes share their charge through the source that holds their voltages, and "
                "metals within themselves and their images; a field along a periodic direction would "
                "drive it round for ever",
                "Set that component to zero, or",
                (field, known.cell, periodic),
            )
    if charge and potential.gnn is not None and isinstance(potential.pqeq, FieldEnergy):
        warnings.warn(
            f"total_charge: the network of this potential knows none; {charge:g} e changes the "
            "charges and the answer to a field, and not the energy without one",
            stacklevel=2,
        )
    return Conditions(charge, field, coupling, groups, periodic, reference)


def by_bonds(potential: Potential) -> bool:
    """Whether a potential has charges that flow along bonds, from reference charges."""
    return potential.pqeq is not None and potential.pqeq.charge_flow == "bonds"


def needs_reference_charges(potential: Potential) -> bool:
    """Whether its energy without a field and voltages needs them."""
    return by_bonds(potential) and not isinstance(potential.pqeq, FieldEnergy)


def own_reference_charges(potential: Potential) -> dict[str, float]:
    """Those that a potential with charges by bonds was made with, e by element; empty where it
    leaves them to each structure."""
    return dict(potential.config.get("pqeq", {}).get("reference_charges") or {})


def _refuse_with_bonds(wanted: Wanted) -> None:
    if wanted.coupling is not None:
        raise ValueError(
            "coupling: charges by bonds see the field in one way of their own, got "
            f"{wanted.coupling!r}; leave it out"
        )
    if wanted.fragment_charges is not None and wanted.fragments is None:
        raise ValueError(
            "fragment_charges: charges by bonds keep the charge of what is not bonded by themselves, "
            f"got {wanted.fragment_charges!r}; leave it out and give reference_charges, or give "
            "fragments, the atoms of each metal that floats"
        )


def _reference_charges(
    wanted: Wanted,
    potential: Potential,
    known: Known,
    groups: Groups | None,
    total_charge: float,
    periodic: Directions,
) -> tuple[float, ...] | None:
    """Of every atom, zero in metals, whose charges are those of their groups; electrodes take what is
    left of the total charge."""
    held = set() if groups is None else set(torch.nonzero(groups.metal).ravel().tolist())
    rest = [atom for atom in range(known.n_atoms) if atom not in held]
    left: float | None = total_charge
    if groups is not None:
        left = None if wanted.electrodes or not rest else float(groups.charge[0])
    given, own = wanted.reference_charges, own_reference_charges(potential)
    if held and given is not None and not isinstance(given, Mapping | str):
        given = [charge for atom, charge in enumerate(given) if atom not in held]
    elements = [known.elements[atom] for atom in rest]
    residues = [known.residues[atom] for atom in rest] if known.residues else []
    counted = known.like_bonds
    bonds = None if counted is None else partial(_of, partial(counted, periodic), rest)
    at_rest = isinstance(potential.pqeq, FieldEnergy) and not (
        any(wanted.field or ()) or wanted.electrodes
    )
    try:
        found = reference_charges_of(given, elements, residues, left, own, bonds)
    except ValueError:
        if given is None and at_rest and not known.charges_wanted:
            return None
        raise
    charges = dict(zip(rest, found))
    return tuple(charges.get(atom, 0.0) for atom in range(known.n_atoms))


def _of(counted: Callable[[], Sequence[float]], atoms: list[int]) -> list[float]:
    """What is counted, of these atoms."""
    values = counted()
    return [values[atom] for atom in atoms]


def _refuse_along_periods(
    why: str, instead: str, of: tuple[Vector, np.ndarray | None, Directions]
) -> None:
    """Where charge would flow along a periodic direction for ever; field, cell and directions."""
    field, cell, periodic = of
    if cell is None or not any(periodic):
        return
    vectors = torch.tensor(cell, dtype=torch.float64)
    if along_periodic(torch.tensor(field, dtype=torch.float64), vectors, torch.tensor(periodic)):
        raise ValueError(
            f"field: {why}; got field={field} with periodic={periodic}. {instead} say which "
            "directions are periodic"
        )


def _warn_of_quadratic_sums(potential: Potential, periodic: Directions, n_atoms: int) -> None:
    """Where charges of many atoms would be solved by a sum over all waves for every atom."""
    quadratic = potential.pqeq is not None and potential.pqeq.protocol == "ewald" and any(periodic)
    if quadratic and n_atoms > MANY_FOR_EWALD:
        warnings.warn(
            f"protocol 'ewald' takes time with the square of the number of atoms, here {n_atoms}; "
            "'pme' gives the same charges and forces to the tolerance and is faster from a "
            "hundred atoms on: load(..., protocol='pme'), or --protocol pme",
            stacklevel=2,
        )


def _refuse_without_charges(wanted: Wanted) -> None:
    """Without PQEq nothing answers to what is about charges."""
    names = ("total_charge", "field", "fragments", "fragment_charges", "electrodes")
    for name in (*names, "reference_charges"):
        value = getattr(wanted, name)
        unasked = value is None or (name in ("total_charge", "field") and not np.any(value))
        if not unasked:
            raise ValueError(
                f"{name}: this potential has no charges (no PQEq term) that could answer to "
                f"{value!r}; leave it out"
            )
