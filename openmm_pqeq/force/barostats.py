"""Which barostats may change a box: those that leave its directions alone that are not periodic.

| barostat               | scales                               |
|------------------------|--------------------------------------|
| MonteCarlo             | a, b, c by one factor                |
| MonteCarloAnisotropic  | the axes that it is told, each alone |
| MonteCarloFlexible     | a, b, c and the angles               |
| MonteCarloMembrane     | a and b, and c unless it is ZFixed   |

The length of a box along a direction that is not periodic is nobody's property: it holds the vacuum
beside a slab, it has no pressure, and under a barostat it wanders.
"""

import warnings
from typing import Any

import openmm
from openmm import app, unit

from openmm_pqeq.limits import Limits
from openmm_pqeq.topology.facts import facts_of

BAROSTATS = (
    openmm.MonteCarloBarostat,
    openmm.MonteCarloAnisotropicBarostat,
    openmm.MonteCarloFlexibleBarostat,
    openmm.MonteCarloMembraneBarostat,
)
NONMETALS = frozenset({"H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I"})

Directions = tuple[bool, bool, bool]


class PQEqSystem(openmm.System):
    """An openmm.System that knows its topology and which box vectors are periodic, and looks at the
    barostats that it is given.

    Copies, and systems read from XML, are plain openmm.System objects.
    """

    topology: app.Topology | None = None
    periodic: Directions = (True, True, True)
    limits: Limits = Limits()

    def addForce(self, force: openmm.Force) -> int:
        """Add a force, see openmm.System.addForce.

        Raises ValueError for a barostat that scales a direction that is not periodic; warns of one
        that moves atoms where it should move molecules, or atoms that are fixed, and of barostats
        and temperatures that the model is not for.
        """
        if self.topology is not None:
            refuse_barostat(force, self.periodic)
        index = super().addForce(force)
        self._warn(force)
        return index

    def _warn(self, force: openmm.Force) -> None:
        if self.topology is not None and isinstance(force, BAROSTATS):
            warn_about_barostat(self, self.topology)
            self.limits.warn_of_cell(f"{type(force).__name__} changes it")
        if isinstance(force, (*BAROSTATS, openmm.AndersenThermostat)):
            kelvin = force.getDefaultTemperature()
            self.limits.warn_of_temperature(kelvin.value_in_unit(unit.kelvin))

    @classmethod
    def of(
        cls, system: openmm.System, topology: app.Topology, periodic: Directions, limits: Limits
    ) -> None:
        """Let a System that somebody else has made, openmm-ml say, look at its barostats: at those
        it has, and at those that it will be given. The object stays the same; its class changes.

        Raises and warns as `addForce`, before anything has changed.
        """
        forces = system.getForces()
        for force in forces:
            refuse_barostat(force, periodic)
        if type(system) is not openmm.System:
            return
        system.__class__ = cls
        system.topology, system.periodic, system.limits = topology, periodic, limits
        for force in forces:
            system._warn(force)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a plain System."""
        return openmm.XmlSerializer.deserialize, (openmm.XmlSerializer.serialize(self),)


def refuse_barostat(force: openmm.Force, periodic: Directions) -> None:
    """ValueError for a barostat that scales a box vector that is not periodic."""
    if not isinstance(force, BAROSTATS) or all(
        allowed or not scaled for allowed, scaled in zip(periodic, scaled_axes(force))
    ):
        return
    names = "".join("abc"[axis] for axis in range(3) if not periodic[axis])
    remedy = "leave the barostat away (NVT)"
    if any(periodic):
        remedy = (
            "use openmm.MonteCarloAnisotropicBarostat(pressures, temperature, "
            f"{', '.join(map(str, periodic))}), in a run barostat = anisotropic with scale_axes = "
            f"{' '.join(str(axis).lower() for axis in periodic)}; or {remedy}"
        )
    raise ValueError(
        f"barostat: {type(force).__name__} would scale the box along {names}, and that is not "
        f"periodic; {remedy}"
    )


def scaled_axes(barostat: openmm.Force) -> Directions:
    """Which box vectors a barostat changes."""
    if isinstance(barostat, openmm.MonteCarloAnisotropicBarostat):
        return (barostat.getScaleX(), barostat.getScaleY(), barostat.getScaleZ())
    if isinstance(barostat, openmm.MonteCarloMembraneBarostat):
        return (True, True, barostat.getZMode() != barostat.ZFixed)
    return (True, True, True)


def warn_about_barostat(system: openmm.System, topology: app.Topology) -> None:
    """Warn if a barostat of the system will move atoms where it should move molecules, or atoms
    that are fixed.

    The former is if the topology has no bonds and its elements are those of molecules: H beside C,
    N or O, or non-metals alone.
    """
    if not any(isinstance(force, BAROSTATS) for force in system.getForces()):
        return
    if topology.getNumBonds() == 0 and looks_molecular(topology):
        warnings.warn(
            "The topology has no bonds, so the barostat moves every atom by itself. That is right "
            "for a crystal of atoms or ions; "
            "with molecules it would refuse nearly every volume change. Give the topology its "
            "bonds before create_system: "
            "read_structure(..., bonds=True), or topology.addBond.",
            stacklevel=3,
        )
    if fixed := facts_of(topology).fixed:
        warnings.warn(
            f"The structure file fixes {len(fixed)} atoms, and a barostat scales their positions "
            "with the box: they stay fixed in the cell's coordinates only.",
            stacklevel=3,
        )


def looks_molecular(topology: app.Topology) -> bool:
    """Whether the elements are those of molecules: H beside C, N or O, or non-metals alone, pure
    carbon and phosphorus excepted."""
    elements = {atom.element.symbol for atom in topology.atoms() if atom.element is not None}
    return ("H" in elements and bool(elements & {"C", "N", "O"})) or (
        elements <= NONMETALS and not elements <= {"C", "P"}
    )
