"""What an analysis leaves: values with errors and units on the screen, and the same with the curves
in NAME.json and NAME.png."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from openmm_pqeq.jobs.files import whole, write_text
from openmm_pqeq.report.numbers import with_error

if TYPE_CHECKING:  # every command imports this file, and few draw
    from matplotlib.figure import Figure


class Value(NamedTuple):
    """A number, its standard error (None or NaN: there is none) and its unit ("" for none)."""

    value: float
    error: float | None
    unit: str

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        if self.error is None or not math.isfinite(self.error):
            return f"{self.value:.6g}{unit}"
        return f"{with_error(self.value, self.error)}{unit}"


class Outcome(NamedTuple):
    """What an analysis has found.

    settings : what it was told or found out, for the file
    results : by name
    columns : curves by name and unit, such as "r (Å)"
    figure : a picture of it
    """

    settings: Mapping[str, Any]
    results: Mapping[str, Value]
    columns: Mapping[str, ArrayLike]
    figure: "Figure"


def write_outcome(folder: Path, name: str, outcome: Outcome) -> None:
    """Print the results, and write NAME.json and NAME.png."""
    settings, results, columns, figure = outcome
    width = max((len(key) for key in results), default=0)
    for key, result in results.items():
        print(f"  {key:<{width}}  {result}")
    described = {
        "analysis": name,
        "settings": {key: _plain(each) for key, each in settings.items()},
        "results": {
            key: {key_: _plain(each) for key_, each in result._asdict().items()}
            for key, result in results.items()
        },
        "columns": {key: _plain(np.asarray(each)) for key, each in columns.items()},
    }
    path = folder / f"{name}.json"
    write_text(path, json.dumps(described, ensure_ascii=False, allow_nan=False, indent=1) + "\n")
    picture = folder / f"{name}.png"
    with whole(picture) as part:
        figure.savefig(part, format="png")
    print(f"results {path}, plot {picture}")


def _plain(value: Any) -> Any:
    """A value as JSON has it: lists for arrays, null for what is not finite."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return float(f"{value:.8g}") if math.isfinite(value) else None
    return value
