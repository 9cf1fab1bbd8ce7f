"""How far several models agree about the forces of a running simulation.

    f̄_i = (1/M) Σ_m f_im,   σ_i² = (1/M) Σ_m |f_im − f̄_i|²

for each atom i, over the M models of a committee: the potential that moves the atoms and others, trained
alike from other seeds. Where they have learnt the same thing they agree; the largest σ_i grows where the
structure is unlike what they were trained on (Zhang et al., Phys. Rev. Materials 3, 023804 (2019),
doi:10.1103/PhysRevMaterials.3.023804). It is a measure of what training left open, not of an error that
all of them share. Units: eV, Å, ps.
"""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ase
import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app

from openmm_pqeq.finite import named
from openmm_pqeq.jobs import values
from openmm_pqeq.reporters.observer import Moment, Observer
from openmm_pqeq.reporters.table import RowReporter, path_of
from openmm_pqeq.reporters.writers import GrowingFile

Array = NDArray[np.float64]

SPREAD = "force_spread"
"""The array of σ_i in saved frames."""


class Spread(NamedTuple):
    """How far a committee agrees.

    forces : (n_atoms,) eV/Å, σ_i above
    energy : eV, standard deviation of the energies
    """

    forces: Array
    energy: float


class CommitteeReporter(RowReporter):
    """Write how far the models of a committee agree about energy and forces to a CSV file; save or
    end where they do not.

    Columns: step, time_ps, force_spread_max_eV_per_A (the largest σ_i of the atoms that move),
    force_spread_rms_eV_per_A (over these), atom (the index of the largest, from 0) and
    energy_spread_eV.

    Parameters
    ----------
    file : path; an existing file is replaced unless `append`
    interval : steps from one row to the next; each evaluates every model
    members : Systems of the other models, made with `create_system` as that of the simulation was:
        the same topology and conditions. The potential of the simulation is a member by itself
    frames : path of an extended XYZ file for frames that are worth a label: positions, cell, step and
        σ_i (array `force_spread`), where the largest is above `save_above`
    save_above : eV/Å
    stop_above : eV/Å; where the largest σ_i is above it, RuntimeError, after row and frame were written
    append : continue existing files

    Raises
    ------
    ValueError
        for a member of other atoms, and settings that have no meaning
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        interval: int,
        members: Sequence[openmm.System],
        frames: str | os.PathLike[str] | None = None,
        save_above: float | None = None,
        stop_above: float | None = None,
        append: bool = False,
    ):
        self._members = [Observer(member) for member in members]
        if not members:
            raise ValueError("members: expected Systems of other models, at least one, got none")
        if (frames is None) != (save_above is None):
            raise ValueError(
                "frames, save_above: give both, a file and the spread above which frames go there, "
                f"or neither; got {frames!r} and {save_above!r}"
            )
        self._save_above, self._stop_above = (
            None if value is None else values.positive(name, value)
            for name, value in (("save_above", save_above), ("stop_above", stop_above))
        )
        super().__init__(file, interval, append)
        self._frames = None if frames is None else FramesFile(frames, append)

    def report(self, simulation: app.Simulation, state: Any) -> None:
        """Append a row, and the frame where it is worth it.

        Raises RuntimeError where the models disagree by more than is allowed.
        """
        observer = Observer.of(simulation)
        self._check(observer)
        state = simulation.context.getState(positions=True, parameters=True)
        now = observer.moment(state)
        found = spread_of([one.energy_and_forces(state) for one in (observer, *self._members)])
        masses = [simulation.system.getParticleMass(int(i))._value for i in observer.particles]
        moving = np.where(np.array(masses) > 0, found.forces, 0.0)
        k = int(moving.argmax())
        largest, step = float(moving[k]), simulation.currentStep
        self._table.write(
            {
                "step": step,
                "time_ps": round(state.getTime()._value, 9),
                "force_spread_max_eV_per_A": largest,
                "force_spread_rms_eV_per_A": float(
                    np.sqrt(np.mean(moving[np.array(masses) > 0] ** 2))
                ),
                "atom": int(observer.particles[k]),
                "energy_spread_eV": found.energy,
            }
        )
        if self._frames is not None and self._save_above is not None and largest > self._save_above:
            self._frames.write(frame_of(observer, now, found), step)
        if self._stop_above is not None and largest > self._stop_above:
            atom = named(int(observer.particles[k]), int(observer.numbers[k]))
            raise RuntimeError(
                f"committee: at step {step} its models disagree by {largest:.3g} eV/Å about the force "
                f"on {atom}, and {self._stop_above:g} eV/Å is allowed: this structure is unlike what "
                "they were trained on. Label such frames and train on them, or allow more"
            )

    def _check(self, observer: Observer) -> None:
        """ValueError for a member that is of other atoms than the simulation."""
        for number, member in enumerate(self._members):
            same = np.array_equal(member.numbers, observer.numbers)
            same = same and np.array_equal(member.particles, observer.particles)
            if not same or not np.array_equal(member.periodic, observer.periodic):
                raise ValueError(
                    f"members: System {number} is of {len(member.numbers)} atoms, other ones than "
                    f"the {len(observer.numbers)} of the simulation, or of other periodic "
                    "directions; make it from the same topology"
                )

    def close(self) -> None:
        """Close the files."""
        super().close()
        if self._frames is not None:
            self._frames.close()


def spread_of(found: Sequence[tuple[float, Array]]) -> Spread:
    """Of energies (eV) and forces (n_atoms, 3) (eV/Å), a pair for each model."""
    forces = np.stack([one[1] for one in found])
    variances = ((forces - forces.mean(axis=0)) ** 2).sum(axis=-1).mean(axis=0)
    return Spread(np.sqrt(variances), float(np.std([one[0] for one in found])))


def frame_of(observer: Observer, now: Moment, spread: Spread) -> ase.Atoms:
    """The structure of a moment, without labels, as far as it is to be labelled."""
    atoms = ase.Atoms(observer.numbers, now.positions, cell=now.cell, pbc=observer.periodic)
    atoms.set_array(SPREAD, spread.forces)
    if observer.total_charge:
        atoms.info["charge"] = observer.total_charge
    if now.field.any():
        atoms.info["field"] = now.field
    return atoms


class FramesFile(GrowingFile):
    """Extended XYZ that grows by whole frames, each with its step.

    Parameters
    ----------
    file : path; an existing file is replaced unless `append`
    append : continue an existing file
    """

    def __init__(self, file: str | os.PathLike[str], append: bool):
        path = path_of(file, append)
        if append:
            keep_until(path, values.LARGEST_COUNT)
        super().__init__(path, append)

    def write(self, atoms: ase.Atoms, step: int) -> None:
        """Append a frame, in one write."""
        import ase.io  # half a second, which few runs need

        atoms.info["step"] = step
        text = io.StringIO()
        ase.io.write(text, atoms, format="extxyz")
        self._out.write(text.getvalue().encode("utf-8"))


def keep_until(path: Path, step: int) -> None:
    """Remove frames of later steps from a file of a `FramesFile`, and one that is not whole.

    Raises ValueError, and changes nothing, where it is another file.
    """
    size = 0
    with open(path, "r+b") as file:
        while head := file.readline():
            if not head.strip().isdigit():
                raise ValueError(f"file: {path} is not extended XYZ; use another file")
            lines = [file.readline() for _ in range(int(head) + 1)]
            words = dict(word.split(b"=", 1) for word in lines[0].split() if b"=" in word)
            if not lines[-1].endswith(b"\n"):
                break
            if not words.get(b"step", b"").isdigit():
                raise ValueError(f"file: {path} has frames without their step; use another file")
            if int(words[b"step"]) > step:
                break
            size = file.tell()
        file.truncate(size)
