"""Whose a row of PQEq parameters is: an element's, such as Cl, or that of an element with a reference
charge, such as Cl- or Cl5+."""

import re

from openmm_pqeq.structure import ATOMIC_NUMBERS

KIND = re.compile(r"([A-Z][a-z]?)(?:(0)|(\d*)([+-]))?")
LARGEST_CHARGE = 9
"""e, of a reference charge with parameters of its own."""


def split_kind(kind: str) -> tuple[str, int | None]:
    """Element and reference charge (e) of a key of `Parameters`; ValueError for anything else.

    >>> split_kind("Cl5+"), split_kind("S2-"), split_kind("Cl0"), split_kind("Ti")
    (('Cl', 5), ('S', -2), ('Cl', 0), ('Ti', None))
    """
    match = KIND.fullmatch(kind) if isinstance(kind, str) else None
    if match is None or match[1] not in ATOMIC_NUMBERS:
        raise ValueError(
            f"parameters: {kind!r} is not an element's symbol, or a symbol with a charge such as "
            "Cl- or S6+"
        )
    if match[2]:
        return match[1], 0
    if match[4] is None:
        return match[1], None
    charge = int(match[3] or 1) * (1 if match[4] == "+" else -1)
    if abs(charge) > LARGEST_CHARGE:
        raise ValueError(
            f"parameters: {kind!r}: expected a charge of at most {LARGEST_CHARGE} e, got {charge}"
        )
    return match[1], charge


def kind_name(element: str, charge: int) -> str:
    """The key of an element with a reference charge (e), such as Cl-, S6+, Cl0."""
    if charge == 0:
        return f"{element}0"
    count = "" if abs(charge) == 1 else str(abs(charge))
    return f"{element}{count}{'-' if charge < 0 else '+'}"
