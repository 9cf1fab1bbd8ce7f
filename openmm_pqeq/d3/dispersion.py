"""D3 energies from a half list of pairs, as one operator.

    dispersion(pairs, cell, batch, species, tables, settings) → energies, coordination numbers

Coordination numbers, C6 coefficients and damped pair energies come in two passes over the list: the
sums of `openmm_pqeq.d3.energy`, with nothing stored for a pair. Vectors between atoms are
differences in float64; what depends on their length has the dtype of the tables, and sums over
pairs are float64 again. The operator (plugin/src/dispersion/) may be differentiated once, in
positions and cell; `dispersion_reference` any number of times.
"""

import torch
from torch import Tensor

from openmm_pqeq import ops
from openmm_pqeq.d3.energy import Distances, Settings, Tables, closer, dispersion_energies
from openmm_pqeq.neighbors.half_list import KeptPairs


def dispersion_reference(
    pairs: KeptPairs,
    cell: Tensor,
    batch: Tensor,
    species: Tensor,
    tables: Tables,
    settings: Settings,
) -> tuple[Tensor, Tensor]:
    """Energies (n_atoms,) in eV, half of each pair's to each of its atoms, and coordination numbers
    (n_atoms,), in the dtype of the positions.

    Parameters
    ----------
    pairs : those beyond the cutoffs are skipped
    cell : (n_structures, 3, 3) Å
    batch : (n_atoms,) int64, the structure an atom belongs to
    species : (n_atoms,) int64, rows of the tables
    tables : float32 or float64
    """
    positions, dtype = pairs.positions, tables.c6.dtype
    i, j = pairs.centers.to(torch.int64), pairs.neighbors.to(torch.int64)
    offsets = torch.matmul(pairs.shifts.to(cell.dtype).unsqueeze(1), cell[batch[i]]).squeeze(1)
    vectors = positions.index_select(0, j) - positions.index_select(0, i) + offsets
    distances = vectors.norm(2, dim=1).to(dtype)
    near = closer(
        Distances(i, j, distances, torch.ones_like(distances)),
        max(settings.cutoff, settings.cn_cutoff),
    )
    energies, numbers = dispersion_energies(species, near, tables, settings)
    return energies.to(positions.dtype), numbers.to(positions.dtype)


native_on = ops.native_on("dispersion")


def dispersion_native(
    pairs: KeptPairs,
    cell: Tensor,
    batch: Tensor,
    species: Tensor,
    tables: Tables,
    settings: Settings,
) -> tuple[Tensor, Tensor]:
    """`dispersion_reference` by the native operator."""
    if not native_on(pairs.positions):
        return dispersion_reference(pairs, cell, batch, species, tables, settings)
    energies, numbers = torch.ops.openmm_pqeq.dispersion(
        pairs.positions,
        cell,
        batch,
        pairs.centers,
        pairs.neighbors,
        pairs.shifts,
        species,
        tables.c6,
        tables.coordination,
        tables.covalent_radii,
        tables.c8_over_c6,
        tables.radii6,
        tables.radii8,
        settings.zero_damping,
        settings.s6,
        settings.s8,
        settings.alp,
        settings.cutoff,
        settings.cn_cutoff,
        settings.smoothing_width,
    )
    return energies, numbers


dispersion = ops.pick("dispersion", dispersion_native, dispersion_reference)
