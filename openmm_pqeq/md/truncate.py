"""Cut the files of a run back to a step, so that a resumed run neither loses nor doubles a frame.

A run may die after it has written frames that its restart file does not know. Each function keeps
the frames up to and including the restart's step and removes the rest, half-written ones included.

DCD  header of 276 bytes with the number of frames at byte 8 and the last step at byte 20, then
frames of equal size XTC  frames of their own size: 4-byte big-endian numbers, magic 1995, atoms,
step, time, box, then coordinates, plain up to 9
     atoms and compressed with their length in bytes above
"""

import os
import struct
from pathlib import Path

import h5py
import numpy as np

from openmm_pqeq.reporters.frames import cut_back_frames

_DCD_HEADER = 276
_XTC_MAGIC = 1995


def truncate_dcd(path: Path, n_frames: int, interval: int, n_atoms: int, box: bool) -> int:
    """Keep the first `n_frames` frames; returns how many bytes are kept, 0 for a file without a
    header."""
    if n_frames == 0 or not path.is_file():
        _require(path, n_frames, 0)
        path.write_bytes(b"")
        return 0
    frame = 3 * (4 * n_atoms + 8) + (56 if box else 0)
    size = _DCD_HEADER + n_frames * frame
    _require(path, n_frames, max(0, path.stat().st_size - _DCD_HEADER) // frame)
    with open(path, "r+b") as file:
        file.truncate(size)
        file.seek(8)
        file.write(struct.pack("<i", n_frames))
        file.seek(20)
        file.write(struct.pack("<i", n_frames * interval))
    return size


def truncate_xtc(path: Path, n_frames: int) -> int:
    """Keep the first `n_frames` frames; returns how many bytes are kept."""
    if not path.is_file():
        _require(path, n_frames, 0)
        return 0
    size, found = 0, 0
    with open(path, "r+b") as file:
        while found < n_frames:
            length = _xtc_frame_length(file.read(92))
            if length is None or size + length > path.stat().st_size:
                break
            size += length
            found += 1
            file.seek(size)
        _require(path, n_frames, found)
        file.truncate(size)
    return size


def _xtc_frame_length(head: bytes) -> int | None:
    """Bytes of a frame from its first 92; None where it is not whole."""
    if len(head) < 56:
        return None
    magic, n_atoms = struct.unpack(">ii", head[:8])
    if magic != _XTC_MAGIC:
        return None
    if n_atoms <= 9:
        return 56 + 12 * n_atoms
    if len(head) < 92:
        return None
    compressed = struct.unpack(">i", head[88:92])[0]
    return 92 + (compressed + 3) // 4 * 4


def truncate_table(path: Path, step: int) -> int:
    """Keep the header of a CSV file and the rows whose first column is at most `step`; returns the
    number of rows."""
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last line end was cut off
    kept = [line for line in lines[1:] if line and int(line.split(b",")[0]) <= step]
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(b"".join(line + b"\n" for line in lines[:1] + kept))
    os.replace(temporary, path)
    return len(kept)


def truncate_charges(path: Path, step: int) -> int:
    """Keep the frames of charges.h5 up to `step`; returns their number."""
    try:
        with h5py.File(path, "r") as file:
            if "step" not in file:
                return 0
            n_frames = int(np.searchsorted(file["step"][:], step, side="right"))
        return cut_back_frames(path, n_frames)
    except OSError as error:
        raise ValueError(
            f"resume: {path} was damaged when the run died ({error}); move it away, and the run "
            "continues with a new one"
        ) from None


def _require(path: Path, expected: int, found: int) -> None:
    if found < expected:
        raise ValueError(
            f"resume: {path} should have at least {expected} frames by now and has {found}; it was "
            "changed or removed. Bring it "
            "back, or start the run anew with --overwrite"
        )
