"""ASE calculator: any potential of the package in ASE's units, eV, Å, e.

Computed when asked for: energy and its terms, charges, shells and dipole together; forces and
stress by autograd; polarizability −∂²E/∂F_a∂F_b and Born charges ∂(force_i,b)/∂F_a by implicit
differentiation of the charge solution (pqeq/derivatives/polarizability.py). Stress is (1/V) ∂E/∂ε
in ASE's sign and Voigt order.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from openmm_pqeq.ase_atoms import Course, check_atoms, followed, known_of, structure_under
from openmm_pqeq.ase_results import Results, labelled
from openmm_pqeq.checkpoint import loaded
from openmm_pqeq.conditions import Conditions, by_bonds, checked, settled
from openmm_pqeq.jobs.values import one_of
from openmm_pqeq.potential import Potential
from openmm_pqeq.pqeq import FieldEnergy, Groups
from openmm_pqeq.response import response
from openmm_pqeq.slabs import warn_of_vacuum
from openmm_pqeq.structure import Structure
from openmm_pqeq.topology.facts import charge_in
from openmm_pqeq.wanted import Wanted, tolerance_of

SETTINGS = (*(name for name in Wanted._fields if name != "periodic"), "tolerance")
"""What may be changed later; periodic directions are those of the atoms."""

PRECISION_OF = {"float64": "double", "float32": "single"}
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
    coupling : how charges that flow freely see the field: "shell", "full", or "fragment", with the
        charge of every fragment fixed; None is "shell". Charges by bonds have one of their own
    device : "cpu", "cuda", "cuda:1"
    dtype : "float64" or "float32"
    tolerance : of the charge solution, eV/e and eV/Å; None keeps the potential's
    fragments : for "fragment": lists of atoms; None: the molecules of each structure, from covalent
        radii. Of charges by bonds: metals that float, each with one potential and a charge of its own
    fragment_charges : e, one for each fragment, or a mapping from the names of molecules, with zero
        for the others: HOH for water, the element for a lone atom, as in {"NA": 1, "CL": -1}, else
        the formula of at most three characters (OH, NH4, PF6), or M01, M02, ... in the order of
        first atoms. None: neutral; refused where there are lone atoms
    electrodes : (atoms, voltage in V) of each electrode; other atoms need fragments, unless charges
        flow along bonds
    reference_charges : e, where charges by bonds flow from: by element, such as {"Na": 1, "Cl":
        -1}, or one for each atom; None or "oxidation": oxidation states of the composition

    ``calc.results`` holds energy, free_energy, energy_terms ({"gnn": eV, "pqeq": eV, …},
    those that there are), forces (n, 3) eV/Å, stress (6,) eV/Å³ of cells periodic in three
    directions; charges (n,) e, shells (n, 3) Å and dipole (3,) e Å of potentials with charges,
    energies (n,) of potentials without; on request, as in ``calc.get_property("born_charges",
    atoms)``, polarizability (3, 3) e²Å²/eV and born_charges (n, 3, 3) e [atom, field, force].
    Charges, shells and dipole of a model whose charges add nothing without a field (`universal`) are
    there without one only on request, as by ``atoms.get_charges()``.
    Those that ASE does not know by name are left out when it copies or writes results; `labelled`
    gives atoms that it writes to extxyz with all of them. Periodicity is that of ``atoms.pbc``.

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
        coupling: str | None = None,
        device: str | torch.device = "cpu",
        dtype: str = "float64",
        tolerance: float | None = None,
        fragments: Sequence[Sequence[int]] | None = None,
        fragment_charges: Sequence[float] | Mapping[str, float] | None = None,
        electrodes: Sequence[tuple[Sequence[int], float]] | None = None,
        reference_charges: Mapping[str, float] | Sequence[float] | str | None = None,
    ):
        self._given = loaded(potential)
        self._device = usable_device(device)
        self._dtype = one_of("dtype", str(dtype).removeprefix("torch."), tuple(PRECISION_OF))
        self._settings: tuple[str | None, float | None] | None = None
        self._compiled: Potential | None = None
        self._groups: Groups | None = None
        self._course: Course | None = None
        absent = ("energies",) if self._given.pqeq is not None else CHARGE_PROPERTIES
        self.implemented_properties = [name for name in PROPERTIES if name not in absent]
        wanted = Wanted(
            total_charge,
            field,
            coupling,
            fragments,
            fragment_charges,
            electrodes,
            reference_charges=reference_charges,
        )
        super().__init__(**_settings(wanted, tolerance))

    @property
    def results(self) -> Results:
        """Results of the last calculation, see the class."""
        return self._results

    @results.setter
    def results(self, values: Mapping[str, Any]) -> None:
        self._results = Results(values)

    def set(self, **changes: Any) -> dict[str, Any]:
        """Change any argument from total_charge to reference_charges; results are forgotten. Returns what
        changed."""
        if unknown := [name for name in changes if name not in SETTINGS]:
            raise ValueError(f"{unknown[0]}: not a setting; those are {', '.join(SETTINGS)}")
        settings = {**dict.fromkeys(SETTINGS), **self.parameters, **changes}
        tolerance = tolerance_of(settings.pop("tolerance"))
        self._wanted = checked(Wanted(**settings), self._given)
        plain = _settings(self._wanted, tolerance)
        before = self.parameters
        changed = {
            name: plain[name]
            for name in changes
            if name not in before or before[name] != plain[name]
        }
        self.parameters.update(changed)
        if self._settings != (self._wanted.coupling, tolerance):
            self._settings = (self._wanted.coupling, tolerance)
            self._configured = self._given.configured(
                *self._settings, precision=PRECISION_OF[self._dtype]
            ).to(self._device)
            self.potential, self._compiled, self._groups = self._configured, None, None
        self.reset()
        return changed

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """Names of what changed since the last calculation; the total charge in ``atoms.info``
        counts."""
        changes: list[str] = super().check_state(atoms, tol=tol)
        if self.atoms is not None and self._said(atoms) != self._said(self.atoms):
            changes.append("total_charge")
        return changes

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Iterable[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute `properties`, and what comes with them, into ``results``."""
        if system_changes:
            self.results = {}  # of other atoms, where this was not called by ASE itself
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
        if "cell" in system_changes and "numbers" not in system_changes:
            self._given.limits.warn_of_cell("the cell of these atoms has changed")
        check_atoms(self.atoms)
        self.potential.check_elements(self.atoms.numbers)
        self._course = followed(self._course, self.atoms)
        known = known_of(
            self.atoms,
            self._said(self.atoms),
            bool(wanted & set(CHARGE_PROPERTIES)),
            self._course.first,
        )
        conditions = settled(self._wanted, self._given, known)
        if self._given.pqeq is not None:
            warn_of_vacuum(conditions.field, self.atoms.positions, known.cell, conditions.periodic)
        dtype = getattr(torch, self._dtype)
        structure = structure_under(self.atoms, conditions, dtype, self._device)
        # where none of the charges could be guessed, or nobody asks for them, and the energy needs none
        unknown = by_bonds(self._given) and conditions.reference_charges is None
        if unknown or (self._is_at_rest(conditions) and not wanted & set(CHARGE_PROPERTIES)):
            structure = structure._replace(only_energy=True)
        compiled = self._compiled_for(conditions.groups)
        if wanted & set(RESPONSES):
            self._respond(structure)
        if wanted - set(RESPONSES):
            self._evaluate(
                compiled,
                structure,
                forces=bool(wanted & {"forces", "stress"}),
                stress="stress" in wanted,
            )

    def labelled(self) -> Atoms:
        """A copy of the atoms of the last calculation that ASE writes to extxyz with everything in
        `results`: also Born charges, as the array born_charge (n, 9) e [atom, 3·field + force], shells,
        polarizability and energy_terms. ValueError before any calculation."""
        if self.atoms is None or not (self.results or self.results.beyond_ase):
            raise ValueError("labelled: expected results of a calculation, and there are none yet")
        return labelled(self.atoms, self.results)

    def _said(self, atoms: Atoms) -> float | None:
        """Total charge (e) in ``atoms.info``, where it counts."""
        counts = self._given.pqeq is not None and self._wanted.total_charge is None
        return charge_in(atoms.info) if counts else None

    def _is_at_rest(self, conditions: Conditions) -> bool:
        """Whether charges add nothing to the energy: those of a field, where there is none."""
        alone = isinstance(self._given.pqeq, FieldEnergy) and self._wanted.electrodes is None
        return alone and not any(conditions.field)

    def _compiled_for(self, groups: Groups | None) -> Potential:
        """The compiled potential for atoms of these groups; compiled anew where they are others
        than before."""
        if self._compiled is None or not _same(groups, self._groups):
            self.potential = (
                self._configured if groups is None else self._configured.configured(groups=groups)
            )
            self._compiled, self._groups = self.potential.compile_for_inference(), groups
        return self._compiled

    def _evaluate(
        self, compiled: Potential, structure: Structure, forces: bool, stress: bool
    ) -> None:
        found = compiled.evaluate(structure, forces=forces, stress=stress)
        energy = float(found.energy[0])
        terms = {name: float(value[0]) for name, value in found.terms.items()}
        self.results.add({"energy": energy, "free_energy": energy, "energy_terms": terms})
        if self.potential.pqeq is None:
            self.results.add({"energies": as_array(found.atomic_energies)})
        elif not structure.only_energy:
            charges, shells = as_array(found.charges), as_array(found.shells)
            dipole = as_array(found.dipole[0])
            self.results.add({"charges": charges, "shells": shells, "dipole": dipole})
        if found.forces is not None:
            self.results.add({"forces": as_array(found.forces)})
        if found.stress is not None:
            stress_of = full_3x3_to_voigt_6_stress(as_array(found.stress[0]))
            self.results.add({"stress": stress_of})

    def _respond(self, structure: Structure) -> None:
        """Responses, always in float64: second derivatives of a converged solution."""
        reference = structure.reference_charges
        double = structure._replace(
            positions=structure.positions.double(),
            cell=structure.cell.double(),
            total_charge=structure.total_charge.double(),
            field=structure.field.double(),
            reference_charges=None if reference is None else reference.double(),
        )
        alpha, born = response(self.potential.configured(precision="double"), double)
        self.results.add({"polarizability": as_array(alpha), "born_charges": as_array(born)})


def _settings(wanted: Wanted, tolerance: float | None) -> dict[str, Any]:
    """By the names of `SETTINGS`."""
    values = {**wanted._asdict(), "tolerance": tolerance}
    return {name: values[name] for name in SETTINGS}


def _same(groups: Groups | None, others: Groups | None) -> bool:
    if groups is None or others is None:
        return groups is others
    return all(torch.equal(one, other) for one, other in zip(groups, others))


def usable_device(device: str | torch.device) -> torch.device:
    """The torch device, if this machine has it."""
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError, ValueError, OverflowError):
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


def as_array(tensor: torch.Tensor) -> np.ndarray:
    """Numbers in float64, whatever they were computed in."""
    return tensor.detach().to(device="cpu", dtype=torch.float64).numpy()
