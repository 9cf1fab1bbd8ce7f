"""The last frame of a run for the viewer: atoms inside the cell, and sticks of bonds.

A stick goes from an atom half the way to its neighbour's nearest image, so bonds across the cell's
faces are seen on both sides. Bonds are pairs nearer than 1.2 times the sum of covalent radii
(Cordero et al., doi:10.1039/b801115j), not between two metals unless there is nothing else.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from ase.data.colors import jmol_colors
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray
from openmm import app, unit

from openmm_pqeq.md.restart import read_restart
from openmm_pqeq.md.state import state_from
from openmm_pqeq.pages import page

MOST_ATOMS = 100_000
"""That the viewer takes; more would make the page hundreds of megabytes."""
MOST_BONDED = 20_000
"""Atoms, beyond which only atoms are drawn."""
BOND = 1.2
BALL = 0.45
"""Radius of an atom, as part of its covalent radius."""
NONMETALS = (1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 33, 34, 35, 36, 52, 53, 54, 85, 86)
"""Atomic numbers."""


class Frame(NamedTuple):
    """A frame of a run.

    atoms : positions (Å) and cell
    stage, step : of the run; step 0 of "start" without a restart file
    charges : (n_atoms,) e, of the latest frame of charges.h5; None without one
    """

    atoms: Atoms
    stage: str
    step: int
    charges: NDArray[np.float64] | None


def last_frame(folder: Path) -> Frame:
    """The positions of the restart file, or else those that the run began with; FileNotFoundError
    where a folder has neither."""
    symbols, start, box = _topology(folder)
    atoms = Atoms(symbols, start, cell=box, pbc=box is not None)
    stage, step = "start", 0
    if (folder / "restart.zip").is_file():
        restart = read_restart(folder / "restart.zip")
        state = state_from(restart.state)
        places = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
        if len(places) == len(atoms):
            atoms.positions[:] = places
            if box is not None:
                atoms.cell[:] = state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(
                    unit.angstrom
                )
            stage, step = restart.stage, restart.step
    return Frame(atoms, stage, step, _charges(folder / "charges.h5", len(atoms)))


def _topology(folder: Path) -> tuple[list[str], Any, Any]:
    """Symbols, positions (Å) and box (Å), None without one."""
    readers = {"topology.cif": app.PDBxFile, "topology.pdb": app.PDBFile}
    for name, reader in readers.items():
        if (folder / name).is_file():
            try:
                read = reader(str(folder / name))
                symbols = [atom.element.symbol for atom in read.topology.atoms()]
            except Exception as error:  # OpenMM's readers raise what comes
                raise ValueError(
                    f"folder: {folder / name} cannot be read ({type(error).__name__}: {error}); bring it "
                    "back, or take it away where the other topology is whole"
                ) from error
            box = read.topology.getPeriodicBoxVectors()
            cell = None if box is None else np.array(box.value_in_unit(unit.angstrom))
            return symbols, read.getPositions(asNumpy=True).value_in_unit(unit.angstrom), cell
    raise FileNotFoundError(f"folder: {folder} has neither topology.cif nor topology.pdb")


def _charges(path: Path, n_atoms: int) -> NDArray[np.float64] | None:
    import h5py

    if not path.is_file():
        return None
    try:
        with h5py.File(path, locking=False) as file:
            charges = file["charges"]
            return (
                np.array(charges[-1]) if charges.shape[1:] == (n_atoms,) and len(charges) else None
            )
    except (OSError, KeyError):  # being written, or cut
        return None


def viewer(frame: Frame) -> str:
    """The frame in three dimensions; a sentence where there are too many atoms."""
    atoms, charges = frame.atoms, frame.charges
    if len(atoms) > MOST_ATOMS:
        return page.paragraph(f"{len(atoms):,} atoms are too many for this page.")
    keys = "".join(
        f'<span class="key"><i style="background:rgb({",".join(map(str, _color(symbol)))})"></i>'
        f"{symbol}</span>"
        for symbol in sorted(set(atoms.get_chemical_symbols()))
    )
    buttons = [f'<button data-view="{axis}">along {axis}</button>' for axis in "xyz"]
    buttons.append('<button data-view="reset">reset</button>')
    note = ""
    if charges is not None:
        buttons.append('<button data-view="charge">color by charge</button>')
        most = np.abs(charges).max()
        note = f"Charges from red, −{most:.2f} e, to blue, {most:.2f} e, are of the latest frame of charges.h5."
    when = f"{len(atoms):,} atoms at step {frame.step:,} of the stage {frame.stage}"
    return (
        '<div class="viewer" data-structure="structure">'
        f'<canvas role="img" aria-label="{when}"></canvas>'
        f"<nav>{keys}{''.join(buttons)}</nav></div>"
        + page.data("structure", described(atoms, charges))
        + page.paragraph(
            f"{when}. Drag turns, the wheel zooms, a double click resets. {note}",
            "quiet",
        )
    )


def described(atoms: Atoms, charges: NDArray[np.float64] | None) -> dict[str, Any]:
    """What viewer.js reads; lengths in 0.01 Å, but radii and cell in Å."""
    atoms = atoms.copy()
    if atoms.cell.rank == 3:
        atoms.wrap(pbc=True)
    kinds, kind = np.unique(atoms.numbers, return_inverse=True)
    return {
        "kind": kind.tolist(),
        "positions": np.rint(100 * atoms.positions).astype(int).ravel().tolist(),
        "cell": atoms.cell.tolist() if atoms.cell.rank == 3 else None,
        "sticks": _sticks(atoms),
        "colors": [_color(chemical_symbols[number]) for number in kinds],
        "radii": [round(BALL * float(covalent_radii[number]), 3) for number in kinds],
        "charges": None if charges is None else np.round(charges, 3).tolist(),
    }


def _sticks(atoms: Atoms) -> list[int]:
    """i, dx, dy, dz of each half of a bond, one after another."""
    if len(atoms) > MOST_BONDED or len(atoms) < 2:
        return []
    i, j, vectors = neighbor_list("ijD", atoms, (BOND * covalent_radii[atoms.numbers]).tolist())
    metal = ~np.isin(atoms.numbers, NONMETALS)
    kept = ~(metal[i] & metal[j]) if not metal.all() else np.ones(len(i), bool)
    halves = np.rint(50 * vectors[kept]).astype(int)
    return np.column_stack([i[kept], halves]).ravel().tolist()


def _color(symbol: str) -> list[int]:
    rgb = jmol_colors[chemical_symbols.index(symbol)]
    return [round(255 * float(part)) for part in rgb]
