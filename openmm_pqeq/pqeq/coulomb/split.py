"""How a structure's Coulomb sums are split: pairs in real space, waves or a mesh in reciprocal
space.

    protocol   real space                                reciprocal space
    reaxnet    pairs within the taper's range            none
    direct     all pairs, no images                      none
    ewald      pairs narrower than κ, within `cutoff`    a direct sum over waves
    pme        the same                                  a mesh

κ = decay(tolerance)/cutoff does not depend on the cell. Without a periodic direction there is
nothing to split. Å, eV, e.
"""

import torch
from torch import Tensor, nn

from openmm_pqeq.neighbors.pairs import Pairs, subset, within
from openmm_pqeq.pqeq.coulomb.boundary import free_width, summation_box
from openmm_pqeq.pqeq.coulomb.ewald import Reciprocal, decay, make_reciprocal
from openmm_pqeq.pqeq.coulomb.kernels import pair_exponents
from openmm_pqeq.pqeq.coulomb.mesh import Mesh, make_mesh
from openmm_pqeq.pqeq.coulomb.mesh_size import (
    ROUGH_ORDER,
    mesh_spacing,
    rough_size,
    rough_spacing,
    smooth_size,
    spline_order,
    steepness,
)
from openmm_pqeq.pqeq.coulomb.pairs import PairSum
from openmm_pqeq.pqeq.coulomb.self_interaction import SelfInteraction, make_self_interaction
from openmm_pqeq.pqeq.coulomb.sum import CoulombSum
from openmm_pqeq.structure import Structure

WORTH_ROUGH = 1.1
"""How much coarser the mesh of Hessian–vector products has to be to be worth making."""
PLANNED_ROOM = 1.1
"""A mesh is planned for lengths a tenth longer than those it was planned at, and kept in cells up to a
tenth steeper (mesh_size.py)."""


class Lattice(nn.Module):
    """The split of one protocol, and the mesh that was planned for it.

    Parameters
    ----------
    protocol : "reaxnet", "ewald", "pme" or "direct"
    cutoff : Å
    tolerance : eV/e and eV/Å for unit charges, of what the sums leave out
    spacing : Å, of the mesh; 0: as the tolerance needs it
    """

    planned_size: Tensor
    planned_width: Tensor
    planned_steepness: Tensor

    def __init__(self, protocol: str, cutoff: float, tolerance: float, spacing: float):
        super().__init__()
        self.protocol, self.cutoff, self.tolerance, self.spacing = (
            protocol,
            cutoff,
            tolerance,
            spacing,
        )
        self.float32_products = False
        self.register_buffer("planned_size", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.register_buffer(
            "planned_width", torch.zeros((), dtype=torch.float64), persistent=False
        )
        self.register_buffer(
            "planned_steepness", torch.zeros((), dtype=torch.float64), persistent=False
        )

    def forward(
        self, structure: Structure, pairs: Pairs, kinds: Tensor, exponents: Tensor, keep: bool
    ) -> CoulombSum:
        """The Coulomb sum of one structure.

        kinds : (n_atoms,) int64, atoms' rows in `exponents`
        exponents : Å⁻² of the Gaussians, by kind
        keep : the mesh that is planned already, while it has room
        """
        periodic = structure.pbc[0].cpu()  # a GPU's host waits once
        self_interaction, reciprocal, mesh, rough = self.waves(
            structure, periodic, kinds, exponents, keep
        )
        pair_sum = self.pair_sum(structure, periodic, pairs, kinds, exponents)
        return CoulombSum(pair_sum, self_interaction, reciprocal, mesh, rough)

    def kappa(self) -> float:
        """Splitting parameter κ (Å⁻¹): erfc(κ cutoff) is below the tolerance."""
        return decay(self.tolerance) / self.cutoff

    def sums_waves(self, periodic: Tensor) -> bool:
        """Whether part of the sum of a structure with these periodic directions (3,) is in
        reciprocal space."""
        return (self.protocol == "ewald" or self.protocol == "pme") and bool(periodic.any())

    def pair_sum(
        self,
        structure: Structure,
        periodic: Tensor,
        pairs: Pairs,
        kinds: Tensor,
        exponents: Tensor,
    ) -> PairSum:
        """The pairs that are summed in real space; periodic (3,) on the CPU, others as in
        `forward`."""
        exponent = exponents[kinds]
        split = self.sums_waves(periodic)
        if split or self.protocol == "reaxnet":
            near = within(pairs, self.cutoff)
            if split:
                gamma = pair_exponents(exponent[near.centers], exponent[near.neighbors])
                near = subset(near, torch.nonzero(gamma > self.kappa()).squeeze(1))
            i, j, vectors = near.centers, near.neighbors, near.vectors
        else:
            n = structure.numbers.size(0)
            others = torch.nonzero(torch.eye(n, device=structure.numbers.device) < 0.5)
            i, j = others[:, 0], others[:, 1]
            vectors = structure.positions[j] - structure.positions[i]
        gamma = pair_exponents(exponent[i], exponent[j])
        gamma_split = torch.clamp(gamma, max=self.kappa()) if split else torch.zeros_like(gamma)
        return PairSum(i, j, vectors, gamma, gamma_split, split, self.float32_products)

    def waves(
        self,
        structure: Structure,
        periodic: Tensor,
        kinds: Tensor,
        exponents: Tensor,
        keep: bool,
        rough_order: int = ROUGH_ORDER,
        worth: float = WORTH_ROUGH,
    ) -> tuple[SelfInteraction | None, Reciprocal | None, Mesh | None, Mesh | None]:
        """Each atom's interaction with itself, and reciprocal space as waves or as a mesh, and one
        for products (`CoulombSum`); periodic (3,) on the CPU, others as in `forward`."""
        self_interaction: SelfInteraction | None = None
        reciprocal: Reciprocal | None = None
        mesh: Mesh | None = None
        rough: Mesh | None = None
        if self.sums_waves(periodic):
            present, element = torch.unique(kinds, return_inverse=True)
            exponent = exponents[present]
            gamma = pair_exponents(exponent.unsqueeze(1), exponent.unsqueeze(0))
            kappa = self.kappa()
            widths = torch.stack([gamma.max(), gamma.min(), charges_of(structure)])
            facts = torch.cat([widths, structure.cell[0].flatten()]).detach().cpu()
            cell = facts[3:].view(3, 3)
            capped = float(facts[0]) > kappa
            narrowest, widest = min(float(facts[0]), kappa), min(float(facts[1]), kappa)
            steep, keep = self.steepness(cell, periodic, keep)
            charges = steep * float(facts[2])
            spacing = self.mesh_spacing(charges, narrowest)
            size, width = self.plan(structure, cell, periodic, spacing, widest, keep)
            box = summation_box(structure.cell[0], periodic, width)
            self_interaction = make_self_interaction(
                element, gamma, kappa, box, bool(periodic.all())
            )
            if self.protocol == "ewald":
                reciprocal = make_reciprocal(
                    structure.positions, box, periodic, element, gamma, kappa, self.tolerance
                )
            else:
                order = spline_order(spacing, narrowest, self.tolerance, charges)
                coarser = rough_spacing(narrowest, steep) / spacing
                meshes: list[Mesh] = []
                # TorchScript copies what it calls to every place of a call: one place for both
                for n_points, p in [(size, order), (rough_size(size, coarser), rough_order)]:
                    first = len(meshes) == 0
                    if first or (self.float32_products and coarser > worth):
                        at = structure.positions if first else structure.positions.detach()
                        of = box if first else box.detach()
                        narrow = exponent if first else exponent.detach()
                        made = make_mesh(
                            at, of, periodic, element, narrow, kappa, capped, n_points, p
                        )
                        meshes.append(made)
                mesh = meshes[0]
                if len(meshes) == 2:
                    rough = meshes[1]
        return self_interaction, reciprocal, mesh, rough

    def steepness(
        self, cell: Tensor, periodic: Tensor, keep: bool, room: float = PLANNED_ROOM
    ) -> tuple[float, bool]:
        """The steepness that the mesh is planned for, and whether a plan may be kept: a Context plans
        anew in a cell (3, 3) Å that is much steeper; periodic (3,)."""
        now = steepness(summation_box(cell, periodic, 1.0))
        planned = float(self.planned_steepness)
        if keep and now <= room * planned:
            return planned, True
        self.planned_steepness = torch.tensor(now, dtype=torch.float64)
        return now, False

    def mesh_spacing(self, charges: float, narrowest: float) -> float:
        """Spacing (Å) of the mesh for `charges_of` the structure, times the steepness of its cell,
        and Gaussians up to γ = `narrowest` (Å⁻¹)."""
        spacing = mesh_spacing(narrowest, self.tolerance, charges)
        if self.spacing > spacing:
            raise ValueError(
                f"mesh_spacing: {self.spacing} Å is too coarse for the tolerance and the charges "
                f"here; at most {spacing} Å,"
                " or leave it out"
            )
        return self.spacing if self.spacing > 0.0 else spacing

    def plan(
        self,
        structure: Structure,
        cell: Tensor,
        periodic: Tensor,
        spacing: float,
        widest: float,
        keep: bool,
        room: float = PLANNED_ROOM,
    ) -> tuple[list[int], float]:
        """Points of the mesh along each direction, and the length (Å) of the sum's box across the
        periodic directions; cell (3, 3) Å and periodic (3,) on the CPU.

        A plan leaves room for a tenth in every length. A Context keeps it until that is used up, so
        that the energy is continuous when a barostat changes the volume.
        """
        bulk = bool(periodic.all())
        reach = 0.0
        if not bulk:
            reach = (
                free_width(structure.positions, structure.cell[0], structure.pbc[0])
                + decay(self.tolerance) / widest
                + 1.0
            )
            reach = 2.0 * reach
        size = self.planned_size.cpu()
        width = float(self.planned_width)
        lengths = torch.sqrt((cell**2).sum(dim=1)).to(torch.float64)
        if keep and size.size(0) == 3:
            need = torch.where(periodic, lengths, torch.full_like(lengths, width)) / spacing
            keep = (
                reach <= width
                and bool((need <= size).all())
                and bool((need > 0.5 * size - 4.0).all())
            )
        else:
            keep = False
        if not keep:
            width = room * reach
            planned = (
                room * torch.where(periodic, lengths, torch.full_like(lengths, width)) / spacing
            )
            size = torch.tensor(
                [
                    smooth_size(float(planned[0])),
                    smooth_size(float(planned[1])),
                    smooth_size(float(planned[2])),
                ]
            )
            self.planned_size = size
            self.planned_width = torch.tensor(width, dtype=torch.float64)
        return [int(size[0]), int(size[1]), int(size[2])], width


def charges_of(structure: Structure) -> Tensor:
    """c √⟨c²⟩ (0-dimensional, e²) of mesh_size.py: of charges by bonds the largest reference charge
    and the mean square; else 1, for the tolerance of the sums is that of unit charges."""
    reference = structure.reference_charges
    if reference is None:
        return structure.positions.new_ones(())
    return torch.clamp(reference.abs().max() * reference.square().mean().sqrt(), min=1.0)
