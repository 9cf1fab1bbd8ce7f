"""Folders as `openmm-pqeq run` leaves them, of motion that is known."""

import mdtraj
import numpy as np
from openmm import Vec3, app, unit


def topology_of(symbols, cell):
    """OpenMM's topology of single atoms in a cell (3, 3) Å."""
    topology = app.Topology()
    chain = topology.addChain()
    for symbol in symbols:
        residue = topology.addResidue(symbol.upper(), chain)
        topology.addAtom(symbol, app.Element.getBySymbol(symbol), residue)
    topology.setPeriodicBoxVectors([Vec3(*row) * 0.1 for row in np.asarray(cell)] * unit.nanometer)
    return topology


def write_run(folder, symbols, positions, cells, interval=0.1, **settings):
    """run.toml, topology.pdb and trajectory.dcd of positions (n_frames, n_atoms, 3) Å in cells (3, 3)
    or (n_frames, 3, 3) Å, a frame every `interval` ps."""
    folder.mkdir(parents=True, exist_ok=True)
    cells = np.broadcast_to(cells, (len(positions), 3, 3))
    topology = topology_of(symbols, cells[0])
    with open(folder / "topology.pdb", "w") as file:
        app.PDBFile.writeFile(topology, positions[0] * unit.angstrom, file)
    frames = mdtraj.Trajectory(0.1 * positions, mdtraj.Topology.from_openmm(topology))
    frames.unitcell_vectors = 0.1 * cells
    frames.save_dcd(str(folder / "trajectory.dcd"))
    lines = [f"timestep = {1000 * interval / 10}", "trajectory_interval = 10"]
    lines += [f"{name} = {value!r}" for name, value in settings.items()]
    (folder / "run.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
