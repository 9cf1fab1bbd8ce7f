"""A teacher that counts how often it is asked, and that can be made to fail."""

from ase.calculators.calculator import CalculationFailed, all_changes
from ase.calculators.emt import EMT


class Counting(EMT):
    """EMT; `calls` of all, those after the first `most` are a disk that is full, and atoms of
    `failing` are refused as programs do that do not converge."""

    calls = 0
    most = 10**9
    failing = ""

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        if Counting.calls >= Counting.most:
            raise OSError(28, "No space left on device")
        Counting.calls += 1
        if Counting.failing in atoms.get_chemical_symbols():
            raise CalculationFailed("not converged")
        super().calculate(atoms, properties, all_changes)  # no neighbours kept: no history
