"""The table of a layer's radial network as the fused convolution reads it, made once.

A table follows from the weights of its radial network, the cutoff and the dtype alone. Making one
takes up to seconds (radial_table.py); one that was made is found again in this process as long as a
model uses it, and on this machine in the cache of start/cache.py.
"""

import copy
import io
import logging
import weakref
from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.gnn.convolution import Interaction
from openmm_pqeq.gnn.equivariant_convolution import packed
from openmm_pqeq.gnn.network import NequIP
from openmm_pqeq.gnn.radial_table import RadialTable
from openmm_pqeq.start import cache, content

logger = logging.getLogger(__name__)


class PackedTable(NamedTuple):
    """flat : the numbers, from `equivariant_convolution.packed`
    grid : of the `RadialTable`
    """

    flat: Tensor
    grid: list[float]


_in_use: dict[str, tuple[weakref.ref[Tensor], list[float]]] = {}


def packed_table(layer: Interaction, network: NequIP) -> PackedTable:
    """The table of a layer, in the dtype of the network; not to be written to, others share it."""
    inputs = list(layer.layer.inputs.values())
    n_weights = [inputs[path.input] for path in layer.layer.paths]
    dtype = network.embedding.dtype
    basis, radial = (
        copy.deepcopy(module).to(torch.float64).requires_grad_(False)
        for module in (network.basis, layer.radial)
    )
    key = content.key(
        "table",
        content.lines_of(basis, weights=True),
        content.lines_of(radial, weights=True),
        f"{network.cutoff!r} {dtype} {n_weights}",
    )
    table = _found(key)
    if table is None:
        logger.info("making a table of %d radial functions, once", sum(n_weights))
        made = RadialTable(lambda r: radial(basis(r)), network.cutoff, dtype)
        table = PackedTable(packed(made.coefficients, n_weights), made.grid)
        file = io.BytesIO()
        torch.save(table._asdict(), file)
        cache.write(key, file.getvalue())
    _in_use[key] = weakref.ref(table.flat), table.grid
    return table


def _found(key: str) -> PackedTable | None:
    """The table by its key, of this process or from the cache."""
    for other in [name for name, (flat, _) in _in_use.items() if flat() is None]:
        del _in_use[other]
    if key in _in_use:
        flat, grid = _in_use[key][0](), _in_use[key][1]
        if flat is not None:
            return PackedTable(flat, grid)
    kept = cache.read(key)
    return None if kept is None else PackedTable(**torch.load(io.BytesIO(kept), weights_only=True))
