"""Teachers as other people write them: numbers that are none, any exception, forces too few."""

import numpy as np
from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT


class Nan(EMT):
    """EMT that has no `number` ("energy", "forces" or "stress") of gold."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, all_changes)
        if "Au" in atoms.get_chemical_symbols():
            self.results[self.number] = np.nan * np.asarray(self.results[self.number])


class Tired(EMT):
    """EMT whose forces are no numbers after so many structures."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        assert np.isfinite(atoms.positions).all()
        super().calculate(atoms, properties, all_changes)
        self.after -= 1
        if self.after < 0:
            self.results["forces"] = np.full((len(atoms), 3), np.nan)


class Raising(EMT):
    """EMT that raises what it was made for."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        raise self.kind("no")


class Short(EMT):
    """EMT that has forces of two atoms."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, all_changes)
        self.results["forces"] = self.results["forces"][:2]


class OfCrystals(EMT):
    """EMT that does not take structures without a cell."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        if not atoms.pbc.all():
            raise ValueError("no cell")
        super().calculate(atoms, properties, all_changes)


def unlicensed():
    """A program that does not begin."""
    raise KeyError("licence")
