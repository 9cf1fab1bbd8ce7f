"""The potential for openmm-ml: alone, or for some of the atoms of a System with a classical force
field.

    from openmmml import MLPotential
    potential = MLPotential("openmm-pqeq", modelPath="batio3")
    system = potential.createSystem(topology, total_charge=0, precision="double")
    mixed = potential.createMixedSystem(topology, amber_system, ml_atoms)

openmmml finds `PQEqPotentialFactory` through the entry point group `openmmml.potentials`. It does
so while it is being imported itself, so nothing here imports it: the two classes have openmmml's
interfaces (MLPotentialImplFactory, MLPotentialImpl) without inheriting from them.

Versions. openmmml 1.8 needs OpenMM 8.6.1, and TorchForce does not work with it; the force is a
PythonForce unless asked otherwise.

In a mixed System the potential's atoms have the charges of the force field for the others, and
those of PQEq among themselves (mechanical embedding). A field acts on the potential's atoms alone.
"""

import difflib
import inspect
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import openmm
from openmm import app, unit

from openmm_pqeq import checkpoint, versions
from openmm_pqeq.force.arguments import in_e, known_of
from openmm_pqeq.force.barostats import PQEqSystem
from openmm_pqeq.force.create import create_force
from openmm_pqeq.force.system import keep_facts, molecules_force
from openmm_pqeq.potential import Potential
from openmm_pqeq.wanted import directions_of

NEEDED = ("openmm", ">=8.6.1")
"""What openmmml 1.8 works with."""

OPTIONS = tuple(
    name
    for name in inspect.signature(create_force).parameters
    if name not in ("potential", "topology", "atoms")
)
"""Arguments of `create_force` that may be given to MLPotential, createSystem and createMixedSystem;
the later one counts."""

LONG_RANGE = ("ewald", "pme")


class PQEqPotentialFactory:
    """Makes the potential that `MLPotential("openmm-pqeq", ...)` asks for."""

    def createImpl(
        self, name: str, modelPath: Any = None, protocol: str | None = None, **options: Any
    ) -> "PQEqPotentialImpl":
        """The implementation behind an MLPotential.

        Parameters
        ----------
        name : "openmm-pqeq"
        modelPath : name of a model that ships, path of a .pt file, or a Potential
        protocol : as for `load`
        options : those of `create_force`, from total_charge to electrodes; lists of atoms are
            those of the topology

        Raises
        ------
        RuntimeError
            if the installed OpenMM is too old for openmmml, naming the remedy
        ValueError, FileNotFoundError
            for a model that is not there and for options that there are not
        """
        require_openmm()
        if modelPath is None:
            raise ValueError(
                "modelPath: expected the name of a model "
                f"({', '.join(checkpoint.available_models(published=True))}) or the path of a .pt file,"
                f' got none; for example MLPotential("{name}", modelPath="batio3")'
            )
        refuse_unknown(options, mixed=False)
        if isinstance(modelPath, Potential):
            return PQEqPotentialImpl(
                modelPath if protocol is None else modelPath.configured(protocol=protocol), options
            )
        return PQEqPotentialImpl(checkpoint.load(os.fspath(modelPath), protocol=protocol), options)


class PQEqPotentialImpl:
    """A potential of this package as openmmml uses it.

    Parameters
    ----------
    potential : the Potential
    options : arguments of `create_force`, which those of createSystem and createMixedSystem
        override
    """

    def __init__(self, potential: Potential, options: Mapping[str, Any]):
        self.potential = potential
        self.options = dict(options)

    def addForces(
        self,
        topology: app.Topology,
        system: openmm.System,
        atoms: Iterable[int] | None,
        forceGroup: int,
        **args: Any,
    ) -> None:
        """Add the potential to a System, for `atoms` or for all.

        The bonds that the topology has between these atoms come with it, with zero energy:
        barostats move molecules as a whole. So do the fixed atoms and the isotopes' masses of a
        topology from `read_structure`. The System then looks at its barostats, those that it has
        and those that it will be given, as one of `create_system` does.

        Parameters
        ----------
        args : options of `create_force`; those of the embedding are left to it

        Raises
        ------
        ValueError, RuntimeError
            as `create_force`; also for options that there are not, for `periodic` where the
            embedding has already been told otherwise, and for a barostat that scales a direction
            that is not periodic
        """
        chosen = None if atoms is None else list(atoms)
        refuse_unknown(args, mixed=chosen is not None)
        given = {name: value for name, value in args.items() if name in OPTIONS}
        if chosen is not None:
            self._check_mixed(topology, system, chosen, given)
        options = {"backend": "python", **self.options, **given}
        periodic = directions_of(options.get("periodic"), known_of(topology, []))
        PQEqSystem.of(system, topology, periodic, self.potential.limits)
        force = create_force(self.potential, topology, atoms=chosen, **options)
        force.setForceGroup(forceGroup)
        system.addForce(force)
        keep_facts(system, topology)
        bonds = bonds_among(topology, chosen)
        if bonds.getNumBonds() > 0:
            bonds.setForceGroup(forceGroup)
            system.addForce(bonds)

    def getMLLongRange(self) -> bool:
        """Whether the potential's atoms interact with all their periodic images, so that the
        embedding leaves those out."""
        periodic = self.options.get("periodic")
        pqeq = self.potential.pqeq
        return (
            pqeq is not None and pqeq.protocol in LONG_RANGE and (periodic is None or any(periodic))
        )

    def getSupportedEmbeddings(self) -> list[str]:
        """Embeddings of this potential's own: none, so that openmmml never asks it for a mixed
        System itself."""
        return []

    def _check_mixed(
        self,
        topology: app.Topology,
        system: openmm.System,
        atoms: Sequence[int],
        given: Mapping[str, Any],
    ) -> None:
        if "periodic" in given and given["periodic"] != self.options.get("periodic"):
            raise ValueError(
                "periodic: in a mixed System the embedding depends on it and asks before the force "
                "is made. Give it to MLPotential:"
                f' MLPotential("openmm-pqeq", modelPath=..., periodic={given["periodic"]})'
            )
        if (
            topology.getPeriodicBoxVectors() is None
            and system.getNumForces() > 0
            and system.usesPeriodicBoundaryConditions()
        ):
            raise ValueError(
                "topology: the System is periodic, and the topology has no box; use "
                "topology.setPeriodicBoxVectors"
            )
        charge = given.get("total_charge", self.options.get("total_charge"))
        warn_about_charge(system, atoms, 0 if charge is None else charge)


def require_openmm(openmm_version: str | None = None) -> None:
    """RuntimeError where OpenMM (default: what is installed) is too old for openmmml, with the
    remedy."""
    package, accepted = NEEDED
    version = openmm_version or versions.installed(package)
    if version is None or not versions.accepts(accepted, version):
        raise RuntimeError(
            f"openmm-ml 1.8 needs {package}{accepted}, and {package} {version} is installed. "
            "TorchForce is bound to 8.5.2,"
            " so openmm-ml needs an environment of its own, with the PythonForce route:"
            ' pip install "openmm-pqeq[python-route]"'
        )


def refuse_unknown(options: Mapping[str, Any], mixed: bool) -> None:
    """ValueError for an option that there is not.

    In a mixed System the embedding has options of its own; what merely resembles one of ours is
    refused there.
    """
    for name in options:
        similar = difflib.get_close_matches(name, OPTIONS, n=1)
        if name not in OPTIONS and (similar or not mixed):
            meant = f"; did you mean {similar[0]}?" if similar else ""
            raise ValueError(
                f"{name}: no such option of this potential, which has {', '.join(OPTIONS)}{meant}"
            )


def bonds_among(topology: app.Topology, atoms: Sequence[int] | None) -> openmm.HarmonicBondForce:
    """The topology's bonds between these atoms (None: all), with zero energy."""
    bonds = molecules_force(topology)
    if atoms is None:
        return bonds
    inside, chosen = set(atoms), openmm.HarmonicBondForce()
    chosen.setName(bonds.getName())
    for index in range(bonds.getNumBonds()):
        one, two, length, strength = bonds.getBondParameters(index)
        if one in inside and two in inside:
            chosen.addBond(one, two, length, strength)
    return chosen


def warn_about_charge(system: openmm.System, atoms: Sequence[int], total_charge: Any) -> None:
    """Warn where the force field's charges of these atoms sum to something else than the
    potential's total charge."""
    value = in_e(total_charge)
    for force in system.getForces():
        if isinstance(force, openmm.NonbondedForce):
            present = [atom for atom in atoms if atom < force.getNumParticles()]
            charges = [
                force.getParticleParameters(atom)[0].value_in_unit(unit.elementary_charge)
                for atom in present
            ]
            if abs(sum(charges) - value) > 0.5:
                warnings.warn(
                    f"The force field's charges of the potential's atoms sum to {sum(charges):.3f} "
                    "e, and total_charge is"
                    f" {value:g} e. Pass total_charge={round(sum(charges))} if these atoms are an "
                    "ion.",
                    stacklevel=2,
                )
