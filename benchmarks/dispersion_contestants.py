"""D3 in one process, evaluated on request: what benchmarks/dispersion.py times.

    python benchmarks/dispersion_contestants.py compiled lipon --threads 1 --forces forces.pt

Energy and forces of PBE-D3 with Becke–Johnson damping, 20 Å for energies and coordination numbers
alike. Atoms move by 0.01 Å from one evaluation to the next, so that nothing can be remembered but
lists of neighbours.
"""

from collections.abc import Callable

import numpy as np
import torch
from ase import Atoms
from turns import answer, asked, pairs_within, peak_memory

from openmm_pqeq import ops
from openmm_pqeq.d3.inference import InferenceD3
from openmm_pqeq.d3.model import D3
from openmm_pqeq.neighbors.half_list import KeptSearch
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.neighbors.verlet import SKIN
from openmm_pqeq.structure import structure_of

CUTOFF = 20.0
"""Å. torch-dftd's own default, 95 bohr, needs more than 24 GB of memory for 2,160 atoms."""

CONTESTANTS = (
    "compiled",
    "compiled-float32",
    "searching",
    "reference",
    "reference-float32",
    "torch-dftd",
    "torch-dftd-float64",
)
"""What OpenMM runs, for tables in either precision; the same with a search for neighbours each
time; the package without native operators, with lists kept; the package torch-dftd, which searches
each time (float32 is its default)."""

STEP = 0.01


class Walk:
    """Positions of the evaluations, Å: to and fro."""

    def __init__(self, atoms: Atoms):
        self.positions, self.calls = torch.tensor(atoms.positions), 0
        self.direction = torch.tensor(
            np.random.default_rng(1).normal(0.0, STEP, atoms.positions.shape)
        )

    def next(self) -> torch.Tensor:
        """Those of the next evaluation."""
        self.calls += 1
        return self.positions + (self.calls % 2) * self.direction


def of_package(name: str, atoms: Atoms) -> Callable[[], torch.Tensor]:
    """The package as it is, scripted and frozen as OpenMM runs it."""
    term = D3(
        "bj",
        "pbe",
        cutoff=CUTOFF,
        cn_cutoff=CUTOFF,
        species=sorted(set(atoms.get_chemical_symbols())),
    )
    term.to(torch.float32 if name.endswith("float32") else torch.float64)
    if name.startswith("reference"):
        modules: list[torch.nn.Module] = [NeighborSearch(CUTOFF, SKIN), term]
    elif ops.available("dispersion"):
        modules = [KeptSearch(CUTOFF, 0.0 if name == "searching" else SKIN), InferenceD3(term)]
    else:
        raise RuntimeError(f"{name}: needs the native operators: {ops.status()}")
    search, d3 = (torch.jit.freeze(torch.jit.script(module.eval())) for module in modules)
    structure = structure_of(
        torch.tensor(atoms.positions), torch.tensor(atoms.numbers), torch.tensor(atoms.cell.array)
    )
    walk = Walk(atoms)

    def evaluate() -> torch.Tensor:
        positions = walk.next().requires_grad_(True)
        moved = structure._replace(positions=positions)
        return -torch.autograd.grad(d3(moved, search(moved)).sum(), positions)[0]

    return evaluate


def of_torch_dftd(name: str, atoms: Atoms) -> Callable[[], torch.Tensor]:
    """torch-dftd through its ASE calculator, which truncates where the others switch off."""
    from torch_dftd.torch_dftd3_calculator import TorchDFTD3Calculator

    dtype = torch.float64 if name.endswith("float64") else torch.float32
    given, walk = atoms.copy(), Walk(atoms)
    given.calc = TorchDFTD3Calculator(
        atoms=given, xc="pbe", damping="bj", cutoff=CUTOFF, cnthr=CUTOFF, dtype=dtype
    )

    def evaluate() -> torch.Tensor:
        given.positions = walk.next().numpy()
        return torch.tensor(given.get_forces())

    return evaluate


def main() -> None:
    contestant = asked(__doc__, CONTESTANTS)
    atoms, before = contestant.atoms, peak_memory()
    make = of_torch_dftd if contestant.name.startswith("torch-dftd") else of_package
    evaluate = make(contestant.name, atoms)
    answer(evaluate, len(atoms), pairs_within(CUTOFF, atoms), before, contestant.forces)


if __name__ == "__main__":
    main()
