"""The loop of polarization against an alternating field.

    remanent polarization   P where F = 0, after the field was positive (+) and after it was negative (−)
    coercive field          F where P = 0, on the way up (+) and on the way down (−)
    loss                    w = ∮ F dP by cycle (eV/Å³ of e/Å² and V/Å)

The loop is cut where the field turns; each branch gives one of each, and the spread over the
branches the errors. P is counted from the middle between the two remanent polarizations where it is
a change since the start, as in a run's table. A branch with several zeros (a noisy one) gives their
mean. Units: V/Å, e/Å², eV/Å³.
"""

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class Loop(NamedTuple):
    """Means over branches with standard errors (NaN where there is one branch of a kind).

    remanent, remanent_error : e/Å², half of the opening of the loop at F = 0
    coercive, coercive_error : V/Å, half of its width at P = 0
    bias : V/Å, the middle of the two coercive fields
    loss, loss_error : eV/Å³ by cycle
    polarization : (n,) e/Å², counted from the middle
    branches : how many counted
    """

    remanent: float
    remanent_error: float
    coercive: float
    coercive_error: float
    bias: float
    loss: float
    loss_error: float
    polarization: Array
    branches: int


def hysteresis(field: ArrayLike, polarization: ArrayLike, centered: bool = True) -> Loop:
    """Evaluate a loop.

    Parameters
    ----------
    field : (n,) V/Å along the axis, in the order of time, going back and forth through zero
    polarization : (n,) e/Å² along the same axis
    centered : whether P is to be counted from the middle between the remanent polarizations

    Raises ValueError where the field does not go up and down through zero at least once each, or the
    polarization does not change its sign.
    """
    strength, p = (np.asarray(each, dtype=float) for each in (field, polarization))
    if strength.ndim != 1 or strength.shape != p.shape or len(p) < 8:
        raise ValueError(
            "field, polarization: expected two series of one length, at least 8, got shapes "
            f"{strength.shape} and {p.shape}"
        )
    branches = _branches(strength)
    remanent = _crossings(branches, strength, p)
    if not remanent[True] or not remanent[False]:
        raise ValueError(
            "field: expected a field that goes up and down through zero, at least once each; "
            f"got one from {strength.min():g} to {strength.max():g} V/Å"
        )
    if centered:
        p = p - 0.5 * (np.mean(remanent[True]) + np.mean(remanent[False]))
    coercive = _crossings(branches, p, strength)
    if not coercive[True] or not coercive[False]:
        raise ValueError(
            "polarization: it does not change its sign on the way up and down; the field is too "
            "weak or too fast to switch it"
        )
    half = [0.5 * (np.mean(each[False]) - np.mean(each[True])) for each in (remanent, coercive)]
    errors = [_error(each) for each in (remanent, coercive)]
    losses = _losses(strength, p, branches)
    return Loop(
        float(half[0]),
        errors[0],
        float(-half[1]),
        errors[1],
        float(0.5 * (np.mean(coercive[True]) + np.mean(coercive[False]))),
        float(np.mean(losses)) if losses else float("nan"),
        float(np.std(losses, ddof=1) / np.sqrt(len(losses))) if len(losses) > 1 else float("nan"),
        p,
        len(branches),
    )


def _branches(field: Array) -> list[tuple[slice, bool]]:
    """Parts of the series between turning points that pass through zero, and whether the field
    rises there."""
    signs = np.sign(field)
    signs[signs == 0] = 1
    ends = [0, *(np.flatnonzero(np.diff(signs)) + 1), len(field)]
    turns = []
    for begin, end in itertools.pairwise(ends):
        turns.append(begin + int(np.argmax(np.abs(field[begin:end]))))
    found = []
    for start, stop in itertools.pairwise(turns):
        if stop - start >= 2:
            found.append((slice(start, stop + 1), bool(field[stop] > field[start])))
    return found


def _crossings(
    branches: list[tuple[slice, bool]], zero: Array, value: Array
) -> dict[bool, list[float]]:
    """The value where another series is zero, on each branch where it is: of rising fields, and of
    falling ones."""
    found: dict[bool, list[float]] = {True: [], False: []}
    for part, rising in branches:
        place = _where(zero[part], value[part])
        if place is not None:
            found[rising].append(place)
    return found


def _where(zero: Array, value: Array) -> float | None:
    """The value where another series is zero, the mean of all places; None where it never is."""
    before, after = zero[:-1], zero[1:]
    places = np.flatnonzero((before * after < 0) | ((before == 0) & (after != 0)))
    if not len(places):
        return None
    share = before[places] / (before[places] - after[places])
    return float((value[places] + share * (value[places + 1] - value[places])).mean())


def _losses(field: Array, p: Array, branches: list[tuple[slice, bool]]) -> list[float]:
    """∮ F dP of each pair of consecutive branches."""
    work = [float(np.trapezoid(field[part], p[part])) for part, _ in branches]
    return [work[k] + work[k + 1] for k in range(0, len(work) - 1, 2)]


def _error(samples: dict[bool, list[float]]) -> float:
    """Standard error of half the difference of two means."""
    if min(len(each) for each in samples.values()) < 2:
        return float("nan")
    variance = sum(np.var(each, ddof=1) / len(each) for each in samples.values())
    return float(0.5 * np.sqrt(variance))
