"""A topology with its starting positions, for programs that read trajectories: PDB and PDBx/mmCIF.

PDB has fixed columns. Serial numbers above 99,999 continue in hexadecimal digits from A0000 to
FFFFF, as VMD, OpenMM and mdtraj have them; residues.py keeps names and residues within theirs.
PDBx/mmCIF has no columns and holds any number of atoms and any size.
"""

from pathlib import Path

from openmm import app, unit

from openmm_pqeq.jobs.files import whole

FARTHEST = 9999.0
"""Å; a coordinate of more does not fit the columns of a PDB file."""

MOST_ATOMS = 493_000
"""The last serial number is 493,215, and the ends of chains have some."""


def write_topology(topology: app.Topology, positions: unit.Quantity, path: Path) -> None:
    """Write `path`.pdb and `path`.cif; no .pdb where atoms, coordinates or edges outgrow
    its columns."""
    with whole(path.with_suffix(".cif")) as part, open(part, "w", encoding="utf-8") as file:
        app.PDBxFile.writeFile(topology, positions, file)
    if _fits(topology, positions):
        with whole(path.with_suffix(".pdb")) as part, open(part, "w", encoding="utf-8") as file:
            app.PDBFile.writeFile(topology, positions, file)


def _fits(topology: app.Topology, positions: unit.Quantity) -> bool:
    box = topology.getPeriodicBoxVectors()
    edges = [] if box is None else [max(map(abs, row)) for row in box.value_in_unit(unit.angstrom)]
    coordinates = abs(positions.value_in_unit(unit.angstrom))
    small = max([float(coordinates.max()), *edges]) < FARTHEST
    return small and topology.getNumAtoms() <= MOST_ATOMS
