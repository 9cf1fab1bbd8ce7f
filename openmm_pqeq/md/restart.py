"""Restart files: everything that continues a run, written so that a run killed at any moment leaves
a whole one.

A restart file is a zip archive with

    run.json         stage, steps of the stage, OpenMM version and platform, settings of the run, checksums of structure and model
    state.xml        positions, velocities, box, parameters and time (any platform and version of OpenMM reads it)
    checkpoint.bin   the same with the random-number generators (only the same version and platform of OpenMM reads it)
    sums.npz         what polarization and work of the table have been summed from

It is written under another name, synced and renamed. A run is only continued with the settings,
the structure and the model that it began with, see `Origin.check`. Nothing in the file is run: see
state.py for its XML, and `_load_random_numbers` for the checkpoint.
"""

import errno
import io
import json
import sys
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
from openmm_pqeq.md.state import same_moment, state_from
from openmm_pqeq.md.table import restore_sums

STAGES = ("minimise", "equilibrate", "produce")
"""Of a run; of one that has not got beyond the first, nothing has moved."""
MOST_COMPRESSED = 200
"""Times that a part of a restart file may be longer than it is in the archive."""
UNUSED_GENERATOR = 5
"""Bytes of the Reference platform's generator before its first use: seed, and that it was not."""
CHECKPOINT_MAGIC = b"OpenMM Binary Checkpoint\n\0"


class Restart(NamedTuple):
    """A moment of a run.

    stage : one of STAGES
    step : steps done of this stage
    version, platform : of the OpenMM that wrote it
    state : XML
    checkpoint : binary, empty where the platform has none
    sums : arrays of polarization and work
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
    """The present moment of a Simulation. Integrators of multiple time steps have parameters that
    follow from the settings, and intermediate values; neither belongs to the moment."""
    context = simulation.context
    own = not isinstance(simulation.integrator, openmm.CustomIntegrator)
    state = context.getState(
        positions=True, velocities=True, parameters=True, integratorParameters=own
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
            about = json.loads(_part(archive, "run.json"))
            with zipfile.ZipFile(io.BytesIO(_part(archive, "sums.npz"))) as arrays:
                sums = {
                    name.removesuffix(".npy"): np.lib.format.read_array(
                        io.BytesIO(_part(arrays, name)), allow_pickle=False
                    )
                    for name in arrays.namelist()
                }
            return Restart(
                stage={stage: stage for stage in STAGES}[about["stage"]],
                step=values.count("step", about["step"]),
                version=about["openmm"],
                platform=about["platform"],
                state=_part(archive, "state.xml").decode("utf-8"),
                checkpoint=_part(archive, "checkpoint.bin"),
                sums=sums,
                origin=origin_from(about.get("origin", {"settings": {}, "sha256": {}})),
            )
    except Exception as error:  # zipfile and numpy raise anything at all on damaged bytes
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # of the disk, not of the file
        reason = str(error) or type(error).__name__
        raise ValueError(
            f"resume: {path} is not a restart file of a run, or a damaged one ({reason}); bring it "
            "back, or start the run anew with --overwrite"
        ) from None


def _part(archive: zipfile.ZipFile, name: str) -> bytes:
    """A part of an archive; ValueError where it would fill the memory."""
    about = archive.getinfo(name)
    if about.file_size > MOST_COMPRESSED * (about.compress_size + 1024):
        raise ValueError(f"{name}: {about.file_size} bytes out of {about.compress_size}")
    return archive.read(name)


def apply_restart(restart: Restart, simulation: app.Simulation, path: Path) -> None:
    """Put a Simulation into the moment of a restart, read from `path`; ValueError where it is that
    of another System, or where State and checkpoint are of two moments.

    With the same version and platform of OpenMM the random numbers of the thermostat continue too;
    else they start anew from the seed and the step, with a warning.
    """
    context = simulation.context
    try:
        restore_sums(simulation, restart.sums)
        state = state_from(restart.state)
        context.setState(state)
    except (ValueError, openmm.OpenMMException) as error:
        raise _unfit(path, str(error)) from None
    if not _load_random_numbers(restart, context):
        warnings.warn(
            "the run continues with new random numbers: OpenMM or its platform has changed",
            stacklevel=2,
        )
    if not same_moment(state, context.getState(positions=True, velocities=True)):
        raise _unfit(path, "its checkpoint.bin is not of the moment of its state.xml")
    simulation.currentStep = restart.step


def _load_random_numbers(restart: Restart, context: openmm.Context) -> bool:
    """Load a checkpoint over the State that it belongs to; False where it cannot be this Context's.

    OpenMM believes every length that a checkpoint gives. So it only gets one that begins as the
    Context's own, with the same platform, particles and parameters, and that is as long; on the
    Reference platform the generator, which comes last, is longer once it has been used.
    """
    if (restart.version, restart.platform) != (
        openmm.version.version,
        context.getPlatform().getName(),
    ):
        return False
    own, given = context.createCheckpoint(), restart.checkpoint
    head = _head_length(own)
    longer = restart.platform == "Reference" and given.startswith(own[:-UNUSED_GENERATOR])
    if given[:head] != own[:head] or not (len(given) == len(own) or longer):
        return False
    try:
        context.loadCheckpoint(given)
    except openmm.OpenMMException:
        return False
    return True


def _head_length(checkpoint: bytes) -> int:
    """Bytes of a Context's own checkpoint up to its last parameter: magic, platform, number of
    particles, number of parameters, then the name and value of each."""
    end = len(CHECKPOINT_MAGIC)
    end += 4 + int.from_bytes(checkpoint[end : end + 4], sys.byteorder)
    n_parameters = int.from_bytes(checkpoint[end + 4 : end + 8], sys.byteorder)
    end += 8
    for _ in range(n_parameters):
        end += 4 + int.from_bytes(checkpoint[end : end + 4], sys.byteorder) + 8
    return end


def _unfit(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"resume: {path}: not of this run, or damaged ({reason}); bring it back as it was, or start "
        "the run anew with --overwrite"
    )
