"""Molecules of an OpenMM topology, and lists of atoms where the potential is for some of its atoms.

Molecules are what the bonds make of the atoms, with the name of their first atom's residue.
"""

from collections.abc import Iterable
from numbers import Integral
from typing import Any

from openmm import app

from openmm_pqeq.pqeq import electrodes_of, fragments_of
from openmm_pqeq.topology.molecules import NETWORK
from openmm_pqeq.wanted import Molecule, Wanted


def molecules_among(topology: app.Topology, chosen: list[int], places: list[int]) -> list[Molecule]:
    """Molecules that the atoms chosen[place] make; their atoms are places again."""
    atoms = list(topology.atoms())
    place = {chosen[k]: k for k in places}
    parent = {atom: atom for atom in place}

    def root(atom: int) -> int:
        while parent[atom] != atom:
            parent[atom] = parent[parent[atom]]
            atom = parent[atom]
        return atom

    for one, other in [*_bonds(topology), *_of_networks(atoms, parent)]:
        if one in parent and other in parent:
            a, b = sorted((root(one), root(other)))
            parent[b] = a
    found: dict[int, list[int]] = {}
    for atom in parent:
        found.setdefault(root(atom), []).append(atom)
    return [
        Molecule(atoms[members[0]].residue.name, [place[atom] for atom in members])
        for members in found.values()
    ]


def _bonds(topology: app.Topology) -> list[tuple[int, int]]:
    return [(one.index, other.index) for one, other in topology.bonds()]


def _of_networks(atoms: list[app.topology.Atom], known: Iterable[int]) -> list[tuple[int, int]]:
    """Each atom of a covalent network with the first one of its residue: `read_structure` gives
    networks no bonds."""
    first: dict[Any, int] = {}
    pairs = []
    for atom in known:
        residue = atoms[atom].residue
        if residue.name == NETWORK:
            pairs.append((first.setdefault(residue, atom), atom))
    return pairs


def among_chosen(wanted: Wanted, n_particles: int, indices: list[int] | None) -> Wanted:
    """Fragments and electrodes in numbers of the potential's atoms; `indices` are those atoms'
    among the particles, None: all."""
    if indices is None:
        return wanted
    place = {atom: k for k, atom in enumerate(indices)}

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

    fragments, electrodes = wanted.fragments, wanted.electrodes
    if fragments is not None:
        fragments = [within(f"fragments[{k}]", f) for k, f in enumerate(fragments_of(fragments))]
    if electrodes is not None:
        electrodes = [
            (within(f"electrodes[{k}]", atoms), voltage)
            for k, (atoms, voltage) in enumerate(electrodes_of(electrodes, n_particles))
        ]
    return wanted._replace(fragments=fragments, electrodes=electrodes)
