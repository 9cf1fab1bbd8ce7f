"""What the folder of a run says of itself; a campaign remembers nothing that is not there.

described.toml    the run, as the study has it
facts.json        written by the run: it is finished where `finished` has the step of the study
restart.zip       it can be resumed
failed.txt        why it failed; without --retry it is left alone
output.log        warnings, and what else it said
"""

from pathlib import Path
from typing import NamedTuple

from openmm_pqeq.jobs.facts import read_facts
from openmm_pqeq.jobs.files import write_text
from openmm_pqeq.md.config import write_toml
from openmm_pqeq.md.settings import RunConfig

DESCRIBED, FAILED, OUTPUT, RESTART = "described.toml", "failed.txt", "output.log", "restart.zip"
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
    """The run may be tried once more."""
    (folder / FAILED).unlink(missing_ok=True)
