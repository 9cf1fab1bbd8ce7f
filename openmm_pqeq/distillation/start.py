"""A model with fewer elements: what a student starts from knows those of its labels, and refuses all
others, whose weights would be left behind as the rest is trained."""

from collections.abc import Sequence
from typing import Any

import torch

from openmm_pqeq.potential import Potential, build

BY_SPECIES = ("scale", "shift")
"""Of a network's settings, what may be a list of one number for each species."""


def restricted_to(elements: Sequence[str], potential: Potential) -> Potential:
    """The same model for some of its elements, in its own order: equal numbers for structures of
    these.

    Raises ValueError where it has no network, or does not know an element.
    """
    gnn = potential.gnn
    if gnn is None:
        raise ValueError("student.start: expected a model with a network, got one without")
    if unknown := sorted(set(elements) - set(gnn.species)):
        raise ValueError(f"student.start: expected a model that knows {', '.join(unknown)}")
    rows = [row for row, symbol in enumerate(gnn.species) if symbol in elements]
    species = [gnn.species[row] for row in rows]
    table: dict[str, Any] = {**potential.config["gnn"], "species": species}
    for name in BY_SPECIES:
        if isinstance(table.get(name), list | tuple):
            table[name] = [table[name][row] for row in rows]
    less = build({**potential.config, "gnn": table})
    if less.gnn is None:
        raise ValueError("student.start: expected a model with a network, got one without")
    state = dict(less.gnn.state_dict())
    for name, value in gnn.state_dict().items():
        if name in state and state[name].shape == value.shape:
            state[name] = value
        elif name in state:
            state[name] = value[torch.tensor(rows)]
    less.gnn.load_state_dict(state)
    return less
