"""PQEq in one process, evaluated on request: what benchmarks/charges.py times.

    python benchmarks/charges_contestants.py sweeps lipon --threads 1 --forces forces.pt

Energy and forces with the parameter set `reaxnet` and no network. Atoms move on by 0.003 Å from one
evaluation to the next, about what half a femtosecond does at room temperature, so that solutions
and lists of neighbours may be remembered as in dynamics.
"""

from collections.abc import Callable

import numpy as np
import torch
from ase import Atoms
from turns import answer, asked, pairs_within, peak_memory

from openmm_pqeq import build
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.neighbors.verlet import SKIN
from openmm_pqeq.structure import structure_of

CUTOFF = 12.5
"""Å, the published range of the taper."""

CONTESTANTS = ("sweeps", "sweeps-double", "sweeps-published", "dense", "dense-published", "pme")
"""What OpenMM runs for the protocol `reaxnet`, in mixed and double precision, and with the
published gradient; the same sweeps with a dense matrix that torch solves and differentiates
(float64, list of neighbours kept); what OpenMM runs for `pme`."""

STEP = 0.003


def of_package(name: str, atoms: Atoms) -> Callable[[], torch.Tensor]:
    """The package as it is, scripted and frozen as OpenMM runs it."""
    settings: dict[str, object] = {
        "protocol": "pme" if name == "pme" else "reaxnet",
        "parameters": "reaxnet",
    }
    if name.endswith("published"):
        settings["stop_gradient"] = True
    potential = build({"pqeq": settings}).configured(
        precision="double" if name.endswith("double") else "mixed"
    )
    if name.startswith("dense"):
        potential.add_module("search", NeighborSearch(CUTOFF, SKIN))
    else:
        potential = potential.compile_for_inference()
    scripted = torch.jit.freeze(torch.jit.script(potential))
    structure = structure_of(
        torch.tensor(atoms.positions), torch.tensor(atoms.numbers), torch.tensor(atoms.cell.array)
    )
    velocity = torch.tensor(np.random.default_rng(1).normal(0.0, STEP, atoms.positions.shape))
    steps = 0

    def evaluate() -> torch.Tensor:
        nonlocal steps
        steps += 1
        positions = (structure.positions + steps * velocity).requires_grad_(True)
        return -torch.autograd.grad(
            scripted(structure._replace(positions=positions)).energy.sum(), positions
        )[0]

    return evaluate


def main() -> None:
    contestant = asked(__doc__, CONTESTANTS)
    atoms, before = contestant.atoms, peak_memory()
    evaluate = of_package(contestant.name, atoms)
    answer(evaluate, len(atoms), pairs_within(CUTOFF, atoms), before, contestant.forces)


if __name__ == "__main__":
    main()
