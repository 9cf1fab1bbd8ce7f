"""Oxidation states of a composition: the reference charges of its atoms, where nobody gives them.

Every element of a composition takes one of its common states, or one of them a mean of two
neighbouring ones (iron in Fe3O4, nitrogen of azides), such that they add up to the total charge. Of
the choices that do, the one with the least penalty:

    Σ places in `STATES`  +  3.5 for a mean  +  8 for each pair that exchanges electrons the wrong way
    +  3 Σ electrons that an anion lacks/its place after F in `ELECTRONEGATIVE`, that of F being 1

Where none adds up, one element takes what the others leave (nickel in ScNiP). An element alone is a
metal, or neutral.

Where the bonds between like atoms are known (`like_bonds`), an atom with b of them has by the octet
rule −v + b as an anion of valence v (O²⁻ and O₂²⁻, S⁻–S⁰–S⁻, N⁻=N⁺=N⁻), or its highest state less b
(P⁴⁺ in P₂S₆⁴⁻). For elements that have some, instead of the last term,

    + 6 Σ |state − ⟨−v + b⟩|,     and     Q⁰_i = state + b_i − ⟨b⟩ of anions,

so that unlike sites of an element have charges of their own, whose sum is that of their states.

States are those of textbooks (Greenwood and Earnshaw, Chemistry of the Elements, 2nd ed., 1997). A
composition does not say everything: intermetallic compounds and charge order need to be given. e.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

# fmt: off
STATES: dict[str, tuple[int, ...]] = {
    "H": (1, -1), "He": (0,),
    "Li": (1,), "Be": (2,), "B": (3, -3), "C": (4, -4, 2, -2, 3, -1, 0), "N": (-3, 5, 3, -1, -2, 1, 4, 2),
    "O": (-2, -1), "F": (-1,), "Ne": (0,),
    "Na": (1,), "Mg": (2,), "Al": (3,), "Si": (4, -4, 2, 3), "P": (5, -3, 3, 4, -1, -2, 1), "S": (-2, 6, -1, 4, 2, 5, 3),
    "Cl": (-1, 5, 7, 3, 1), "Ar": (0,),
    "K": (1,), "Ca": (2,), "Sc": (3,), "Ti": (4, 3, 2), "V": (5, 4, 3, 2), "Cr": (3, 6, 2, 5, 4),
    "Mn": (2, 3, 4, 7, 6, 5), "Fe": (3, 2, 4, 6), "Co": (2, 3, 4, 1), "Ni": (2, 3, 4, 1), "Cu": (1, 2, 3),
    "Zn": (2,), "Ga": (3, 1, 2), "Ge": (4, 2, -4, 3), "As": (5, 3, -3, -1, -2, 2), "Se": (-2, 4, -1, 6, 2),
    "Br": (-1, 5, 7, 1, 3), "Kr": (0, 2),
    "Rb": (1,), "Sr": (2,), "Y": (3,), "Zr": (4, 2, 3), "Nb": (5, 4, 3, 2), "Mo": (6, 4, 5, 3, 2), "Tc": (7, 4, 6),
    "Ru": (4, 3, 5, 2, 6, 8), "Rh": (3, 4, 1, 2), "Pd": (2, 4), "Ag": (1, 2, 3), "Cd": (2,), "In": (3, 1, 2),
    "Sn": (4, 2, -4), "Sb": (3, 5, -3, -1, -2), "Te": (-2, 4, -1, 6, 2), "I": (-1, 5, 7, 1, 3), "Xe": (0, 2, 6, 4, 8),
    "Cs": (1,), "Ba": (2,), "La": (3,), "Ce": (3, 4), "Pr": (3, 4), "Nd": (3,), "Pm": (3,), "Sm": (3, 2),
    "Eu": (2, 3), "Gd": (3,), "Tb": (3, 4), "Dy": (3,), "Ho": (3,), "Er": (3,), "Tm": (3, 2), "Yb": (3, 2),
    "Lu": (3,), "Hf": (4, 3, 2), "Ta": (5, 4, 3, 2), "W": (6, 4, 5, 3, 2), "Re": (7, 6, 4, 5, 3), "Os": (4, 8, 6, 5, 7, 2),
    "Ir": (4, 3, 5, 6, 1), "Pt": (4, 2, -2, 6), "Au": (1, 3, -1), "Hg": (2, 1), "Tl": (1, 3), "Pb": (2, 4, -4),
    "Bi": (3, -3, 5, -1, -2, 1), "Po": (4, -2, 2), "At": (-1, 1), "Rn": (0,),
    "Fr": (1,), "Ra": (2,), "Ac": (3,), "Th": (4, 3), "Pa": (5, 4), "U": (6, 4, 5, 3), "Np": (4, 5, 6, 3), "Pu": (4, 3, 5, 6),
    "Am": (3, 4), "Cm": (3, 4), "Bk": (3, 4), "Cf": (3,), "Es": (3,), "Fm": (3,), "Md": (3,), "No": (2, 3), "Lr": (3,),
}
"""e, of each element, the most common first."""

ELECTRONEGATIVE = (
    "F", "O", "Cl", "N", "Br", "I", "S", "Se", "C", "Te", "As", "P", "H", "B", "Sb", "Bi", "Ge", "Si", "Sn", "Pb",
)
"""Elements that can be anions, by how much they want electrons: of two of them only the later one
gives to the other."""
# fmt: on

MEAN_PENALTY = 3.5
"""Places that a state between two common ones counts more."""
FARTHEST_REST = 2.0
"""e, how far from its states, and from none, an element that takes what is left may be."""
REVERSED_PENALTY = 8.0
"""Places for a positive element beside a negative one that wants electrons less."""

LACKING_PENALTY = 3.0
"""Places for an electron that an anion has less than it may, divided by its place after fluorine among
the electronegative elements: peroxides are rarer than oxides of rare states."""

OCTET = ("F", "Cl", "Br", "I", "O", "S", "Se", "Te", "N", "P", "As", "Sb", "Si", "Ge")
"""Elements whose bonds to their like, as anions, are single pairs of electrons or known double ones."""
CATENATING = ("C", *OCTET)
"""Elements whose cations may be bonded to their like and share a charge, down to none."""
OCTET_AS_CATION = ("S", "Se", "P", "As", "Si", "Ge")
"""Those of which that is true as cations, too: elsewhere they are neighbours in an oxide."""
BONDS_PENALTY = 6.0
"""Places for an electron that an atom has more or less than its bonds to its like say."""
NO_BONDS: Mapping[str, float] = {}
MOST_OF_SITE = 1.0
"""e, of an atom of an anion, such as the middle one of an azide."""


class Choice(NamedTuple):
    """States by element (e), and what orders them: how far they are from the most common ones; how
    far along the lists of their elements, since a rare state of an element that has many is likelier
    than one of an element that has few."""

    states: dict[str, float]
    penalty: float
    along: float = 0.0


def oxidation_states(
    elements: Sequence[str],
    total_charge: float = 0.0,
    like_bonds: Sequence[float] | None = None,
) -> list[float]:
    """One oxidation state (e) for each atom, that add up to the total charge (e).

    like_bonds : orders of each atom's bonds to atoms of its own element, added up; None: unknown

    Raises ValueError, with the candidates, where no choice does or two are equally common.
    """
    counts = Counter(elements)
    if unknown := sorted(set(counts) - set(STATES)):
        raise ValueError(
            f"reference_charges: no oxidation states are known for {', '.join(unknown)}; give "
            "reference charges"
        )
    if len(counts) == 1:
        return [total_charge / len(elements)] * len(elements)
    mean_bonds = _means(elements, like_bonds or [0.0] * len(elements))
    found = sorted(choices(counts, total_charge, mean_bonds), key=lambda one: one[1:])
    formula = "".join(f"{e}{n if n > 1 else ''}" for e, n in counts.items())
    if not found:
        states = "; ".join(f"{e}: {', '.join(f'{s:+d}' for s in STATES[e])}" for e in counts)
        raise ValueError(
            f"reference_charges: no common oxidation states of {formula} add up to {total_charge:g} "
            f"e ({states}); give reference_charges by element, residue or atom, or the total charge"
        )
    if len(found) > 1 and found[1][1:] == found[0][1:]:
        shown = " or ".join(_in_words(choice) for choice in found[:3])
        raise ValueError(
            f"reference_charges: for {formula} {shown} are equally common; give one of them as "
            "reference_charges"
        )
    best = found[0].states
    charges = [best[element] for element in elements]
    return _by_site(elements, charges, like_bonds, mean_bonds) if like_bonds else charges


def _means(elements: Sequence[str], bonds: Sequence[float]) -> dict[str, float]:
    """Mean of the bonds of each element's atoms to their like, of those elements that have some; none
    where an atom has more than pairs of electrons can make."""
    of: dict[str, list[float]] = {}
    for element, count in zip(elements, bonds):
        of.setdefault(element, []).append(count)
    return {
        element: sum(some) / len(some)
        for element, some in of.items()
        if element in OCTET and 0 < max(some) <= -min(STATES[element]) + MOST_OF_SITE
    }


def _by_site(
    elements: Sequence[str],
    charges: Sequence[float],
    bonds: Sequence[float],
    mean_bonds: dict[str, float],
) -> list[float]:
    """Charges of sites: an anion's state, more where it has more bonds to its like than others. An
    element of which an atom would leave −v to `MOST_OF_SITE` keeps its mean."""
    found = list(charges)
    for element, mean in mean_bonds.items():
        sites = {
            atom: charges[atom] + bonds[atom] - mean
            for atom, e in enumerate(elements)
            if e == element and charges[atom] <= 0
        }
        within = (min(STATES[element]) - 1e-6, MOST_OF_SITE + 1e-6)
        if sites and min(sites.values()) >= within[0] and max(sites.values()) <= within[1]:
            for atom, charge in sites.items():
                found[atom] = charge
    return found


def _in_words(choice: Choice) -> str:
    return "{" + ", ".join(f"{e!r}: {s:g}" for e, s in choice.states.items()) + "}"


def choices(
    counts: Counter[str], total_charge: float, mean_bonds: Mapping[str, float] = NO_BONDS
) -> list[Choice]:
    """All choices that add up, of one state for each element, or of a mean of its states for one of
    them; mean_bonds : the mean of its atoms' bonds to their like, by element, where it is known."""
    found: list[Choice] = []
    _extend(found, list(counts.items()), {}, total_charge, 0.0)
    for element, n in counts.items():
        others = [(e, m) for e, m in counts.items() if e != element]
        for target in {round(n * s) for s in _between(element, n)}:
            if target % n or target // n not in STATES[element]:
                _extend(found, others, {}, total_charge - target, 0.0, 0.0, element, target / n)
    found = found or _rests(counts, total_charge)
    return [_with_order(choice, mean_bonds) for choice in found]


def _rests(counts: Counter[str], total_charge: float) -> list[Choice]:
    """All elements but one in their most common state, and anions in their lowest; that one, which is
    not the most electronegative, takes what is left, as transition metals do in intermetallic compounds (Sc³⁺Ni⁰P³⁻)."""
    rank = {e: ELECTRONEGATIVE.index(e) if e in ELECTRONEGATIVE else 99 for e in counts}
    anion = min(counts, key=lambda e: rank[e])
    if anion not in ELECTRONEGATIVE:  # an alloy
        return []
    found = []
    for element, n in counts.items():
        if element != anion:
            states = {e: float(STATES[e][0]) for e in counts if e not in (element, anion)}
            states[anion] = float(min(STATES[anion]))
            rest = total_charge - sum(counts[e] * state for e, state in states.items())
            away = min(abs(rest / n - state) for state in (0, *STATES[element]))
            if away <= FARTHEST_REST:
                penalty = away - 0.01 * len(STATES[element])
                found.append(Choice({**states, element: rest / n}, penalty))
    return found


def _between(element: str, n: int) -> list[float]:
    """Means of n atoms that have two neighbouring states of one sign; atoms of an anion that are
    bonded to each other share its charge, down to none (S₃²⁻, N₃⁻, rings of Se, C₂H₆), and so do those
    of `CATENATING` as cations (Te₃Cl₂, C₂H₂O₂). Hydrogen has one bond, and none of these."""
    if element == "H":
        return []
    states = set(STATES[element])
    if element in ELECTRONEGATIVE:
        states |= set(range(min(states), 1)) if min(states) < 0 else set()
    return [
        low + k * (high - low) / n
        for low, high in pairwise(sorted(states))
        for k in range(n + 1)
        if (low > 0 or high <= 0 or (low == 0 and element in CATENATING)) and high - low <= 2
    ]


def _extend(
    found: list[Choice],
    left: list[tuple[str, int]],
    states: dict[str, float],
    target: float,
    penalty: float,
    along: float = 0.0,
    mean_of: str = "",
    mean: float = 0.0,
) -> None:
    if not left:
        if abs(target) < 1e-6:
            complete = {**states, mean_of: mean} if mean_of else states
            found.append(Choice(complete, penalty + (MEAN_PENALTY if mean_of else 0.0), along))
        return
    least = sum(n * min(STATES[e]) for e, n in left)
    most = sum(n * max(STATES[e]) for e, n in left)
    if not least - 1e-6 <= target <= most + 1e-6:
        return
    (element, n), rest = left[0], left[1:]
    for place, state in enumerate(STATES[element]):
        taken = {**states, element: float(state)}
        moved = along + place / len(STATES[element])
        left_over = target - n * state
        _extend(found, rest, taken, left_over, penalty + place, moved, mean_of, mean)


def _with_order(choice: Choice, mean_bonds: Mapping[str, float]) -> Choice:
    """With a penalty for each pair of elements that exchange electrons the wrong way, and for
    electrons that anions lack: all of them, or those that no bond to their like explains."""
    wrong = 0
    for giver, positive in choice.states.items():
        for taker, negative in choice.states.items():
            if positive > 0 > negative and giver in ELECTRONEGATIVE:
                later = taker not in ELECTRONEGATIVE or (
                    ELECTRONEGATIVE.index(taker) > ELECTRONEGATIVE.index(giver)
                )
                wrong += later
    lacking = sum(_lacking(e, state, mean_bonds.get(e)) for e, state in choice.states.items())
    penalty = choice.penalty + REVERSED_PENALTY * wrong + lacking
    return Choice(choice.states, round(penalty, 6), round(choice.along, 6))


def _lacking(element: str, state: float, bonds: float | None) -> float:
    """The penalty for electrons that an anion has less than it may, or an atom other than its bonds to
    its like say."""
    if bonds is not None and (state <= 0 or element in OCTET_AS_CATION):
        expected = bonds + min(STATES[element]) if state <= 0 else max(STATES[element]) - bonds
        return BONDS_PENALTY * abs(state - expected)
    if element not in ELECTRONEGATIVE or state > 0:
        return 0.0
    return LACKING_PENALTY * (state - min(STATES[element])) / max(1, ELECTRONEGATIVE.index(element))
