"""ASE calculator: any potential of the package in ASE's units, eV, Å, e.

Computed when asked for: energy and its terms, charges, shells and dipole together; forces and
stress by autograd; polarizability −∂²E/∂F_a∂F_b and Born charges ∂(force_i,b)/∂F_a by implicit
differentiation of the charge solution (pqeq/derivatives/polarizability.py). Stress is (1/V) ∂E/∂ε
in ASE's sign and Voigt order.
"""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from openmm_pqeq.force.arguments import (
    charge_in_e,
    field_in_volt_per_angstrom,
    loaded,
    one_of,
    tolerance_of,
)
from openmm_pqeq.potential import Potential
from openmm_pqeq.pqeq import COUPLINGS, Groups, along_periodic, electrodes_of, groups_of
from openmm_pqeq.response import response
from openmm_pqeq.structure import Structure, structure_of
from openmm_pqeq.topology.facts import charge_in
from openmm_pqeq.topology.molecules import find_molecules

SETTINGS = (
    "total_charge",
    "field",
    "coupling",
    "tolerance",
    "fragments",
    "fragment_charges",
    "electrodes",
)
PRECISIONS = {"float64": "double", "float32": "single"}
RESPONSES = ("polarizability", "born_charges")
CHARGE_PROPERTIES = ("charges", "shells", "dipole", *RESPONSES)
PROPERTIES = (
    "energy",
    "free_energy",
    "energy_terms",
    "energies",
    "forces",
    "stress",
    *CHARGE_PROPERTIES,
)


class PQEqCalculator(Calculator):
    """Energies, forces, stress, charges and responses of ASE's atoms.

    Parameters
    ----------
    potential : a Potential, or the name or path of one that `load` finds
    total_charge : e; None reads ``atoms.info["charge"]`` or ``["total_charge"]`` (0 without)
    field : (3,) V/Å, or None for no field
    coupling : how the charges see the field: "shell", "full", or "fragment", with the charge of
        every fragment fixed
    device : "cpu", "cuda", "cuda:1"
    dtype : "float64" or "float32"
    tolerance : of the charge solution, eV/e and eV/Å; None keeps the potential's
    fragments : for "fragment": lists of atoms; None: the molecules of each structure, from covalent
        radii
    fragment_charges : e, one for each fragment; None: neutral
    electrodes : (atoms, voltage in V) of each electrode; other atoms need fragments

    ``calc.results`` holds energy, free_energy, energy_terms ({"gnn": eV, "pqeq": eV, …},
    those that there are), forces (n, 3) eV/Å, stress (6,) eV/Å³ of cells periodic in three
    directions; charges (n,) e, shells (n, 3) Å and dipole (3,) e Å of potentials with charges,
    energies (n,) of potentials without; on request, as in ``calc.get_property("born_charges",
    atoms)``, polarizability (3, 3) e²Å²/eV and born_charges (n, 3, 3) e [atom, field, force].
    Periodicity is that of ``atoms.pbc``.

    Raises ValueError for an unusable argument or structure, saying which; RuntimeError where
    charges do not converge; PropertyNotImplementedError for a property that this potential or
    structure does not have.
    """

    implemented_properties: list[str] = [*PROPERTIES]  # noqa: RUF012 (as ASE declares them)
    ignored_changes: set[str] = {"initial_charges", "initial_magmoms"}  # noqa: RUF012

    def __init__(
        self,
        potential: Potential | str | os.PathLike[str],
        total_charge: float | None = None,
        field: Sequence[float] | None = None,
        coupling: str = "shell",
        device: str | torch.device = "cpu",
        dtype: str = "float64",
        tolerance: float | None = None,
        fragments: Sequence[Sequence[int]] | None = None,
        fragment_charges: Sequence[float] | None = None,
        electrodes: Sequence[tuple[Sequence[int], float]] | None = None,
    ):
        self._given = loaded(potential)
        self._device = usable_device(device)
        self._dtype = one_of("dtype", str(dtype).removeprefix("torch."), tuple(PRECISIONS))
        absent = ("energies",) if self._given.pqeq is not None else CHARGE_PROPERTIES
        self.implemented_properties = [name for name in PROPERTIES if name not in absent]
        super().__init__(
            total_charge=total_charge,
            field=field,
            coupling=coupling,
            tolerance=tolerance,
            fragments=fragments,
            fragment_charges=fragment_charges,
            electrodes=electrodes,
        )

    def set(self, **changes: Any) -> dict[str, Any]:
        """Change any argument from total_charge to electrodes; results are forgotten. Returns what
        changed."""
        settings = {**dict.fromkeys(SETTINGS), "coupling": "shell", **self.parameters, **changes}
        if unknown := [name for name in changes if name not in SETTINGS]:
            raise ValueError(f"{unknown[0]}: not a setting; those are {', '.join(SETTINGS)}")
        for name in ("fragments", "fragment_charges"):
            if settings[name] is not None and settings["coupling"] != "fragment":
                raise ValueError(
                    f'{name}: expected None with coupling="{settings["coupling"]}"; '
                    'coupling="fragment" takes them'
                )
        if settings["total_charge"] is not None:
            settings["total_charge"] = charge_in_e(settings["total_charge"])
        if settings["field"] is not None:
            settings["field"] = field_in_volt_per_angstrom(settings["field"])
        one_of("coupling", settings["coupling"], COUPLINGS)
        settings["tolerance"] = tolerance_of(settings["tolerance"])
        if self._given.pqeq is None:
            for name in ("total_charge", "field"):
                if np.any(settings[name]):
                    raise ValueError(
                        f"{name}: this potential has no PQEq term, so nothing answers to it; got "
                        f"{settings[name]}"
                    )
            for name in ("fragments", "fragment_charges", "electrodes"):
                if settings[name] is not None:
                    raise ValueError(
                        f"{name}: this potential has no PQEq term, so it has no charges; leave it "
                        "None"
                    )
        changed = super().set(**{name: settings[name] for name in changes})
        self.potential = self._given.configured(
            coupling=settings["coupling"],
            tolerance=settings["tolerance"],
            precision=PRECISIONS[self._dtype],
        ).to(self._device)
        self._compiled = self.potential.compile_for_inference()
        self._groups: Groups | None = None
        self.reset()
        return changed

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What changed since the last calculation; the total charge in ``atoms.info`` counts."""
        changes: list[str] = super().check_state(atoms, tol=tol)
        if self.atoms is not None and self._charge_of(atoms) != self._charge_of(self.atoms):
            changes.append("total_charge")
        return changes

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Iterable[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute `properties`, and what comes with them, into ``results``."""
        super().calculate(atoms, properties, system_changes)
        wanted = set(properties)
        if missing := wanted - set(self.implemented_properties):
            raise PropertyNotImplementedError(
                f"{', '.join(sorted(missing))}: not a property of this potential"
            )
        crystal = bool(self.atoms.pbc.all())
        if "stress" in wanted and not crystal:
            raise PropertyNotImplementedError(
                f"stress: needs three periodic directions, atoms.pbc is {self.atoms.pbc.tolist()}"
            )
        structure = self._structure_of(self.atoms)
        self._group(self.atoms)
        if wanted & set(RESPONSES):
            self._respond(structure)
        if wanted - set(RESPONSES):
            self._evaluate(
                structure, forces=bool(wanted & {"forces", "stress"}), stress="stress" in wanted
            )

    def _group(self, atoms: Atoms) -> None:
        """Fragments and electrodes of these atoms; molecules are found in these very positions,
        whatever came before."""
        fragments, electrodes = self.parameters["fragments"], self.parameters["electrodes"]
        if self.parameters["coupling"] != "fragment" and not electrodes:
            return
        plates, charge = electrodes_of(electrodes, len(atoms)), self._charge_of(atoms)
        if self.parameters["coupling"] == "fragment" and fragments is None:
            held = {atom for plate, _ in plates for atom in plate}
            molecules, _ = find_molecules(
                atoms.positions, atoms.numbers, atoms.cell.array, atoms.pbc
            )
            fragments = [
                group
                for members in molecules.members
                if (group := [int(a) for a in members if int(a) not in held])
            ]
        groups = groups_of(
            len(atoms), fragments, self.parameters["fragment_charges"], plates, charge
        )
        if self._groups is not None and all(
            torch.equal(new, old) for new, old in zip(groups, self._groups)
        ):
            return
        self.potential = self.potential.configured(groups=groups)
        self._compiled = self.potential.compile_for_inference()
        self._groups = groups

    def _evaluate(self, structure: Structure, forces: bool, stress: bool) -> None:
        found = self._compiled.evaluate(structure, forces=forces, stress=stress)
        energy = float(found.energy[0])
        self.results.update(energy=energy, free_energy=energy)
        self.results["energy_terms"] = {
            name: float(value[0]) for name, value in found.terms.items()
        }
        if self.potential.pqeq is None:
            self.results["energies"] = as_array(found.atomic_energies)
        else:
            self.results.update(
                charges=as_array(found.charges),
                shells=as_array(found.shells),
                dipole=as_array(found.dipole[0]),
            )
        if found.forces is not None:
            self.results["forces"] = as_array(found.forces)
        if found.stress is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(as_array(found.stress[0]))

    def _respond(self, structure: Structure) -> None:
        """Responses, always in float64: second derivatives of a converged solution."""
        double = structure._replace(
            positions=structure.positions.double(),
            cell=structure.cell.double(),
            total_charge=structure.total_charge.double(),
            field=structure.field.double(),
        )
        polarizability, born_charges = response(
            self.potential.configured(precision="double"), double
        )
        self.results.update(
            polarizability=as_array(polarizability), born_charges=as_array(born_charges)
        )

    def _charge_of(self, atoms: Atoms) -> float:
        """Total charge in e: the argument, or what the atoms say. Without PQEq nothing asks for
        it."""
        if self._given.pqeq is None:
            return 0.0
        if self.parameters["total_charge"] is not None:
            return float(self.parameters["total_charge"])
        return charge_in(atoms.info) or 0.0

    def _structure_of(self, atoms: Atoms) -> Structure:
        """Atoms as the potential takes them, or ValueError that says what is wrong with them."""
        check_atoms(atoms)
        self.potential.check_elements(atoms.numbers)
        field = self.parameters["field"] or (0.0, 0.0, 0.0)
        if self.parameters["coupling"] == "full":
            refuse_field_along_cell(np.array(field), atoms)
        options: dict[str, Any] = {"dtype": getattr(torch, self._dtype), "device": self._device}
        periodic = bool(atoms.pbc.any())
        return structure_of(
            torch.tensor(atoms.positions, **options),
            torch.tensor(atoms.numbers),
            torch.tensor(atoms.cell.array, **options) if periodic else None,
            torch.tensor(atoms.pbc) if periodic else None,
            total_charge=self._charge_of(atoms),
            field=torch.tensor(field, **options),
        )


def usable_device(device: str | torch.device) -> torch.device:
    """The torch device, if this machine has it."""
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(
            f"device: expected a torch device such as 'cpu' or 'cuda', got {device!r}"
        ) from None
    if found.type not in ("cpu", "cuda"):
        raise ValueError(f"device: expected 'cpu' or 'cuda', got {device!r}")
    n_devices = (
        torch.cuda.device_count() if found.type == "cuda" and torch.cuda.is_available() else 0
    )
    if found.type == "cuda" and (found.index or 0) >= n_devices:
        raise ValueError(
            f"device: no {device!r} here, torch finds {n_devices} CUDA devices; use device='cpu', "
            "or install torch for CUDA"
        )
    return found


def check_atoms(atoms: Atoms) -> None:
    """ValueError for no atoms, positions or cell that are no numbers, and cell vectors that span
    nothing."""
    if len(atoms) == 0:
        raise ValueError("atoms: expected at least one atom, got none")
    if bad := np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1)).tolist():
        raise ValueError(
            f"atoms.positions: expected finite numbers (Å), got NaN or infinity for atoms {bad[:5]}"
        )
    periodic = atoms.cell.array[atoms.pbc]
    if not np.isfinite(periodic).all():
        raise ValueError(
            f"atoms.cell: expected finite numbers (Å), got {atoms.cell.array.tolist()}"
        )
    lengths = np.linalg.norm(periodic, axis=1)
    if (lengths < 1e-3).any() or (
        len(periodic) and np.linalg.svd(periodic / lengths[:, None])[1].min() < 1e-3
    ):
        raise ValueError(
            "atoms.cell: singular; expected linearly independent vectors along the periodic "
            f"directions {atoms.pbc.tolist()}, got"
            f" {atoms.cell.array.tolist()} (Å). Give a cell, or set atoms.pbc to what is periodic"
        )


def refuse_field_along_cell(field: np.ndarray, atoms: Atoms) -> None:
    """ValueError where a field has a component along a periodic cell vector: with "full", charge
    would flow for ever."""
    if along_periodic(torch.tensor(field), torch.tensor(atoms.cell.array), torch.tensor(atoms.pbc)):
        raise ValueError(
            f"field: {field.tolist()} V/Å has a component along the periodic cell vectors "
            f"{atoms.cell.array[atoms.pbc].tolist()}; coupling 'full' needs that direction not "
            "periodic. Use coupling='shell', or set atoms.pbc"
        )


def as_array(tensor: torch.Tensor) -> np.ndarray:
    """Numbers in float64, whatever they were computed in."""
    return tensor.detach().to(device="cpu", dtype=torch.float64).numpy()
