"""D3 for evaluation.

D3(structure, pairs) → energies (n_atoms,)      by `openmm_pqeq.d3.dispersion`, from the half list of a KeptSearch
"""

from torch import Tensor, nn

from openmm_pqeq.d3.dispersion import dispersion
from openmm_pqeq.d3.energy import Settings, Tables
from openmm_pqeq.d3.model import D3
from openmm_pqeq.neighbors.half_list import KeptPairs
from openmm_pqeq.structure import Structure


class InferenceD3(nn.Module):
    """A `D3` for evaluation, which takes the pairs of a `KeptSearch`."""

    species: list[str]
    cutoff: float
    settings: Settings
    rows: Tensor
    c6: Tensor
    coordination: Tensor
    covalent_radii: Tensor
    c8_over_c6: Tensor
    radii6: Tensor
    radii8: Tensor

    def __init__(self, term: D3):
        super().__init__()
        self.species, self.cutoff = term.species, term.cutoff
        self.settings = Settings(
            term.zero_damping,
            term.s6,
            term.s8,
            term.alp,
            term.pair_cutoff,
            term.cn_cutoff,
            term.smoothing_width,
        )
        for name in ("rows", *Tables._fields):
            self.register_buffer(name, getattr(term, name).detach().clone(), persistent=False)

    def forward(self, structure: Structure, pairs: KeptPairs) -> Tensor:
        """Energies (n_atoms,) in eV, half of each pair's to each of its atoms, in the dtype of the
        positions.

        Differentiable once in positions and cell.
        """
        species = self.rows[structure.numbers]
        if bool((species < 0).any()):
            raise ValueError(
                "numbers: D3 was made without some of these elements; name them in its `species`"
            )
        tables = Tables(
            self.c6,
            self.coordination,
            self.covalent_radii,
            self.c8_over_c6,
            self.radii6,
            self.radii8,
        )
        return dispersion(pairs, structure.cell, structure.batch, species, tables, self.settings)[0]
