"""What stands beside the runs: frames of DFT, read from --data FOLDER and kept in the study."""

from typing import Any

import liquid
import mdtraj
import numpy as np
from ase.io import read
from study import Study

from openmm_pqeq.units import ANGSTROM_PER_NM

N_ATOMS, EDGE = 176, 12.42
"""Of the frames that are taken, and Å."""


def frames(study: Study) -> dict[str, Any]:
    """g(r) of the labelled frames of 4 NaCl and 56 H2O; empty where there are none.

    FOLDER/brine_held_out.extxyz is what `validation/brine_frames.py` writes.
    """
    file = None if study.data is None else study.data / "brine_held_out.extxyz"
    if file is None or not file.is_file():
        return study.kept("frames")
    alike = [f for f in read(file, ":") if len(f) == N_ATOMS and abs(f.cell[0, 0] - EDGE) < 0.01]
    topology = mdtraj.Topology()
    residue = topology.add_residue("BOX", topology.add_chain())
    for symbol in alike[0].symbols:
        topology.add_atom(symbol, mdtraj.element.get_by_symbol(symbol), residue)
    made = mdtraj.Trajectory(np.array([f.positions for f in alike]) / ANGSTROM_PER_NM, topology)
    made.unitcell_vectors = np.array([f.cell.array for f in alike]) / ANGSTROM_PER_NM
    content = {
        "source": f"{len(alike)} frames of N. O'Neill et al., arXiv 2311.01527, CC BY-SA 4.0",
        **_shells(made, np.array(alike[0].symbols)),
    }
    study.keep("frames", content)
    return content


def _shells(trajectory: mdtraj.Trajectory, symbols: Any) -> dict[str, Any]:
    found = {}
    for name, radial in liquid.shells_of(trajectory, symbols).items():
        peak, height, minimum, within = liquid.first_of(radial)
        found[name] = {
            "peak": peak,
            "height": height,
            "minimum": minimum,
            "within": within.mean,
            "r": np.round(radial.r, 3).tolist(),
            "g": np.round(radial.g, 3).tolist(),
        }
    return found
