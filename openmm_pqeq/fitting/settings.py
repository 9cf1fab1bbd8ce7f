"""What can be set in a fit of PQEq parameters: a line a setting; flags and TOML keys are made from it."""

from dataclasses import dataclass
from typing import Any

from openmm_pqeq.jobs import phrases, values
from openmm_pqeq.jobs.settings import configured, setting
from openmm_pqeq.pqeq import COUPLINGS

_limit = values.within(values.positive, 1e-9, 1e6)


@dataclass(frozen=True)
class RunSettings:
    """One fit; a key of its TOML file and a flag of the command for each."""

    data: tuple[str, ...] = setting(
        "data", values.texts, help="labelled structures, anything ASE reads", metavar="DATA"
    )
    targets: tuple[str, ...] = setting(
        "data",
        values.each(phrases.target),
        (),
        "what to fit, such as polarizability=pol:bohr3; without, all that is found by name",
        "NAME[=KEY[:UNIT]]",
    )
    scales: tuple[str, ...] = setting(
        "data",
        values.each(phrases.scale),
        (),
        "the error that counts as one in the loss, such as born_charge=0.1",
        "NAME=ERROR",
    )
    cluster: bool = setting(
        "data", values.boolean, False, "ignore the cells: they are boxes around molecules"
    )
    parameters: str = setting(
        "fit", values.text, "reaxnet", "where to start: a set of parameters or a table", "SET"
    )
    coupling: str = setting(
        "fit",
        values.choice(*(name for name in COUPLINGS if name != "fragment")),
        "shell",
        "how the field acts on the charges",
    )
    fit: tuple[str, ...] = setting(
        "fit",
        values.each(phrases.selection),
        (),
        "parameters to fit, such as Ba:radius,hardness or Ti:all; without, all",
        "[ELEMENT:]NAMES",
    )
    bounds: tuple[str, ...] = setting(
        "fit",
        values.each(phrases.bounds),
        (),
        "how far they may go, such as radius=0.4:1.6, or as factors hardness=x0.8:x1.5",
        "[ELEMENT:]NAME=LOW:HIGH",
    )
    held_out: int | None = setting(
        "data", values.count, None, "frames that only measure (default: a fifth)", "N"
    )
    frames: int | None = setting(
        "data", values.count, None, "frames to fit, of those not held out (default: all)", "N"
    )
    seed: int = setting(
        "data", values.within(values.count, 0, values.LARGEST_SEED), 0, "of the choice of frames",
        "N",
    )  # fmt: skip
    min_eigenvalue: float = setting(
        "limits", _limit, 0.3, "smallest eigenvalue of the Hessian, eV/e² and eV/Å²", "E"
    )
    min_hardness: float = setting(
        "limits", _limit, 0.3, "hardness above the Gaussian self-energy, eV", "E"
    )
    max_shell: float = setting("limits", _limit, 0.5, "longest shell, Å", "D")
    prior: float = setting(
        "limits", values.within(values.not_negative, 0, 1e6), 0.05, "pull towards the start", "P"
    )
    iterations: int = setting(
        "limits", values.positive_count, 60, "most evaluations of the loss", "N"
    )


def fit_settings(given: dict[str, Any]) -> RunSettings:
    """Settings as text (flags) or typed (TOML, Python), checked; ValueError names what is wrong."""
    return configured(RunSettings, given)
