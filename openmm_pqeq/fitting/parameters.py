"""Which PQEq parameters a fit may change, and how far.

A fit moves u = log p of hardness, core charge, radius and spring constant, which are positive, and
u = χ/(1 eV) of the electronegativity, within bounds. Units of the tables: eV, eV, e, Å,
kcal/mol/Å². An element without a shell keeps its core charge and spring constant.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from openmm_pqeq.fitting.response import Place
from openmm_pqeq.jobs import phrases
from openmm_pqeq.jobs.phrases import Interval, Selection
from openmm_pqeq.pqeq.coulomb.kernels import gaussian_self_energy
from openmm_pqeq.pqeq.derivatives.adjoint import PARAMETERS
from openmm_pqeq.pqeq.parameters import ElementParameters, Parameters
from openmm_pqeq.structure import ATOMIC_NUMBERS
from openmm_pqeq.units import KCAL_PER_MOL_PER_EV

Limits = tuple[float, float]

FACTORS: dict[str, Limits] = {
    "hardness": (0.5, 4.0),
    "core_charge": (0.2, 8.0),
    "radius": (0.5, 2.0),
    "spring_constant": (0.02, 50.0),
}
"""Default bounds, as factors of the starting value."""
ELECTRONEGATIVITY_RANGE = 12.0
"""eV, default bound of the change of an electronegativity."""


class Free(NamedTuple):
    """A parameter to be fitted: starting value and bounds in the units of the tables."""

    element: str
    name: str
    start: float
    low: float
    high: float

    @property
    def place(self) -> Place:
        """Where PQEq keeps it."""
        return Place(self.name, ATOMIC_NUMBERS[self.element])

    @property
    def logarithmic(self) -> bool:
        """Whether the fit moves its logarithm."""
        return self.name != "electronegativity"

    def __str__(self) -> str:
        return f"{self.element} {self.name}"


def free_parameters(
    start: Parameters, elements: Sequence[str], fit: Sequence[str] = (), bounds: Sequence[str] = ()
) -> list[Free]:
    """The parameters to fit.

    Parameters
    ----------
    start : parameters of at least `elements`
    elements : symbols of the data
    fit : such as "Ba:radius,spring_constant", "Ti:all", "radius" (of every element); nothing: all
        of every element
    bounds : such as "radius=0.4:1.6", "Ti:spring_constant=100:5000", or as factors of the start,
        "hardness=x0.8:x1.5"
    """
    if missing := [symbol for symbol in elements if symbol not in start]:
        raise ValueError(
            f"parameters: expected every element of the data, got none for {', '.join(missing)}"
        )
    chosen: set[tuple[str, str]] = set()
    for text in fit or ["all"]:
        chosen |= _chosen(phrases.selection("fit", text), start, elements)
    limits: dict[tuple[str, str], Interval] = {}
    for text in bounds:
        selection, interval = phrases.bounds("bounds", text)
        for key in _chosen(selection, start, elements):
            limits[key] = interval
    order = [
        (symbol, name) for symbol in elements for name in PARAMETERS if (symbol, name) in chosen
    ]
    return [
        _free(start[symbol], symbol, name, limits.get((symbol, name))) for symbol, name in order
    ]


def _chosen(
    selection: Selection, start: Parameters, elements: Sequence[str]
) -> set[tuple[str, str]]:
    symbols = [selection.element] if selection.element else list(elements)
    for symbol in symbols:
        if symbol not in elements:
            raise ValueError(
                f"fit, bounds: expected elements of the data ({', '.join(elements)}), got "
                f"{symbol!r}"
            )
    wanted: set[tuple[str, str]] = set()
    for name in selection.names:
        if name != "all" and name not in PARAMETERS:
            raise ValueError(
                f"fit, bounds: expected 'all' or names among {', '.join(PARAMETERS)}, got {name!r}"
            )
        for symbol in symbols:
            shell = start[symbol].spring_constant > 0.0
            if name == "all":
                wanted |= {
                    (symbol, one)
                    for one in PARAMETERS
                    if shell or one not in ("core_charge", "spring_constant")
                }
            elif shell or name not in ("core_charge", "spring_constant"):
                wanted.add((symbol, name))
            elif selection.element:
                raise ValueError(
                    f"fit, bounds: {symbol} has no shell, so no {name}; start from parameters "
                    "with one"
                )
    return wanted


def _free(own: ElementParameters, symbol: str, name: str, interval: Interval | None) -> Free:
    value = float(getattr(own, name))
    if interval is not None:
        low, high = interval.low, interval.high
        if interval.factors:
            low, high = sorted((low * value, high * value))
    elif name == "electronegativity":
        low, high = value - ELECTRONEGATIVITY_RANGE, value + ELECTRONEGATIVITY_RANGE
    else:
        low, high = FACTORS[name][0] * value, FACTORS[name][1] * value
    if not low < high or (name != "electronegativity" and low <= 0.0):
        raise ValueError(
            "bounds: expected LOW < HIGH, positive but for the electronegativity; got "
            f"{low:g}:{high:g} for {symbol} {name}"
        )
    if not low <= value <= high:
        raise ValueError(
            f"bounds: {symbol} {name} starts at {value:g}, outside {low:g}:{high:g}; widen the "
            "bounds"
        )
    return Free(symbol, name, value, low, high)


def to_fit(free: Sequence[Free], values: Sequence[float]) -> np.ndarray:
    """u of the fit from values in the units of the tables."""
    return np.array(
        [math.log(value) if item.logarithmic else value for item, value in zip(free, values)]
    )


def from_fit(free: Sequence[Free], u: np.ndarray) -> np.ndarray:
    """Values in the units of the tables from u."""
    return np.array(
        [math.exp(value) if item.logarithmic else value for item, value in zip(free, u)]
    )


def slopes_in_fit(free: Sequence[Free], u: np.ndarray) -> np.ndarray:
    """dp/du, p in the units of PQEq's buffers (eV, eV, e, Å, eV/Å²)."""
    return np.where([item.logarithmic for item in free], from_fit(free, u) * inside(free), 1.0)


def inside(free: Sequence[Free]) -> np.ndarray:
    """Factors from the units of the tables to those of PQEq's buffers."""
    return np.array(
        [1.0 / KCAL_PER_MOL_PER_EV if item.name == "spring_constant" else 1.0 for item in free]
    )


def with_values(start: Parameters, free: Sequence[Free], values: Sequence[float]) -> Parameters:
    """`start` with fitted values."""
    changed = dict(start)
    for item, value in zip(free, values):
        changed[item.element] = changed[item.element]._replace(**{item.name: float(value)})
    return changed


def hardness_margins(
    parameters: Mapping[str, ElementParameters], elements: Sequence[str]
) -> dict[str, float]:
    """η − 2k_e γ_ii/√π of each element, eV: positive where an atom's hardness exceeds the
    self-energy of its Gaussian."""
    chosen = [parameters[symbol] for symbol in elements]
    hardness = torch.tensor([p.hardness for p in chosen], dtype=torch.float64)
    radius = torch.tensor([p.radius for p in chosen], dtype=torch.float64)
    return dict(zip(elements, (hardness - gaussian_self_energy(radius)).tolist()))
