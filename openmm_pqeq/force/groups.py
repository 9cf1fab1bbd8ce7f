"""Fragments and electrodes of an OpenMM topology, for the coupling "fragment" and for constant
voltage.

Without a list of fragments they are the molecules that the topology's bonds make; ions are
molecules of one atom, and their charges are given by the names of their residues. ValueError names
what does not fit.
"""

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

from openmm import app

from openmm_pqeq.force.arguments import names_of
from openmm_pqeq.pqeq import Groups, electrodes_of, fragments_of, groups_of


def topology_groups(
    topology: app.Topology,
    indices: list[int] | None,
    coupling: str,
    fragments: Sequence[Sequence[int]] | None,
    fragment_charges: Sequence[float] | Mapping[str, float] | None,
    electrodes: Sequence[tuple[Sequence[int], float]] | None,
    total_charge: float,
) -> Groups | None:
    """Which of the potential's atoms share their charge; None where all do. `indices` as from
    `model_atoms`."""
    if coupling != "fragment":
        for name, value in (("fragments", fragments), ("fragment_charges", fragment_charges)):
            if value is not None:
                raise ValueError(
                    f'{name}: expected None with coupling="{coupling}", got {value!r}; '
                    'coupling="fragment" takes them'
                )
        if not electrodes:
            return None
    chosen = list(range(topology.getNumAtoms())) if indices is None else indices
    place = {atom: k for k, atom in enumerate(chosen)}

    def within(name: str, atoms: Any) -> Any:
        if isinstance(atoms, str) or not isinstance(atoms, Iterable):
            return atoms
        found = [place.get(int(atom), -1) if isinstance(atom, Integral) else atom for atom in atoms]
        if -1 in found:
            raise ValueError(
                f"{name}: expected indices of the potential's atoms, got "
                f"{list(atoms)[found.index(-1)]}"
            )
        return found

    known = electrodes_of(electrodes, topology.getNumAtoms())
    plates = [
        (within(f"electrodes[{k}]", atoms), voltage) for k, (atoms, voltage) in enumerate(known)
    ]
    lists: list[Any] = []
    charges: Any = fragment_charges
    if coupling == "fragment" and fragments is None:
        held = {atom for atoms, _ in plates for atom in atoms}
        molecules = molecules_of(topology, [atom for atom in chosen if place[atom] not in held])
        lists = [[place[atom] for atom in molecule] for molecule in molecules]
        charges = _charges_of_molecules(topology, molecules, fragment_charges)
    elif fragments is not None:
        lists = [
            within(f"fragments[{k}]", atoms) for k, atoms in enumerate(fragments_of(fragments))
        ]
        if isinstance(fragment_charges, Mapping):
            raise ValueError(
                "fragment_charges: with explicit fragments, expected a list with one charge for "
                "each, got a mapping"
            )
    return groups_of(len(place), lists, charges, plates or None, total_charge)


def molecules_of(topology: app.Topology, atoms: Iterable[int]) -> list[list[int]]:
    """The topology's molecules, as its bonds connect the given atoms."""
    parent = {atom: atom for atom in atoms}

    def root(atom: int) -> int:
        while parent[atom] != atom:
            parent[atom] = parent[parent[atom]]
            atom = parent[atom]
        return atom

    for one, other in topology.bonds():
        if one.index in parent and other.index in parent:
            a, b = sorted((root(one.index), root(other.index)))
            parent[b] = a
    found: dict[int, list[int]] = {}
    for atom in parent:
        found.setdefault(root(atom), []).append(atom)
    return list(found.values())


def _charges_of_molecules(topology: app.Topology, molecules: list[list[int]], charges: Any) -> Any:
    """One charge for each of the topology's molecules: a list as it is, or by the name of its
    residue."""
    atoms = list(topology.atoms())
    if charges is not None and not isinstance(charges, Mapping):
        return charges
    lone = [molecule[0] for molecule in molecules if len(molecule) == 1]
    if charges is None and lone:
        raise ValueError(
            f"fragment_charges: {len(lone)} atoms are bonded to nothing and would be neutral "
            "fragments of their own: "
            f"{names_of([atoms[k] for k in lone])}. Give their charges by residue, such as {{'NA': "
            f"1, 'CL': -1}}, or {{}} for "
            "zero; a molecule needs bonds in the topology"
        )
    names = [atoms[molecule[0]].residue.name for molecule in molecules]
    if unknown := sorted(set(charges or {}) - set(names)):
        raise ValueError(
            f"fragment_charges: no fragment is of a residue {unknown[0]!r}; there are "
            f"{', '.join(sorted(set(names)))}"
        )
    return [(charges or {}).get(name, 0.0) for name in names]
