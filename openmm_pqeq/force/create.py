"""From a potential to OpenMM: a Force, or a whole System.

    E = E_pot(positions, box; Q, F) of the potential's atoms, in one openmm.Force

The components of the field are global parameters `field_x`, `field_y`, `field_z` (V/Å): change them
with `context.setParameter`.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import openmm
import torch
from openmm import app

from openmm_pqeq import versions
from openmm_pqeq.checkpoint import loaded
from openmm_pqeq.conditions import by_bonds, settled
from openmm_pqeq.force import arguments as argument
from openmm_pqeq.force import torch_force
from openmm_pqeq.force.barostats import PQEqSystem, warn_about_barostat
from openmm_pqeq.force.groups import among_chosen
from openmm_pqeq.force.module import PotentialEnergy
from openmm_pqeq.force.python_force import python_force
from openmm_pqeq.force.system import constraint_list, masses, molecules_force
from openmm_pqeq.force.time_steps import INNER_GROUP, INNER_NAME, OUTER_GROUP, inner_potential
from openmm_pqeq.gradients import recorded
from openmm_pqeq.jobs.values import boolean, one_of
from openmm_pqeq.potential import PRECISIONS, Potential
from openmm_pqeq.structure import SYMBOLS
from openmm_pqeq.topology.facts import facts_of
from openmm_pqeq.wanted import Wanted, tolerance_of

__all__ = ["create_energy", "create_force", "create_system", "warn_about_barostat"]


def create_force(
    potential: Potential | str | os.PathLike[str],
    topology: app.Topology,
    total_charge: float | None = None,
    field: Sequence[float] | None = None,
    coupling: str | None = None,
    fragments: Sequence[Sequence[int]] | None = None,
    periodic: Sequence[bool] | None = None,
    atoms: Sequence[int] | None = None,
    backend: str = "torchscript",
    precision: str = "mixed",
    tolerance: float | None = None,
    fragment_charges: Sequence[float] | Mapping[str, float] | None = None,
    electrodes: Sequence[tuple[Sequence[int], float]] | None = None,
    reference_charges: Mapping[str, float] | Sequence[float] | str | None = None,
) -> openmm.Force:
    """The potential as an OpenMM Force.

    Parameters
    ----------
    potential : Potential, or the name or path of one
    topology : of the System the force is for: its elements and whether it has a box. Particles
        without an element (virtual sites) are refused unless `atoms` leaves them out.
    total_charge : e, of the potential's atoms; a number or a Quantity. Default: what the structure
        file says (see `read_structure`), or 0
    field : (3,) V/Å, or a Quantity with the dimension of a field; the default values of the
        parameters `field_x`, `field_y`, `field_z`. Default: none, and zero values. A potential whose
        charges add nothing without a field (`energy = "field"`, such as `universal`) solves for
        them where a field is given, be it (0, 0, 0), and else from the first one on
    coupling : of charges that flow freely, default: "shell"; charges by bonds have one of their own
        and refuse others. "shell": shells answer the field and ions feel q F. "full": charges
        answer too; refused along periodic directions, by this function and, after
        `context.setParameter`, by the next evaluation. "fragment": charges answer within each
        fragment, whose own charge is fixed, with or without a field.
    fragments : for the coupling "fragment": lists of atoms whose charge stays what it is; default:
        the topology's molecules. Beside charges by bonds: metals that float, each with one potential
        and a charge of its own
    fragment_charges : e, one for each fragment, or for the topology's molecules a mapping from
        residue names, such as {"NA": 1, "CL": -1}; default: neutral
    electrodes : (atoms, voltage in V) of each electrode; charge flows between them until each has
        its potential. Other atoms need fragments. The energy is the electric enthalpy E − Σ V Q
    reference_charges : e, where charges by bonds flow from: by element or residue, such as {"Na": 1,
        "Cl": -1}, or one for each of the potential's atoms. Default ("oxidation"): oxidation states
        of the composition that add up to the total charge, refused where these are ambiguous.
        Constant in time: an ion that moves through a crystal carries its own
    periodic : three booleans, one for each box vector. Default: as the structure file says
        (`topology.pq_pbc`), else all of them if the topology has a box. A slab must stay inside its
        box: OpenMM does not know that a direction is not periodic.
    atoms : indices of the atoms that the potential is for; default: all. The others exert and feel
        nothing here.
    backend : "torchscript": openmmtorch.TorchForce. "python": openmm.PythonForce, with any torch;
        it has no energy-parameter derivatives and computes forces even where energies would do.
    precision : "double" (float64), "mixed" (networks and pair kernels in float32), "single"
    tolerance : of the charge solution; default: the potential's own

    Notes
    -----
    With TorchForce, `getState(parameterDerivatives=True)` gives the partial derivative of the
    energy with respect to the field: −Σ(q r − Z s) at the images given ("shell"). It costs a
    gradient in energy-only evaluations. Where a potential with `energy = "field"` has not solved
    for charges, because no field was given yet, it is NaN.

    OpenMM's minimiser works with TorchForce only without a MinimizationReporter: with one OpenMM holds
    Python's lock, and torch takes no gradient then.

    With "shell" and a field the force is −∇E + q F, not the gradient of the energy: energy is not
    conserved while a field does work.

    The force is generic after a System was read from XML; `openmmtorch.TorchForce.cast` tells more.
    Reading needs `import openmm_pqeq` first.

    Raises
    ------
    ValueError
        for arguments that do not fit, naming the argument
    RuntimeError
        if the installed versions cannot carry the backend

    Errors inside the force (positions that are not finite, charges that do not converge) become
    openmm.OpenMMException.
    """
    wanted = Wanted(
        total_charge,
        field,
        coupling,
        fragments,
        fragment_charges,
        electrodes,
        periodic,
        reference_charges,
    )
    return _force(potential, topology, wanted, atoms, precision, tolerance, backend)[0]


def create_energy(
    potential: Potential | str | os.PathLike[str],
    topology: app.Topology,
    total_charge: float | None = None,
    field: Sequence[float] | None = None,
    coupling: str | None = None,
    fragments: Sequence[Sequence[int]] | None = None,
    periodic: Sequence[bool] | None = None,
    atoms: Sequence[int] | None = None,
    precision: str = "mixed",
    tolerance: float | None = None,
    fragment_charges: Sequence[float] | Mapping[str, float] | None = None,
    electrodes: Sequence[tuple[Sequence[int], float]] | None = None,
    reference_charges: Mapping[str, float] | Sequence[float] | str | None = None,
    compiled: bool = True,
) -> PotentialEnergy:
    """The energy that `create_force` hands to OpenMM, before it is scripted; arguments and errors
    are those of `create_force`.

    compiled : False leaves the potential as it was trained, for comparison
    """
    wanted = Wanted(
        total_charge,
        field,
        coupling,
        fragments,
        fragment_charges,
        electrodes,
        periodic,
        reference_charges,
    )
    return _energy(potential, topology, wanted, atoms, precision, tolerance, compiled)


def create_system(
    potential: Potential | str | os.PathLike[str],
    topology: app.Topology,
    total_charge: float | None = None,
    field: Sequence[float] | None = None,
    coupling: str | None = None,
    fragments: Sequence[Sequence[int]] | None = None,
    periodic: Sequence[bool] | None = None,
    atoms: Sequence[int] | None = None,
    backend: str = "torchscript",
    precision: str = "mixed",
    tolerance: float | None = None,
    hydrogenMass: Any = None,
    constraints: Any = None,
    removeCMMotion: bool = True,
    fragment_charges: Sequence[float] | Mapping[str, float] | None = None,
    electrodes: Sequence[tuple[Sequence[int], float]] | None = None,
    reference_charges: Mapping[str, float] | Sequence[float] | str | None = None,
    inner_model: Potential | str | os.PathLike[str] | None = None,
) -> openmm.System:
    """A System with the topology's particles and box, and the potential as its force.

    The topology's bonds are listed in a force of zero energy, so that barostats move whole
    molecules. Without bonds they move atoms, which is right for crystals; adding a barostat to
    molecules without bonds warns, and one that would scale a direction that is not periodic is
    refused by the System's `addForce`, which also warns of one that the model is not for.

    What `read_structure` found in the file is followed: isotopes have their masses; fixed atoms
    have mass 0, so that OpenMM neither moves them in dynamics nor in its minimiser.

    Parameters
    ----------
    potential, topology, total_charge, field, coupling, fragments, periodic, atoms, backend,
    precision, tolerance, fragment_charges, electrodes
        as for `create_force`
    hydrogenMass : amu or a Quantity; mass moved from heavy atoms to the hydrogens bonded to them,
        as in app.ForceField
    constraints : None, `app.HBonds` (lengths are sums of covalent radii), or a list of (i, j,
        distance), distances being Quantities or nm
    removeCMMotion : add a CMMotionRemover; not where atoms are fixed, which holds the others
        already
    inner_model : a fast model of the same energy, without charges, for multiple time steps:
        `openmm.MTSLangevinIntegrator(temperature, friction, 4 fs, openmm_pqeq.time_steps(4))` moves
        the atoms by it four times a step, and corrects by the difference once, see
        force/time_steps.py

    Raises
    ------
    ValueError, RuntimeError
        as `create_force`; also for hydrogens without bonds where `hydrogenMass` or `constraints`
        need them
    """
    wanted = Wanted(
        total_charge,
        field,
        coupling,
        fragments,
        fragment_charges,
        electrodes,
        periodic,
        reference_charges,
    )
    removeCMMotion = boolean("removeCMMotion", removeCMMotion)
    potential = loaded(potential)
    force, energy = _force(potential, topology, wanted, atoms, precision, tolerance, backend)
    inner: tuple[openmm.Force, ...] = ()
    if inner_model is not None:
        inner = _inner_forces(inner_model, topology, energy, atoms, precision, backend)
        force.setForceGroup(OUTER_GROUP)
    system = PQEqSystem()
    for mass in masses(topology, hydrogenMass):
        system.addParticle(mass)
    box = topology.getPeriodicBoxVectors()
    if box is not None:
        system.setDefaultPeriodicBoxVectors(*box)
    for i, j, length in constraint_list(topology, constraints):
        system.addConstraint(i, j, length)
    for part in (force, *inner):
        system.addForce(part)
    if topology.getNumBonds() > 0:
        system.addForce(molecules_force(topology))
    if removeCMMotion and not facts_of(topology).fixed:
        system.addForce(openmm.CMMotionRemover())
    system.topology = topology
    a, b, c = energy.pbc[0].tolist()
    system.periodic = (a, b, c)
    system.limits = potential.limits
    return system


@recorded()
def _force(
    potential: Potential | str | os.PathLike[str],
    topology: app.Topology,
    wanted: Wanted,
    atoms: Sequence[int] | None,
    precision: str,
    tolerance: float | None,
    backend: str,
) -> tuple[openmm.Force, PotentialEnergy]:
    """The scripted energy in the Force of its backend, with the field as default parameters; and
    the energy."""
    one_of("backend", backend, versions.BACKENDS)
    versions.require(backend)
    energy = _energy(potential, topology, wanted, atoms, precision, tolerance)
    force = _carried(energy, backend)
    force.setName("openmm_pqeq")
    return force, energy


@recorded()
def _inner_forces(
    inner_model: Potential | str | os.PathLike[str],
    topology: app.Topology,
    outer: PotentialEnergy,
    atoms: Sequence[int] | None,
    precision: str,
    backend: str,
) -> tuple[openmm.Force, openmm.Force]:
    """The inner model in the inner group, and its negative in the outer one. A parameter has one
    default in OpenMM, so these have the field of the others, and no use for it."""
    alone = Wanted(periodic=outer.pbc[0].tolist())
    model = inner_potential(inner_model)
    try:
        energy = _energy(model, topology, alone, atoms, precision, None)
    except ValueError as error:
        raise ValueError(f"inner_model: {error}") from None
    energy.default_field, energy.is_inner = outer.default_field, True
    inner, subtracted = _carried(energy, backend), _carried(energy.negative(), backend)
    inner.setName(INNER_NAME)
    inner.setForceGroup(INNER_GROUP)
    subtracted.setName(f"{INNER_NAME}, subtracted")
    subtracted.setForceGroup(OUTER_GROUP)
    return inner, subtracted


def _carried(energy: PotentialEnergy, backend: str) -> openmm.Force:
    """The energy in the Force of its backend."""
    return torch_force.torch_force(energy) if backend == "torchscript" else python_force(energy)


@recorded()
def _energy(
    potential: Potential | str | os.PathLike[str],
    topology: app.Topology,
    wanted: Wanted,
    atoms: Sequence[int] | None,
    precision: str,
    tolerance: float | None,
    compiled: bool = True,
) -> PotentialEnergy:
    """The potential of the chosen atoms under the conditions that are wanted, in plain numbers and
    the potential's own count of atoms."""
    one_of("precision", precision, PRECISIONS)
    potential = loaded(potential)
    numbers, indices = argument.model_atoms(topology, atoms, potential)
    wanted = among_chosen(wanted, topology.getNumAtoms(), indices)._replace(
        total_charge=argument.in_e(wanted.total_charge),
        field=argument.in_volt_per_angstrom(wanted.field),
    )
    in_field = wanted.field is not None
    known = argument.known_of(topology, indices)._replace(charges_wanted=in_field)
    conditions = settled(wanted, potential, known)
    ready = potential.configured(
        coupling=None if by_bonds(potential) else conditions.coupling,
        tolerance=tolerance_of(tolerance),
        precision=precision,
        groups=conditions.groups,
        elements=sorted({SYMBOLS[number] for number in numbers}),
    )
    return PotentialEnergy(
        ready.compile_for_inference() if compiled else ready.eval().requires_grad_(False),
        numbers=torch.tensor(numbers),
        atoms=None if indices is None else torch.tensor(indices),
        n_particles=topology.getNumAtoms(),
        conditions=conditions,
        in_field=in_field,
        single=precision == "single",
    )
