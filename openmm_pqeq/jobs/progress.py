"""News of a job, one class for all: how far it is, how long it will take, what it measured last."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple


class Progress(NamedTuple):
    """News of a job.

    stage : such as "minimise", "equilibrate", "produce", "train", "fit"
    step, n_steps : of this stage, in its own unit; n_steps is 0 where nobody knows
    remaining : seconds to the end of the stage; 0 before they are known
    ns_per_day : speed of a simulation; 0 of other jobs, and before it is known
    row : what was measured last, by the names of the table's columns
    """

    stage: str
    step: int
    n_steps: int
    remaining: float = 0.0
    ns_per_day: float = 0.0
    row: Mapping[str, float] = MappingProxyType({})


Watch = Callable[[Progress], None]


def unwatched(news: Progress) -> None:
    """Nobody listens."""
