"""How a field F acts on charges and shells: its part of the energy, and the force beside it.

    E(q, s; F) = E_PQEq(q, s) − Σ_i q_i x_i·F + Σ_i Z_i s_i·F,      f_i = −∂E/∂r_i + c_i F

    coupling    x_i, where the solution sees a core           c_i, the ionic charge           along a period
    shell       0: the shells alone see the field             q_i                             yes
    full        r_i                                           0                               no
    fragment    r_i − r of the fragment's first atom, at      Q_f on the fragment's first     yes
                the nearest image                             atom, 0 on the others

`shell` is the coupling of Naserifar et al., J. Chem. Phys. 146, 124117 (2017),
doi:10.1063/1.4978891. The first sum is a change of the electronegativities. The forces c F are no
gradients: they enter the energy as a term of value zero, so that the energy does not depend on the
image of an atom, and Born charges as c_i 1 + F ∂c_i/∂F. V/Å, Å, eV, e.
"""

import torch
from torch import Tensor

from openmm_pqeq.pqeq.groups import Groups, in_metal
from openmm_pqeq.pqeq.minimum.history import nearest_images
from openmm_pqeq.structure import Structure

COUPLINGS = ("shell", "full", "fragment")
BONDS = "bonds"
"""The one coupling of charges by bonds (bonds.py): the field acts on reference charges, along bonds,
and within metals; everything is a gradient of one energy."""

PERIODIC_FIELD = 1e-6
"""A field is along a lattice vector if more than this part of it is; float32 cells are not exact."""


def field_on_shell(core_charge: Tensor, field: Tensor) -> Tensor:
    """Z F, the field's part of ∂E/∂s, (n_atoms, 3) eV/Å."""
    return core_charge.unsqueeze(1) * field


def electronegativity_in_field(
    coupling: str, electronegativity: Tensor, structure: Structure, groups: Groups
) -> Tensor:
    """χ − x·F, (n_atoms,) eV: the field coupling of the cores."""
    field = structure.field[0]
    if coupling == "full":
        return electronegativity - structure.positions @ field
    if coupling == "fragment":
        return electronegativity - within_fragments(structure, groups) @ field
    return electronegativity


def within_fragments(structure: Structure, groups: Groups) -> Tensor:
    """Positions relative to the first atom of each fragment, nearest image, (n_atoms, 3) Å."""
    relative = structure.positions - structure.positions[groups.first[groups.fragment]]
    at_origin = torch.zeros_like(relative)
    return nearest_images(relative, structure.cell[0], structure.pbc[0], at_origin)


def within_groups(structure: Structure, groups: Groups) -> Tensor:
    """`within_fragments` of the atoms that share their charge, zero for all others, (n_atoms, 3)
    Å."""
    if groups.fragment.size(0) == 0:
        return torch.zeros_like(structure.positions)
    return within_fragments(structure, groups) * in_metal(structure, groups).unsqueeze(1)


def ionic_charges(coupling: str, charges: Tensor, groups: Groups) -> Tensor:
    """c (n_atoms,) e, the charges that feel the field outside the energy, from the solution's
    charges (n_atoms,)."""
    if coupling == "shell":
        return charges
    nothing = torch.zeros_like(charges)
    if coupling == "fragment":
        return nothing.index_add(0, groups.first, groups.charge.to(charges.dtype))
    return nothing


def ionic_charge_change(coupling: str, dq: Tensor) -> Tensor:
    """The change of c where the charges change by dq, in the shape of dq."""
    return dq if coupling == "shell" else torch.zeros_like(dq)


def ionic_field_energy(ionic_charge: Tensor, positions: Tensor, field: Tensor) -> Tensor:
    """−Σ c (r·F − r·F held fixed), a scalar of value zero with the forces c F, in eV; c is held
    fixed."""
    # TorchForce freezes its module, which removes every `detach` from the graph; `data` stays
    work = (positions @ field) * ionic_charge.data
    return -(work - work.data).sum()


def ionic_energy_of_free_directions(
    ionic_charge: Tensor, positions: Tensor, structure: Structure
) -> Tensor:
    """−Σ c r·F along the directions that are not periodic, a scalar in eV without derivatives, which
    `ionic_field_energy` has."""
    field = structure.field[0].data
    rows = torch.where(
        structure.pbc[0].unsqueeze(1), structure.cell[0].data, torch.zeros_like(structure.cell[0])
    )
    there = rows.cpu()  # from a GPU, where nine numbers would be work for many kernels
    if bool((there != 0.0).any()):
        field = field - torch.linalg.pinv(there).to(rows.device) @ (rows @ field)
    return -(ionic_charge.data @ (positions.data @ field))


def ionic_born_charges(
    coupling: str, charges: Tensor, charge_response: Tensor, field: Tensor, groups: Groups
) -> Tensor:
    """c_i δ_ab + F_b ∂c_i/∂F_a, the part of the Born charges that is no second derivative of the
    energy: (n_atoms, 3, 3) e, [atom, field, force].

    charge_response : (n_atoms, 3) e Å/V, ∂q_i/∂F_a
    """
    identity = torch.eye(3, dtype=charges.dtype, device=charges.device)
    change = ionic_charge_change(coupling, charge_response)
    return (
        ionic_charges(coupling, charges, groups).view(-1, 1, 1) * identity
        + change.unsqueeze(2) * field
    )


def along_periodic(
    field: Tensor, cell: Tensor, periodic: Tensor, part: float = PERIODIC_FIELD
) -> bool:
    """Whether a field (3,) V/Å has a component along a periodic row of the cell (3, 3) Å.

    periodic : (3,) bool
    part : of the field, below which a component is rounding
    """
    vectors = cell[periodic]
    along = (vectors @ field).abs() > part * vectors.norm(2, dim=1) * field.norm(2)
    return bool(along.any())


def has_meaning_along_periods(coupling: str) -> bool:
    """Whether a field along a period may be coupled so; −Σ q r·F depends on the images of atoms."""
    return coupling != "full"


def check_field(coupling: str, structure: Structure) -> None:
    """ValueError for a field along a periodic direction where the coupling has no meaning there."""
    if not has_meaning_along_periods(coupling) and along_periodic(
        structure.field[0], structure.cell[0], structure.pbc[0]
    ):
        raise ValueError(
            f"field: coupling '{coupling}' has no meaning along a periodic direction; use 'shell', "
            "or a field across it"
        )


def check_groups(coupling: str, structure: Structure, groups: Groups) -> None:
    """ValueError where the coupling needs fragments, or the groups are not those of this
    structure."""
    n, n_grouped = structure.numbers.size(0), groups.fragment.size(0)
    if n_grouped == 0 and coupling == "fragment":
        raise ValueError(
            "fragments: coupling 'fragment' needs to know them; give fragments to create_force, to "
            "the calculator, or groups to Potential.configured"
        )
    if n_grouped > 0 and n_grouped != n:
        raise ValueError(
            f"fragments: those of {n_grouped} atoms, and this structure has {n}; give its own"
        )
