"""Results of a calculation in two kinds: what ASE knows by name, and what it does not."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator


class Results(dict[str, Any]):
    """Results of a calculation. ASE's own properties are the items, so that ASE can copy, export
    and write them; what ASE has no name for is there by its name, in `results["energy_terms"]`,
    `"shells" in results` and `results.get`."""

    def __init__(self, values: Mapping[str, Any] | None = None):
        super().__init__()
        self.beyond_ase: dict[str, Any] = {}
        self.add(values or {})

    def add(self, values: Mapping[str, Any]) -> None:
        """Take in properties of either kind."""
        for name, value in values.items():
            (self if name in all_properties else self.beyond_ase)[name] = value

    def __missing__(self, name: str) -> Any:
        return self.beyond_ase[name]

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self.beyond_ase

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or the default where there is none."""
        return super().get(name, self.beyond_ase.get(name, default))

    def copy(self) -> "Results":
        """Both kinds, the values themselves."""
        return Results({**self, **self.beyond_ase})

    def __repr__(self) -> str:
        return repr({**self, **self.beyond_ase})


def labelled(atoms: Atoms, results: Results) -> Atoms:
    """A copy of the atoms of which extxyz has all results: ASE's own as ever, the others in arrays
    (Born charges (n, 9), shells) and info, by the names of fit-pqeq.

    ASE knows Born charges of shape (n, 3, 3), and cannot write them to extxyz.
    """
    copy = atoms.copy()
    copy.calc = SinglePointCalculator(copy, **results)
    for name, value in results.beyond_ase.items():
        if name == "born_charges":
            copy.arrays["born_charge"] = np.reshape(value, (len(atoms), 9))
        elif name == "shells":
            copy.arrays[name] = np.array(value)
        else:
            copy.info[name] = value
    return copy
