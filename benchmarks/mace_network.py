"""A MACE of about the size of the foundation model with random weights: a peer for scale, not the
same function.

128x0e + 128x1o, l up to 3 in the messages, correlation 3, two interactions, 5 Å, 8 radial
functions, radial networks 64-64-64: the hyperparameters of MACE-MP-0 medium but for its 6 Å.
Compiled with e3nn.util.jit, as MACE does for LAMMPS.

mace-torch 0.3.16 is pinned to e3nn 0.4.4, and this package to 0.6, so it lives in a folder that
only its own process sees:

    pip install --no-deps --target peers/mace mace-torch==0.3.16 e3nn==0.4.4 torch-ema prettytable
    wcwidth matscipy lmdb orjson \
        python-hostlist configargparse GitPython gitdb smmap opt_einsum opt_einsum_fx
"""

from collections.abc import Callable

import numpy as np
import torch

from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.structure import Structure


def of_mace(
    structure: Structure, dtype: torch.dtype, r_max: float, n_basis: int, avg_neighbors: float
) -> Callable[[], torch.Tensor]:
    """Energy and forces from pairs that are searched once."""
    torch.set_default_dtype(dtype)
    from e3nn import o3
    from e3nn.util import jit
    from mace.modules import (
        MACE,
        RealAgnosticInteractionBlock,
        RealAgnosticResidualInteractionBlock,
    )

    torch.manual_seed(0)
    present, kind = torch.unique(structure.numbers, return_inverse=True)
    model = MACE(
        r_max=r_max, num_bessel=n_basis, num_polynomial_cutoff=5, max_ell=3, interaction_cls=RealAgnosticResidualInteractionBlock,
        interaction_cls_first=RealAgnosticInteractionBlock, num_interactions=2, num_elements=len(present),
        hidden_irreps=o3.Irreps("128x0e + 128x1o"), MLP_irreps=o3.Irreps("16x0e"), atomic_energies=np.zeros(len(present)),
        avg_num_neighbors=avg_neighbors, atomic_numbers=present.tolist(), correlation=3, gate=torch.nn.functional.silu,
    )  # fmt: skip
    script = jit.compile(model.requires_grad_(False).eval())
    pairs = NeighborSearch(r_max)(structure)
    data = {
        "positions": structure.positions,
        "node_attrs": torch.nn.functional.one_hot(kind, len(present)).to(dtype),
        "edge_index": torch.stack(
            [pairs.neighbors, pairs.centers]
        ),  # from sender to receiver: r_receiver - r_sender + shift
        "shifts": -pairs.shifts.to(dtype) @ structure.cell[0],
        "unit_shifts": -pairs.shifts.to(dtype),
        "cell": structure.cell[0],
        "batch": structure.batch,
        "ptr": torch.tensor([0, len(structure.numbers)]),
        "head": torch.zeros(1, dtype=torch.int64),
    }

    def evaluate() -> torch.Tensor:
        found = script(
            {name: value.clone() for name, value in data.items()},
            training=False,
            compute_force=True,
        )
        return found["forces"]

    return evaluate
