"""Restart files: everything that continues a run, written so that a run killed at any moment leaves
a whole one.

A restart file is a zip archive with

    run.json         stage, steps of the stage, OpenMM version and platform, settings of the run, checksums of structure and model
    state.xml        positions, velocities, box, parameters and time (any platform and version of OpenMM reads it)
    checkpoint.bin   the same with the random-number generators (only the same version and platform of OpenMM reads it)
    sums.npz         what the polarization of the table has been summed from

It is written under another name, synced and renamed. A run is only continued with the settings,
the structure and the model that it began with, see `Origin.check`.
"""

import errno
import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app

from openmm_pqeq.jobs import values
from openmm_pqeq.jobs.files import whole
from openmm_pqeq.md.resume import Origin, origin_from


class Restart(NamedTuple):
    """A moment of a run.

    stage : "equilibrate" or "produce"
    step : steps done of this stage
    version, platform : of the OpenMM that wrote it
    state : XML
    checkpoint : binary, empty where the platform has none
    sums : arrays of the polarization sum
    origin : what the run began with; of files of an older version empty
    """

    stage: str
    step: int
    version: str
    platform: str
    state: str
    checkpoint: bytes
    sums: dict[str, NDArray[np.float64]]
    origin: Origin = Origin({}, {})


def restart_of(
    simulation: app.Simulation, stage: str, sums: dict[str, NDArray[np.float64]], origin: Origin
) -> Restart:
    """The present moment of a Simulation."""
    context = simulation.context
    state = context.getState(
        positions=True, velocities=True, parameters=True, integratorParameters=True
    )
    return Restart(
        stage=stage,
        step=simulation.currentStep,
        version=openmm.version.version,
        platform=context.getPlatform().getName(),
        state=openmm.XmlSerializer.serialize(state),
        checkpoint=context.createCheckpoint(),
        sums=sums,
        origin=origin,
    )


def write_restart(restart: Restart, path: Path) -> None:
    """Write atomically: at `path` there is always a whole file, the old one or the new one."""
    arrays = io.BytesIO()
    np.savez(arrays, **restart.sums)  # type: ignore[arg-type]
    about = {
        "stage": restart.stage,
        "step": restart.step,
        "openmm": restart.version,
        "platform": restart.platform,
        "origin": restart.origin._asdict(),
    }
    with whole(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("run.json", json.dumps(about))
        archive.writestr("state.xml", restart.state)
        archive.writestr("checkpoint.bin", restart.checkpoint)
        archive.writestr("sums.npz", arrays.getvalue())


def read_restart(path: Path) -> Restart:
    """Read a restart file; FileNotFoundError or ValueError say what to do."""
    if not path.is_file():
        raise FileNotFoundError(
            f"resume: there is no restart file {path}; start the run anew with --overwrite"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            about = json.loads(archive.read("run.json"))
            with np.load(io.BytesIO(archive.read("sums.npz")), allow_pickle=False) as arrays:
                sums = {name: arrays[name] for name in arrays.files}
            return Restart(
                stage={"equilibrate": "equilibrate", "produce": "produce"}[about["stage"]],
                step=values.count("step", about["step"]),
                version=about["openmm"],
                platform=about["platform"],
                state=archive.read("state.xml").decode("utf-8"),
                checkpoint=archive.read("checkpoint.bin"),
                sums=sums,
                origin=origin_from(about.get("origin", {"settings": {}, "sha256": {}})),
            )
    except Exception as error:  # zipfile and numpy raise anything at all on damaged bytes
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # of the disk, not of the file
        raise ValueError(
            f"resume: {path} is not a restart file of a run ({error}); start the run anew with "
            "--overwrite"
        ) from None


def apply_restart(restart: Restart, simulation: app.Simulation) -> None:
    """Put a Simulation into the moment of a restart.

    With the same version and platform of OpenMM the random numbers continue too; else they start
    anew from the seed, with a warning.
    """
    context = simulation.context
    same = (
        restart.version == openmm.version.version
        and restart.platform == context.getPlatform().getName()
    )
    if same and restart.checkpoint:
        try:
            context.loadCheckpoint(restart.checkpoint)
        except openmm.OpenMMException:
            same = False
    if not (same and restart.checkpoint):
        warnings.warn(
            "the run continues with new random numbers: OpenMM or its platform has changed",
            stacklevel=2,
        )
        context.setState(openmm.XmlSerializer.deserialize(restart.state))
    simulation.currentStep = restart.step
