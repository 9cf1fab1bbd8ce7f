"""The files of a run that grow, counted and cut back to a step, so that a resumed run neither loses
nor doubles a frame.

A run may die after it has written frames that its restart file does not know. `whole_frames` says
how many whole frames there are and changes nothing; `cut_back` keeps the first of them and removes
the rest, half-written ones included.

DCD  header of 276 bytes with the number of frames at byte 8 and the last step at byte 20, then
     frames of equal size
XTC  frames of their own size: 4-byte big-endian numbers, magic 1995, atoms, step, time, box, then
     coordinates, plain up to 9 atoms and compressed with their length in bytes above
"""

import os
import struct
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from openmm_pqeq.jobs.files import whole
from openmm_pqeq.jobs.values import LARGEST_COUNT
from openmm_pqeq.reporters.committee import keep_until
from openmm_pqeq.reporters.frames import cut_back_frames, hdf5

_DCD_HEADER = 276
_XTC_MAGIC = 1995


class Growing(Protocol):
    """A file with a frame every `interval` steps."""

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def interval(self) -> int:
        """Steps from one frame to the next."""

    def whole_frames(self) -> int:
        """Whole frames from the first on that are where they should be."""

    def cut_back(self, n_frames: int) -> None:
        """Keep the first `n_frames` frames."""


def check(file: Growing, step: int) -> None:
    """ValueError where a file has fewer frames than the run had written at `step`."""
    expected = step // file.interval
    there = file.path.is_file()
    found = file.whole_frames() if there else 0
    if found < expected:
        what = f"has only {found} of them in their order" if there else "is not there any more"
        raise ValueError(
            f"resume: {file.path} should have at least {expected} frames at step {step}, and "
            f"{what}. Bring it back as it was, or start the run anew with --overwrite"
        )


class DCD(NamedTuple):
    """A trajectory as OpenMM's DCDReporter writes it; `box`: whether the frames have one."""

    path: Path
    interval: int
    n_atoms: int
    box: bool

    def whole_frames(self) -> int:
        """Whole frames."""
        return max(0, self.path.stat().st_size - _DCD_HEADER) // self._frame

    def cut_back(self, n_frames: int) -> None:
        """Keep the first frames; without any, not even the header."""
        if n_frames == 0:
            os.truncate(self.path, 0)
            return
        with open(self.path, "r+b") as file:
            file.truncate(_DCD_HEADER + n_frames * self._frame)
            file.seek(8)
            file.write(struct.pack("<i", n_frames))
            file.seek(20)
            file.write(struct.pack("<i", n_frames * self.interval))

    @property
    def _frame(self) -> int:
        return 3 * (4 * self.n_atoms + 8) + (56 if self.box else 0)


class XTC(NamedTuple):
    """A trajectory as OpenMM's XTCReporter writes it."""

    path: Path
    interval: int

    def whole_frames(self) -> int:
        """Whole frames."""
        return len(self._ends())

    def cut_back(self, n_frames: int) -> None:
        """Keep the first frames."""
        with open(self.path, "r+b") as file:
            file.truncate(self._ends()[n_frames - 1] if n_frames else 0)

    def _ends(self) -> list[int]:
        """Where each whole frame ends."""
        ends: list[int] = []
        size = self.path.stat().st_size
        with open(self.path, "rb") as file:
            while (length := _xtc_frame_length(file.read(92))) is not None:
                end = length + (ends[-1] if ends else 0)
                if end > size:
                    break
                ends.append(end)
                file.seek(end)
        return ends


def _xtc_frame_length(head: bytes) -> int | None:
    """Bytes of a frame from its first 92; None where it is not whole."""
    if len(head) < 56:
        return None
    magic, n_atoms = struct.unpack(">ii", head[:8])
    if magic != _XTC_MAGIC or n_atoms < 0:
        return None
    if n_atoms <= 9:
        return 56 + 12 * n_atoms
    if len(head) < 92:
        return None
    compressed = struct.unpack(">i", head[88:92])[0]
    return 92 + (compressed + 3) // 4 * 4 if compressed >= 0 else None


class Rows(NamedTuple):
    """A CSV file whose first column is the step."""

    path: Path
    interval: int

    def whole_frames(self) -> int:
        """Whole rows up to the first that is not of the next multiple of the interval."""
        steps = [line.split(b",")[0] for line in self._lines()[1:]]
        expected = (b"%d" % (self.interval * (i + 1)) for i in range(len(steps)))
        return next(
            (i for i, pair in enumerate(zip(steps, expected)) if pair[0] != pair[1]), len(steps)
        )

    def cut_back(self, n_frames: int) -> None:
        """Keep the header and the first rows."""
        lines = self._lines()[: n_frames + 1]
        with whole(self.path) as part:
            part.write_bytes(b"".join(line + b"\n" for line in lines))

    def _lines(self) -> list[bytes]:
        return self.path.read_bytes().split(b"\n")[:-1]  # after the last line end it was cut off


class Charges(NamedTuple):
    """charges.h5 of a ChargeReporter."""

    path: Path
    interval: int

    def whole_frames(self) -> int:
        """Whole frames up to the first that is not of the next multiple of the interval."""
        try:
            with hdf5(self.path) as file:
                steps = file["step"][:] if "step" in file else np.zeros(0, dtype=int)
        except ValueError as error:
            raise ValueError(
                f"resume: {error}; or bring it back, or continue without it: --charges-interval 0"
            ) from None
        right = steps == self.interval * np.arange(1, len(steps) + 1)
        return int(right.argmin()) if not right.all() else len(steps)

    def cut_back(self, n_frames: int) -> None:
        """Keep the first frames."""
        cut_back_frames(self.path, n_frames)


class SomeFrames(NamedTuple):
    """The extended XYZ of a CommitteeReporter: frames at some of the multiples of the interval, of
    which none has to be there."""

    path: Path
    interval: int

    def whole_frames(self) -> int:
        """As many as there may be."""
        return LARGEST_COUNT

    def cut_back(self, n_frames: int) -> None:
        """Keep those of the first so many multiples."""
        keep_until(self.path, n_frames * self.interval)


def sync(path: Path) -> None:
    """Make sure that what was written to a file is on the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
