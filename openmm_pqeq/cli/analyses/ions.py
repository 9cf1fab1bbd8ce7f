"""The ions of a run, with the charges that they carry, as analyses of conduction read them."""

import argparse
from typing import Any, NamedTuple

import numpy as np

from openmm_pqeq.cli.analyses.diffusion import path_of
from openmm_pqeq.cli.analyses.trajectory import Trajectory
from openmm_pqeq.jobs import values
from openmm_pqeq.wanted import STRONGEST_FIELD


class Ions(NamedTuple):
    """What carries a current.

    run : the trajectory
    path : (n_frames, n_atoms, 3) Å of all atoms, continuous, without drift
    atoms : indices by element
    charges : e, by element
    volume : Å³
    """

    run: Trajectory
    path: Any
    atoms: dict[str, Any]
    charges: dict[str, float]
    volume: float

    @property
    def carriers(self) -> Any:
        """(n_frames, n_ions, 3) Å, paths of all ions."""
        return self.path[:, np.concatenate(list(self.atoms.values()))]

    @property
    def carried(self) -> Any:
        """(n_ions,) e, their charges."""
        return np.concatenate([np.full(len(self.atoms[e]), z) for e, z in self.charges.items()])

    def describe(self) -> str:
        """How many, of which charge, for how long."""
        numbers = [f"{len(self.atoms[e])} {e} of {z:+g} e" for e, z in self.charges.items()]
        return f"{', '.join(numbers)}; {self.run.describe()}"


def ions_of(options: argparse.Namespace, run: Trajectory) -> Ions:
    """The ions that --ions names, with paths as --drift says."""
    charges: dict[str, float] = {}
    for each in options.ions:
        element, value = values.halves("ions", each, "ELEMENT=Z")
        charges[element] = values.within(values.number, -20, 20, "e")("ions", value)
        if not charges[element]:
            raise ValueError(f"ions: expected charges that are not zero, got {each!r}")
    atoms = {element: run.atoms_of("ions", element) for element in charges}
    path = path_of(run, options.drift, np.concatenate(list(atoms.values())))
    return Ions(run, path, atoms, charges, run.volume())


def field_of(given: list[str] | None, run: Trajectory) -> Any:
    """(3,) V/Å, from the command line or run.toml; ValueError for one that changes with time."""
    components = given if given is not None else run.settings.get("field", [0.0, 0.0, 0.0])
    limited = values.within(values.number, -STRONGEST_FIELD, STRONGEST_FIELD, "V/Å")
    try:
        return np.array([limited("field", each) for each in components])
    except ValueError:
        raise ValueError(
            f"field: expected a constant field of at most {STRONGEST_FIELD:g} V/Å, got {components}; "
            "a drift has no meaning in one that changes"
        ) from None
