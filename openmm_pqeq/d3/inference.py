"""D3 as one operator: coordination numbers, C6 coefficients and damped pair energies in two passes
over a half list of pairs.

    D3(structure) → energies (n_atoms,)        the sums of `openmm_pqeq.d3.energy`, with nothing stored for a pair

`dispersion_reference` is the same in plain torch, for comparison and for devices without a kernel;
the operator (plugin/) may be differentiated once, in positions and cell. Vectors between atoms are
differences in float64; what depends on their length has the dtype of the tables, and sums over
pairs are float64 again.
"""

import torch
from torch import Tensor, nn

from openmm_pqeq import ops
from openmm_pqeq.d3.energy import Distances, Settings, Tables, closer, dispersion_energies
from openmm_pqeq.d3.model import D3
from openmm_pqeq.neighbors.half_list import KeptPairs
from openmm_pqeq.structure import Structure


def dispersion_reference(
    positions: Tensor,
    cell: Tensor,
    batch: Tensor,
    centers: Tensor,
    neighbors: Tensor,
    shifts: Tensor,
    species: Tensor,
    c6: Tensor,
    coordination: Tensor,
    covalent_radii: Tensor,
    c8_over_c6: Tensor,
    radii6: Tensor,
    radii8: Tensor,
    zero_damping: bool,
    s6: float,
    s8: float,
    alp: float,
    cutoff: float,
    cn_cutoff: float,
    smoothing_width: float,
) -> tuple[Tensor, Tensor]:
    """Energies (n_atoms,) in eV and coordination numbers (n_atoms,), in the dtype of `positions`.

    Differentiable any number of times.

    Parameters
    ----------
    positions, centers, neighbors, shifts : of `KeptPairs`; pairs beyond the cutoffs are skipped
    cell : (n_structures, 3, 3) Å
    batch : (n_atoms,) int64, the structure an atom belongs to
    species : (n_atoms,) int64, rows of the tables
    c6, coordination, covalent_radii, c8_over_c6, radii6, radii8 : `Tables`, float32 or float64
    zero_damping, s6, s8, alp, cutoff, cn_cutoff, smoothing_width : `Settings`
    """
    i, j = centers.to(torch.int64), neighbors.to(torch.int64)
    offsets = torch.matmul(shifts.to(cell.dtype).unsqueeze(1), cell[batch[i]]).squeeze(1)
    distances = (
        (positions.index_select(0, j) - positions.index_select(0, i) + offsets)
        .norm(2, dim=1)
        .to(c6.dtype)
    )
    pairs = closer(Distances(i, j, distances, torch.ones_like(distances)), max(cutoff, cn_cutoff))
    tables = Tables(c6, coordination, covalent_radii, c8_over_c6, radii6, radii8)
    settings = Settings(zero_damping, s6, s8, alp, cutoff, cn_cutoff, smoothing_width)
    energies, numbers = dispersion_energies(species, pairs, tables, settings)
    return energies.to(positions.dtype), numbers.to(positions.dtype)


class InferenceD3(nn.Module):
    """A `D3` for evaluation, which takes the pairs of a `KeptSearch`; native where the operator has
    a kernel for the device."""

    species: list[str]
    cutoff: float
    rows: Tensor
    c6: Tensor
    coordination: Tensor
    covalent_radii: Tensor
    c8_over_c6: Tensor
    radii6: Tensor
    radii8: Tensor

    def __init__(self, term: D3):
        super().__init__()
        self.species, self.cutoff, self.pair_cutoff, self.cn_cutoff = (
            term.species,
            term.cutoff,
            term.pair_cutoff,
            term.cn_cutoff,
        )
        self.zero_damping, self.s6, self.s8, self.alp = (
            term.zero_damping,
            term.s6,
            term.s8,
            term.alp,
        )
        self.smoothing_width = term.smoothing_width
        self.on_cuda = ops.has_kernel("dispersion", "CUDA")
        for name in ("rows", *Tables._fields):
            self.register_buffer(name, getattr(term, name).detach().clone(), persistent=False)

    def forward(self, structure: Structure, pairs: KeptPairs) -> Tensor:
        """Energies (n_atoms,) in eV, half of each pair's to each of its atoms, in the dtype of the
        positions.

        Differentiable once in positions and cell; any number of times where the reference is used,
        on a GPU without a kernel.
        """
        species = self.rows[structure.numbers]
        if bool((species < 0).any()):
            raise ValueError(
                "numbers: D3 was made without some of these elements; name them in its `species`"
            )
        if pairs.positions.is_cuda and not self.on_cuda:
            return dispersion_reference(
                pairs.positions, structure.cell, structure.batch, pairs.centers, pairs.neighbors, pairs.shifts, species,
                self.c6, self.coordination, self.covalent_radii, self.c8_over_c6, self.radii6, self.radii8, self.zero_damping,
                self.s6, self.s8, self.alp, self.pair_cutoff, self.cn_cutoff, self.smoothing_width,
            )[0]  # fmt: skip
        return torch.ops.openmm_pqeq.dispersion(
            pairs.positions, structure.cell, structure.batch, pairs.centers, pairs.neighbors, pairs.shifts, species,
            self.c6, self.coordination, self.covalent_radii, self.c8_over_c6, self.radii6, self.radii8, self.zero_damping,
            self.s6, self.s8, self.alp, self.pair_cutoff, self.cn_cutoff, self.smoothing_width,
        )[0]  # fmt: skip
