"""PQEq in one process, evaluated on request: what benchmarks/charges.py times.

    python benchmarks/charges_contestants.py sweeps lipon --threads 1 --forces forces.pt

Energy and forces with the parameter set `reaxnet` and no network. Atoms move on by 0.003 Å from one
evaluation to the next, about what half a femtosecond does at room temperature, so that solutions
and lists of neighbours may be remembered as in dynamics.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from systems import SYSTEMS, system
from turns import answer, peak_memory

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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("--data", type=Path, help="folder with LiPON_Li2PO2N.cif")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--forces", type=Path, help="file for the forces of the last evaluation")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    atoms = system(arguments.system, arguments.data)
    before = peak_memory()
    evaluate = of_package(arguments.name, atoms)
    n_pairs = round(2 / 3 * np.pi * CUTOFF**3 * len(atoms) ** 2 / atoms.get_volume())
    answer(evaluate, len(atoms), n_pairs, before, arguments.forces)


if __name__ == "__main__":
    main()
