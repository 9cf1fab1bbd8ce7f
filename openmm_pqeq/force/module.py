"""The potential as a function of what OpenMM hands over: nm and kJ/mol outside, Å and eV inside.

    E(kJ/mol) = 96.485 · E_pot( 10 · positions(nm)[atoms], 10 · box(nm); F = (field_x, field_y,
    field_z) )

TorchForce calls `forward(positions, [box,] field_x, field_y, field_z)` and differentiates the
result itself, by way of holder.py. Reporters call it with one argument more, for all else that the
same evaluation finds: the potential is in the module once. The tensors that TorchForce passes
differ from platform to platform: float64 and 0-dimensional parameters on Reference and CPU, float32
and one-dimensional ones on CUDA.

`compiled.flattened` freezes the module, and freezing removes every `detach` from a TorchScript
graph: what is to be held fixed in a gradient has to be written `data`.
"""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from openmm_pqeq.conditions import Conditions
from openmm_pqeq.finite import check_energy, finite_gradient, named, not_finite
from openmm_pqeq.potential import Potential
from openmm_pqeq.pqeq.coupling import BONDS, along_periodic, has_meaning_along_periods
from openmm_pqeq.structure import Structure, structure_of
from openmm_pqeq.units import ANGSTROM_PER_NM, KJ_PER_MOL_PER_EV

FIELD_PARAMETERS = ("field_x", "field_y", "field_z")
"""Names of OpenMM's global parameters for the field, V/Å, in the order of `forward`."""

LEAST_VACUUM = 1.0
"""Å that slabs and wires have to leave free in their box, across their periodic directions."""


class Report(NamedTuple):
    """Charges (n_atoms,) e, shells (n_atoms, 3) Å, dipole (3,) e Å, and the energies of the terms,
    name → (1,) eV, without derivatives."""

    charges: Tensor
    shells: Tensor
    dipole: Tensor
    terms: dict[str, Tensor]


class PotentialEnergy(nn.Module):
    """Energy of the potential's atoms in OpenMM's units.

    Parameters
    ----------
    potential : as `Potential.compile_for_inference` returns it
    numbers : (n_atoms,) int64, atomic numbers of the potential's atoms
    atoms : (n_atoms,) int64, their indices among the particles; None: all particles, in order
    n_particles : particles of the System
    conditions : of the potential's atoms; their field is the default of `forward`'s
    in_field : whether somebody gave a field, be it zero
    single : compute in float32 instead of float64
    """

    numbers: Tensor
    atoms: Tensor
    particles: Tensor
    pbc: Tensor
    batch: Tensor
    core_charges: Tensor
    reference_charges: Tensor
    total_charge: Tensor
    __jit_ignored_attributes__ = ("default_field",)

    def __init__(
        self,
        potential: Potential,
        numbers: Tensor,
        atoms: Tensor | None,
        n_particles: int,
        conditions: Conditions,
        in_field: bool,
        single: bool,
    ):
        super().__init__()
        self.potential = potential
        self.default_field = conditions.field
        self.single = single
        # whether a derivative in the field need not be known
        self.only_energy = not in_field
        shared = conditions.coupling == BONDS and conditions.groups is not None
        self.refuse_periodic_field = shared or not has_meaning_along_periods(conditions.coupling)
        self.why = (
            "with electrodes or metals" if shared else f'with coupling="{conditions.coupling}"'
        )
        self.instead = "" if shared else ', or use coupling="shell"'
        self.subset = atoms is not None
        self.is_inner = False  # whether of a fast model, for multiple time steps
        self.has_charges = getattr(potential, "pqeq", None) is not None
        self.term_names = list(potential.terms)
        self.angstrom_per_nm = ANGSTROM_PER_NM
        self.kj_per_mol_per_ev = KJ_PER_MOL_PER_EV
        self.is_periodic = any(conditions.periodic)
        self.is_partly_periodic = self.is_periodic and not all(conditions.periodic)
        self.least_vacuum = LEAST_VACUUM
        self.register_buffer("numbers", numbers.to(torch.int64))
        self.register_buffer(
            "atoms", torch.arange(len(numbers)) if atoms is None else atoms.to(torch.int64)
        )
        # as many rows as particles, and nothing in them: tensors are put into a module compiled for
        # another structure, and a size is read without asking a GPU
        self.register_buffer("particles", torch.zeros(n_particles, 0))
        self.register_buffer(
            "total_charge", torch.tensor([conditions.total_charge], dtype=torch.float64)
        )
        self.register_buffer("pbc", torch.tensor([conditions.periodic]))
        given = conditions.reference_charges
        self.has_reference = given is not None
        reference = torch.zeros(0) if given is None else torch.tensor(given)
        self.register_buffer("reference_charges", reference.to(torch.float64))
        present = getattr(potential, "pqeq", None)
        cores = torch.zeros(len(numbers))
        if present is not None:
            kinds = present.kinds(
                structure_of(torch.zeros(len(numbers), 3), numbers, reference_charges=reference)
                if self.has_reference
                else structure_of(torch.zeros(len(numbers), 3), numbers)
            )
            cores = present.core_charge[kinds].clone()
        self.register_buffer("core_charges", cores.to(torch.float64))
        self.register_buffer("batch", torch.zeros(len(numbers), dtype=torch.int64))

    def forward(
        self, positions: Tensor, box: Tensor, field: Tensor, everything: bool = False
    ) -> Tensor:
        """Energy, 0-dimensional, kJ/mol; differentiable in positions and field.

        Parameters
        ----------
        positions : (n_particles, 3) nm
        box : (3, 3) nm, rows
        field : (3,) V/Å
        everything : instead, what a `Report` has, one behind the other, see `report_of`
        """
        if positions.requires_grad and not torch.is_grad_enabled():
            raise RuntimeError(
                "torch.inference_mode, torch.no_grad: OpenMM was called inside one of them, where "
                "torch records no gradient and there are no forces. Call it outside, or within "
                "torch.inference_mode(False) and torch.enable_grad()."
            )
        only_energy = self.only_energy and not everything
        structure = self.structure(positions, box, field, only_energy)
        output = self.potential(structure)
        if everything:
            found = [output.charges, output.shells.flatten(), output.dipole.flatten()]
            return torch.cat(found + list(output.terms.values())).data
        energy = output.energy.sum()
        parts = [output.atomic_energies, output.charges]
        check_energy(energy, parts, self.numbers, self.atoms)
        # TorchForce reads the gradients of positions and field even where this potential depends on
        # neither: let them be zero.
        return energy * self.kj_per_mol_per_ev + 0.0 * (
            structure.positions.sum() + structure.field.sum()
        ).to(energy.dtype)

    @torch.jit.unused
    def negative(self) -> "PotentialEnergy":
        """A copy with the opposite sign, for what is subtracted."""
        result = copy.deepcopy(self)
        result.kj_per_mol_per_ev = -self.kj_per_mol_per_ev
        return result

    def structure(
        self, positions: Tensor, box: Tensor, field: Tensor, only_energy: bool = False
    ) -> Structure:
        """The potential's atoms in Å, checked."""
        dtype = torch.float32 if self.single else torch.float64
        device = self.numbers.device
        if positions.size(0) != self.particles.size(0):
            raise RuntimeError(
                f"topology: the force was made for {self.particles.size(0)} particles, and the System "
                f"has {positions.size(0)}. "
                "Make the force from the topology of that System."
            )
        positions = positions.to(device=device, dtype=dtype)
        if self.subset:
            positions = positions.index_select(0, self.atoms)
        atom = not_finite(positions)
        if atom >= 0:
            name = named(int(self.atoms[atom]), int(self.numbers[atom]))
            raise RuntimeError(
                f"positions: finite numbers are expected, and {name} has NaN or infinity. In a "
                "starting structure: correct it. "
                "During a run: the simulation has become unstable; start from a minimised "
                "structure or use a shorter time step."
            )
        positions = finite_gradient(positions, self.numbers, self.atoms)
        cell = box.to(device=device, dtype=dtype).reshape(1, 3, 3) * self.angstrom_per_nm
        if self.is_partly_periodic:
            self.check_vacuum(positions.detach() * self.angstrom_per_nm, cell[0])
        field = field.to(device=device, dtype=dtype).reshape(1, 3)
        if self.refuse_periodic_field and along_periodic(field[0], cell[0], self.pbc[0]):
            raise RuntimeError(
                f"field: {self.why} a component along a periodic direction "
                "has no meaning, and one that is not zero came. "
                f"Set it to zero{self.instead}."
            )
        reference: Tensor | None = None
        if self.has_reference:
            reference = self.reference_charges.to(dtype)
        return Structure(
            positions=positions * self.angstrom_per_nm,
            numbers=self.numbers,
            cell=cell,
            pbc=self.pbc,
            batch=self.batch,
            total_charge=self.total_charge.to(device=device, dtype=dtype),
            field=field,
            only_energy=only_energy,
            reference_charges=reference,
        )

    def check_vacuum(self, positions: Tensor, cell: Tensor) -> None:
        """RuntimeError where a slab or wire nearly fills its box: OpenMM may wrap atoms at the far
        side and tear it apart."""
        across = positions @ torch.linalg.inv(cell)
        extent = (across.max(dim=0)[0] - across.min(dim=0)[0]) * cell.norm(2, dim=1)
        thin = (extent > cell.norm(2, dim=1) - self.least_vacuum) & ~self.pbc[0]
        if bool(thin.any()):
            axis = int(torch.argmax(thin.to(torch.int64)))
            raise RuntimeError(
                f"periodic: along box vector {axis}, which is not periodic, the atoms reach over "
                f"{float(extent[axis])} Å of a box"
                f" of {float(cell[axis].norm(2))} Å, and OpenMM may wrap atoms there. Leave at "
                f"least {self.least_vacuum} Å of"
                " vacuum: make the box longer (the result does not depend on it), and keep the "
                "atoms in it"
            )


class PeriodicEnergy(nn.Module):
    """The module of a TorchForce in a System with periodic boundary conditions."""

    def __init__(self, energy: PotentialEnergy):
        super().__init__()
        self.energy = energy

    def forward(
        self,
        positions: Tensor,
        box: Tensor,
        field_x: Tensor,
        field_y: Tensor,
        field_z: Tensor,
        everything: bool = False,
    ) -> Tensor:
        """Energy, 0-dimensional, kJ/mol, from nm and V/Å; or what `report_of` reads."""
        field = torch.cat([field_x.reshape(1), field_y.reshape(1), field_z.reshape(1)])
        return self.energy(positions, box, field, everything)


class ClusterEnergy(nn.Module):
    """The module of a TorchForce where nothing is periodic."""

    def __init__(self, energy: PotentialEnergy):
        super().__init__()
        self.energy = energy

    def forward(
        self,
        positions: Tensor,
        field_x: Tensor,
        field_y: Tensor,
        field_z: Tensor,
        everything: bool = False,
    ) -> Tensor:
        """Energy, 0-dimensional, kJ/mol, from nm and V/Å; or what `report_of` reads."""
        field = torch.cat([field_x.reshape(1), field_y.reshape(1), field_z.reshape(1)])
        box = torch.zeros([3, 3], dtype=positions.dtype, device=positions.device)
        return self.energy(positions, box, field, everything)


def report_of(
    module: PeriodicEnergy | ClusterEnergy | torch.jit.ScriptModule,
    positions: Tensor,
    box: Tensor,
    field: Tensor,
) -> Report:
    """Charges, shells, dipole and energies of a module at which it has its energy; arguments as of
    `PotentialEnergy`. No gradient must be recorded."""
    energy, field = module.energy, field.reshape(3, 1)
    inputs = [positions, box, *field] if energy.is_periodic else [positions, *field]
    n_atoms = energy.numbers.size(0)
    sizes = [n_atoms, 3 * n_atoms, 3, len(energy.term_names)]
    charges, shells, dipole, terms = module(*inputs, everything=True).split(sizes)
    named_terms = dict(zip(energy.term_names, terms.split(1), strict=True))
    return Report(charges, shells.reshape(-1, 3), dipole, named_terms)


def compile_once() -> None:
    """Let TorchScript compile each function once, for all shapes and devices; in this process, and
    only where torch has no GPU.

    By default it compiles a function anew, with fused loops, for the shapes of its first calls, and
    keeps what it made. On the CPU the fused loops save nothing: steps of 5, 40 and 135 atoms take as
    long without them, and the first three take 0.05 s in place of 1 s (TorchForce), 0.7 s in place
    of 1.7 s (PythonForce).
    """
    if not torch.cuda.is_available():
        torch.jit.set_fusion_strategy([("DYNAMIC", 0)])


def for_openmm(energy: PotentialEnergy) -> PeriodicEnergy | ClusterEnergy:
    """The module of a force, on the CPU, in evaluation mode, its parameters fixed."""
    module = PeriodicEnergy(energy) if energy.is_periodic else ClusterEnergy(energy)
    return module.to("cpu").eval().requires_grad_(False)


def scripted(module: PeriodicEnergy | ClusterEnergy) -> torch.jit.ScriptModule:
    """The module in TorchScript, for either route."""
    compile_once()
    with undeprecated():
        return torch.jit.script(module)


@contextmanager
def undeprecated() -> Iterator[None]:
    """No warnings of torch 2.10 and later that TorchScript is deprecated; both routes rest on it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit", category=DeprecationWarning)
        yield
