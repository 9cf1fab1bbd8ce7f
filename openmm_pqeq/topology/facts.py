"""What a structure file says beyond elements, positions and cell, on its way to every door.

`read_structure` keeps it on the topology as `topology.pq_facts`; charge in e, masses in amu.
"""

from typing import NamedTuple

from openmm import app


class StructureFacts(NamedTuple):
    """Of one structure.

    total_charge : e, or None where the file says nothing
    fixed : atoms that the file holds in place, ascending
    masses : amu by atom, where the file's isotopes differ from the element's standard mass
    notes : a sentence for each thing that was taken from the file, or left out of it
    """

    total_charge: float | None = None
    fixed: tuple[int, ...] = ()
    masses: dict[int, float] = {}  # noqa: RUF012 (read only)
    notes: tuple[str, ...] = ()


def facts_of(topology: app.Topology) -> StructureFacts:
    """The facts of a topology's file; none for a topology from elsewhere."""
    facts = getattr(topology, "pq_facts", None)
    return facts if isinstance(facts, StructureFacts) else StructureFacts()
