"""What the folder of a run says of itself; a campaign remembers nothing that is not there.

described.toml    the run, as the study has it
facts.json        written by the run: it is finished where `finished` has the step of the study
restart.zip       it can be resumed
failed.txt        why it failed; without --retry it is left alone
output.log        warnings, and what else it said
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from openmm_pqeq.jobs.facts import FACTS, read_facts, write_facts
from openmm_pqeq.jobs.files import put_aside, write_text
from openmm_pqeq.jobs.settings import read_toml
from openmm_pqeq.md.config import write_toml
from openmm_pqeq.md.restart import read_restart
from openmm_pqeq.md.settings import RunConfig

DESCRIBED, FAILED, OUTPUT = "described.toml", "failed.txt", "output.log"
TOML, RESTART = "run.toml", "restart.zip"
STATES = ("finished", "failed", "begun", "new")


class State(NamedTuple):
    """How far a run is: one of STATES, and the message of a failure."""

    name: str
    message: str = ""


def state_of(folder: Path, n_steps: int) -> State:
    """The state of the run in a folder that is wanted for so many steps."""
    if (folder / FAILED).is_file():
        return State(
            "failed", (folder / FAILED).read_text(encoding="utf-8", errors="replace").strip()
        )
    try:
        finished = read_facts(folder).get("finished") or {}
    except FileNotFoundError:
        return State("new")
    except ValueError as error:
        return State("failed", str(error))
    if finished.get("step", -1) >= n_steps:
        return State("finished")
    return State("begun" if (folder / RESTART).is_file() else "new")


def describe(config: RunConfig) -> None:
    """Write what the run in its folder is to be."""
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / DESCRIBED, write_toml(config))


def set_failed(folder: Path, message: str) -> None:
    """Note that the run in a folder failed, and why."""
    write_text(folder / FAILED, message.strip() + "\n")


def forget_failure(folder: Path) -> None:
    """The run may be tried once more. What is damaged is put aside: it goes on from its restart file,
    or begins anew where that is gone."""
    (folder / FAILED).unlink(missing_ok=True)
    if _damaged(read_facts, folder):
        put_aside(folder / FACTS)
    begun = [name for name in (TOML, RESTART) if (folder / name).is_file()]
    if begun and not (folder / FACTS).is_file():
        write_facts(folder, "run", {})
    if _damaged(read_toml, folder / TOML) or _damaged(read_restart, folder / RESTART):
        put_aside(folder / RESTART)


def _damaged(read: Callable[[Path], Any], path: Path) -> bool:
    """Whether there is a file that cannot be read."""
    try:
        read(path)
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    return False
