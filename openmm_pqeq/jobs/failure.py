"""Work that had begun well and failed on the way: exit code 1, in contrast to input that is wrong.

Whoever catches an exception on the way asks `on_the_way` for the one message that people need: what
happened, at which step, what is kept, and the command that goes on.
"""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
BROKEN = (*FULL, errno.EIO, errno.EROFS, errno.ESTALE)
"""Errors of a disk, which no other input would have avoided."""


class RunFailure(RuntimeError):
    """Work that had begun well has failed on the way; what was written until then is there."""


def on_the_way(
    job: str, step: int, unit: str, reason: str, kept: str | None, command: str
) -> RunFailure:
    """The failure of a job.

    Parameters
    ----------
    job : such as "run"
    step, unit : how far it had come, in steps, epochs, ...
    reason : what happened
    kept : the file from which the job can go on, with its step; None where there is none yet
    command : that goes on
    """
    message = f"the {job} failed after {unit} {step}: {reason}"
    if kept is None:
        return RunFailure(f"{message}\nNothing has been kept to go on from; start anew: {command}")
    return RunFailure(f"{message}\nIt goes on from {kept} with: {command}")


def reason_of(error: Exception) -> str:
    """What happened, in the last line of the message; for a full disk also what to do."""
    lines = str(error).strip().splitlines()
    text = lines[-1] if lines else type(error).__name__
    if isinstance(error, OSError) and error.errno in FULL:
        text += "; make room on the disk"
    return text


def of_the_disk(error: BaseException) -> bool:
    """Whether a disk failed, rather than what the user gave."""
    return isinstance(error, OSError) and error.errno in BROKEN
