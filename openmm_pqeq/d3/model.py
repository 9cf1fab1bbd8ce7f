"""Dispersion: Grimme's D3, two-body, with zero or Becke–Johnson damping.

    E = −½ Σ_{i≠j or an image} Σ_{n=6,8} s_n Cn_ij / rⁿ f_n(r)

with the coefficients of each atom's surroundings and the damping of `openmm_pqeq.d3.energy`, which
has the formulae. Grimme, Antony, Ehrlich, Krieg, J. Chem. Phys. 132, 154104 (2010),
doi:10.1063/1.3382344; Grimme, Ehrlich, Goerigk, J. Comput. Chem. 32, 1456 (2011),
doi:10.1002/jcc.21759. Energies in eV, lengths in Å, damping parameters in the units of the papers
(a2 in bohr). All images count. Differentiable twice; the switch at the cutoffs has two continuous
derivatives.
"""

import torch
from torch import Tensor, nn

from openmm_pqeq.d3.energy import Distances, Settings, Tables, dispersion_energies
from openmm_pqeq.d3.tables import Damping, elements, functional_damping, references
from openmm_pqeq.neighbors.pairs import Pairs
from openmm_pqeq.structure import ATOMIC_NUMBERS, Structure
from openmm_pqeq.units import BOHR, BOHR_REAXNET, HARTREE, HARTREE_REAXNET


def damping_parameters(
    damping: str,
    functional: str | None,
    s6: float | None,
    s8: float | None,
    a1: float | None,
    a2: float | None,
    rs6: float | None,
    rs8: float | None,
) -> Damping:
    """Parameters of a functional, or those given, or the former with some of the latter in their
    place; s6 and rs8 default to 1."""
    if damping not in ("zero", "bj"):
        raise ValueError(f"damping: expected 'zero' or 'bj', got {damping!r}")
    own, other = (
        ({"a1": a1, "a2": a2}, {"rs6": rs6, "rs8": rs8})
        if damping == "bj"
        else ({"rs6": rs6, "rs8": rs8}, {"a1": a1, "a2": a2})
    )
    for name, value in other.items():
        if value is not None:
            raise ValueError(
                f"{name}: not a parameter of {damping} damping, which has {' and '.join(own)}"
            )
    known: dict[str, float] = {"s6": 1.0} if damping == "bj" else {"s6": 1.0, "rs8": 1.0}
    if functional is not None:
        known = dict(zip(("s6", "s8", *own), functional_damping(damping, functional)))
    known.update(
        {
            name: float(value)
            for name, value in {"s6": s6, "s8": s8, **own}.items()
            if value is not None
        }
    )
    for name, value in known.items():
        if not abs(value) <= LARGEST_PARAMETER:
            raise ValueError(
                f"{name}: expected at most {LARGEST_PARAMETER:g} in size, got {value:g}; those of "
                "functionals are below 10"
            )
    missing = [name for name in ("s6", "s8", *own) if name not in known]
    if missing:
        raise ValueError(
            f"d3: {', '.join(missing)} missing; give them, or a functional such as 'pbe'"
        )
    return Damping(*(known[name] for name in ("s6", "s8", *own)))


LARGEST_PARAMETER = 100.0
"""In size, of a damping parameter."""


class D3(nn.Module):
    """Dispersion energies of atoms.

    Parameters
    ----------
    damping : "bj" (default) or "zero"
    functional : density functional whose damping parameters are taken, such as "pbe"
    s6, s8, a1, a2 : parameters of Becke–Johnson damping (a2 in bohr) in place of those of the
        functional
    s6, s8, rs6, rs8, alp : parameters of zero damping; `alp` (14) has no meaning for "bj" without
        three-body terms
    cutoff : Å, of the pair energies
    cn_cutoff : Å, of the coordination numbers
    smoothing_width : Å, both sums are switched off over this width inside their cutoff; 0
        truncates, and energies then jump
    species : elements to be known, default all of the tables (H–Pu)
    constants : "codata", or "reaxnet" for the bohr and hartree of that model

    The default cutoffs are for dynamics. In MgO, where D3 reaches unusually far, 20 Å leaves 1.3
    meV/atom, 0.002 meV/Å and 0.02 GPa outside (15 Å: 3.3, 0.015, 0.06; 32 Å or 60 bohr: 0.26,
    0.0005, 0.004; PBE, either damping), nearly all of it a function of the volume alone. For
    energies to 0.1 meV/atom take 45 Å. A 135-atom cell of BaTiO3 has 0.34 million pairs at 20 Å,
    0.14 million at 15 Å, 0.66 million at 25 Å, and the time grows with them. Coordination numbers
    have no limit in a crystal (every far neighbour counts 1e-7), so `cn_cutoff` is part of the
    model: 20 Å is customary; 10 Å changes graphite by 0.16 meV/atom.

    Raises ValueError for a damping, functional or element that is not known, for missing parameters
    and impossible cutoffs.
    """

    species: list[str]
    cutoff: float
    rows: Tensor
    c6: Tensor
    coordination: Tensor
    covalent_radii: Tensor
    c8_over_c6: Tensor
    radii6: Tensor
    radii8: Tensor

    def __init__(
        self,
        damping: str = "bj",
        functional: str | None = None,
        s6: float | None = None,
        s8: float | None = None,
        a1: float | None = None,
        a2: float | None = None,
        rs6: float | None = None,
        rs8: float | None = None,
        alp: float = 14.0,
        cutoff: float = 20.0,
        cn_cutoff: float = 20.0,
        smoothing_width: float = 2.0,
        species: list[str] | None = None,
        constants: str = "codata",
    ):
        super().__init__()
        parameters = damping_parameters(damping, functional, s6, s8, a1, a2, rs6, rs8)
        for name, value in (("cutoff", cutoff), ("cn_cutoff", cn_cutoff)):
            if not 0.0 < value <= 1000.0:
                raise ValueError(
                    f"{name}: expected a positive distance of at most 1000 Å, got {value:g}"
                )
        if not 0.0 <= smoothing_width <= min(cutoff, cn_cutoff):
            raise ValueError(
                f"smoothing_width: expected 0 to {min(cutoff, cn_cutoff)} Å (the shorter cutoff), "
                f"got {smoothing_width}"
            )
        if constants not in ("codata", "reaxnet"):
            raise ValueError(f"constants: expected 'codata' or 'reaxnet', got {constants!r}")
        self.zero_damping = damping == "zero"
        self.s6, self.s8, self.alp = parameters.s6, parameters.s8, float(alp)
        self.pair_cutoff, self.cn_cutoff, self.smoothing_width = (
            float(cutoff),
            float(cn_cutoff),
            float(smoothing_width),
        )
        self.cutoff = max(self.pair_cutoff, self.cn_cutoff)
        self.species = elements() if species is None else list(species)
        self._register_tables(parameters, codata=constants == "codata")

    def _register_tables(self, parameters: Damping, codata: bool) -> None:
        """Buffers in eV and Å, one row a species; not in checkpoints, since torch-dftd has them,
        but in scripted files."""
        bohr, hartree = (BOHR, HARTREE) if codata else (BOHR_REAXNET, HARTREE_REAXNET)
        table = references(self.species, published_radii=codata)
        c8_over_c6 = 3.0 * bohr**2 * table.r4_over_r2[:, None] * table.r4_over_r2[None, :]
        if self.zero_damping:
            radii6, radii8 = (
                parameters.first * table.cutoff_radii,
                parameters.second * table.cutoff_radii,
            )
        else:
            radii6 = radii8 = parameters.first * c8_over_c6.sqrt() + parameters.second * bohr
        rows = torch.full((len(ATOMIC_NUMBERS) + 1,), -1, dtype=torch.int64)
        rows[[ATOMIC_NUMBERS[symbol] for symbol in self.species]] = torch.arange(len(self.species))
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("c6", table.c6 * hartree * bohr**6, persistent=False)
        self.register_buffer("coordination", table.coordination, persistent=False)
        self.register_buffer("covalent_radii", table.covalent_radii, persistent=False)
        self.register_buffer("c8_over_c6", c8_over_c6, persistent=False)
        self.register_buffer("radii6", radii6, persistent=False)
        self.register_buffer("radii8", radii8.clone(), persistent=False)

    def forward(self, structure: Structure, pairs: Pairs) -> Tensor:
        """Energies (n_atoms,) in eV, half of each pair's to each of its atoms, in the dtype of the
        module's tables.

        `pairs` holds at least all pairs within ``self.cutoff``.
        """
        species = self.rows[structure.numbers]
        if bool((species < 0).any()):
            raise ValueError(
                "numbers: D3 was made without some of these elements; name them in its `species`"
            )
        # Each pair of different atoms once, in one direction; an atom with its own image in both,
        # each for half.
        once = torch.nonzero(
            (pairs.centers <= pairs.neighbors) & (pairs.distances < self.cutoff)
        ).squeeze(1)
        i, j, r = (
            pairs.centers[once],
            pairs.neighbors[once],
            pairs.distances[once].to(self.c6.dtype),
        )
        distances = Distances(i, j, r, 1.0 - 0.5 * (i == j).to(r.dtype))
        tables = Tables(
            self.c6,
            self.coordination,
            self.covalent_radii,
            self.c8_over_c6,
            self.radii6,
            self.radii8,
        )
        settings = Settings(
            self.zero_damping,
            self.s6,
            self.s8,
            self.alp,
            self.pair_cutoff,
            self.cn_cutoff,
            self.smoothing_width,
        )
        return dispersion_energies(species, distances, tables, settings)[0]
