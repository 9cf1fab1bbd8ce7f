"""What a model is for, as its card says it to programs, and the warnings of those who go beyond.

    card["valid_for"] = {"elements": ["Ba", "O", "Ti"], "temperature": [0, 400], "cell": false,
                         "phases": "tetragonal BaTiO3"}

Every key may be missing: nothing is known of it then. Temperatures in K; `cell` says whether the
cell may be relaxed or put under a barostat; phases are for people.
"""

import warnings
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any, NamedTuple


class Limits(NamedTuple):
    """Of the model called `model`: elements, temperature (lowest, highest) K, whether its cell may
    change, and phases; all of them where nothing is known."""

    model: str = ""
    elements: tuple[str, ...] = ()
    temperature: tuple[float, float] | None = None
    cell: bool = True
    phases: str = ""

    def warn_of_cell(self, what: str) -> None:
        """Where something changes the cell of a model that is not for it."""
        if not self.cell:
            meant = f" (it is for {self.phases})" if self.phases else ""
            _warn(
                f"model {self.model}: its card says that it is not for cells that change{meant}, "
                f"and {what}; the cell and the pressure will mean little. Keep the cell, or take "
                "a model that has learnt from strained cells"
            )

    def warn_of_temperature(self, temperature: float) -> None:
        """Where a simulation is hotter or colder (K) than the model is for."""
        if self.temperature is not None:
            low, high = self.temperature
            if not low <= temperature <= high:
                _warn(
                    f"model {self.model}: its card says that it is for {low:g} to {high:g} K, and "
                    f"{temperature:g} K is wanted; take another model, or train it on such data"
                )

    def warn_of_elements(self, symbols: Iterable[str]) -> None:
        """Where there are elements that the model has not learnt from."""
        others = sorted(set(symbols) - set(self.elements)) if self.elements else []
        if others:
            _warn(
                f"model {self.model}: its card says that it is for {', '.join(self.elements)}, "
                f"and there is {', '.join(others)}; take another model"
            )


def limits_of(card: Mapping[str, Any], model: str) -> Limits:
    """The limits of a card; ValueError for what is none, naming the key."""
    table = card.get("valid_for", {})
    of = f"model {model}: card: valid_for"
    if not isinstance(table, Mapping):
        raise ValueError(f"{of}: expected a table, got {table!r}")
    if unknown := set(table) - {"elements", "temperature", "cell", "phases"}:
        raise ValueError(
            f"{of}: unknown key {sorted(map(str, unknown))[0]!r}; the keys are elements, "
            "temperature, cell, phases"
        )
    elements, temperature = table.get("elements", ()), table.get("temperature")
    cell, phases = table.get("cell", True), table.get("phases", "")
    if not isinstance(elements, list | tuple) or not all(isinstance(e, str) for e in elements):
        raise ValueError(f"{of}.elements: expected a list of symbols, got {elements!r}")
    if temperature is not None and not _is_range(temperature):
        raise ValueError(
            f"{of}.temperature: expected the lowest and the highest in K, got {temperature!r}"
        )
    if not isinstance(cell, bool):
        raise ValueError(f"{of}.cell: expected true or false, got {cell!r}")
    if not isinstance(phases, str):
        raise ValueError(f"{of}.phases: expected a text, got {phases!r}")
    bounds = None if temperature is None else (float(temperature[0]), float(temperature[1]))
    return Limits(model, tuple(elements), bounds, cell, phases)


def _is_range(value: Any) -> bool:
    numbers = isinstance(value, list | tuple) and all(
        isinstance(item, Real) and not isinstance(item, bool) for item in value
    )
    return numbers and len(value) == 2 and 0 <= value[0] <= value[1]


def _warn(message: str) -> None:
    """Once, as Python shows a text from one place once."""
    warnings.warn(message, stacklevel=2)
