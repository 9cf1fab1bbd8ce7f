"""Reference charges of atoms, as somebody gives them: by element, by residue, by atom, or as the
oxidation states of the composition.

    {"Na": 1, "Cl": -1}      elements
    {"NA": 1, "SO4": -2}     residues; within one of several atoms the potential's own charges, if they add up
                             to it, or oxidation states that do
    [1, 1, -1, -1]           atoms
    "oxidation", None        oxidation states that add up to the total charge, of sites where positions tell
                             which anions are bonded to their like; for None first the potential's own

Charges by bonds flow from them (pqeq/bonds.py). e.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from openmm_pqeq.jobs.values import is_finite
from openmm_pqeq.reference_charges.oxidation import oxidation_states

OXIDATION = "oxidation"
SAME_CHARGE = 1e-6
"""e; sums that differ by less are the same."""


def reference_charges_of(
    given: str | Mapping[str, float] | Sequence[float] | None,
    elements: Sequence[str],
    residues: Sequence[tuple[str, int]],
    total_charge: float | None,
    own: Mapping[str, float] | None = None,
    like_bonds: Callable[[], Sequence[float]] | None = None,
) -> list[float]:
    """One reference charge (e) for each atom.

    Parameters
    ----------
    given : as above
    elements : symbols of the atoms
    residues : name and number of each atom's residue; empty where there are none
    total_charge : e, what they have to add up to; None: whatever is given, or 0 for a guess, beside
        electrodes that take the rest
    own : e, by element, of the potential; they count for None, and within a residue whose charge they
        add up to, in the place of oxidation states
    like_bonds : counts the bonds of each atom to its like (like_bonds.py), which tell oxidation states
        of sites; None where no positions are known

    Raises ValueError where a charge is missing, a name is unknown, oxidation states cannot be
    guessed, or the sum is another.
    """
    whose, remedy = "they", "correct one"
    if given is None and own:
        whose, remedy = "the model's own", "give total_charge, or other reference_charges"
        given = {element: own[element] for element in set(elements) & set(own)}
    if given is None or given == OXIDATION:
        bonds = None if like_bonds is None else like_bonds()
        return oxidation_states(elements, total_charge or 0.0, bonds)
    if isinstance(given, Mapping):
        charges = _by_name(given, elements, residues, own or {})
    elif isinstance(given, str) or not isinstance(given, Iterable):
        raise ValueError(
            "reference_charges: expected a mapping such as {'Na': 1, 'Cl': -1}, one number (e) for "
            f"each atom, {OXIDATION!r} or None, got {given!r}"
        )
    else:
        charges = _by_atom(list(given), len(elements))
    if total_charge is not None and abs(sum(charges) - total_charge) > SAME_CHARGE:
        counts = ", ".join(
            f"{count} {element} with {charge:g}"
            for (element, charge), count in Counter(zip(elements, charges)).most_common(6)
        )
        raise ValueError(
            f"reference_charges: {whose} add up to {sum(charges):g} e ({counts}), and total_charge is "
            f"{total_charge:g} e; {remedy}"
        )
    return charges


def _by_atom(given: list[Any], n_atoms: int) -> list[float]:
    if len(given) != n_atoms or not all(map(is_finite, given)):
        raise ValueError(
            f"reference_charges: expected {n_atoms} finite numbers (e), one for each atom, got "
            f"{len(given)}: {given[:5]}{' ...' if len(given) > 5 else ''}"
        )
    return [float(charge) for charge in given]


def _by_name(
    given: Mapping[Any, Any],
    elements: Sequence[str],
    residues: Sequence[tuple[str, int]],
    own: Mapping[str, float],
) -> list[float]:
    names = {name for name, _ in residues}
    for name, charge in given.items():
        if name not in names and name not in elements:
            raise ValueError(
                f"reference_charges: no atom is of an element or residue {name!r}; there are "
                f"{', '.join(sorted({*elements, *names}))}"
            )
        if not is_finite(charge):
            raise ValueError(
                f"reference_charges[{name!r}]: expected a finite number (e), got {charge!r}"
            )
    charges: list[float | None] = [given.get(element) for element in elements]
    members: dict[tuple[str, int], list[int]] = {}
    for atom, residue in enumerate(residues):
        if residue[0] in given and residue[0] not in elements:
            members.setdefault(residue, []).append(atom)
    for (name, _), atoms in members.items():
        kinds = [elements[atom] for atom in atoms]
        for atom, charge in zip(atoms, _within(kinds, float(given[name]), own)):
            charges[atom] = charge
    missing = sorted({e for e, charge in zip(elements, charges) if charge is None})
    if missing:
        raise ValueError(
            f"reference_charges: none for {', '.join(missing)}; give one for every element, such as "
            f"{{{missing[0]!r}: 1}}"
        )
    return [float(charge or 0.0) for charge in charges]


def _within(elements: Sequence[str], total: float, own: Mapping[str, float]) -> list[float]:
    """Of the atoms of a residue of this charge (e): the potential's own, or oxidation states."""
    charges = [own.get(element) for element in elements]
    known = [charge for charge in charges if charge is not None]
    if len(known) == len(charges) and abs(sum(known) - total) < SAME_CHARGE:
        return known
    return oxidation_states(elements, total)
