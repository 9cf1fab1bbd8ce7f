"""What can be set in a fit to crystals: a line a setting; the keys of its TOML file."""

from dataclasses import dataclass
from typing import Any

from openmm_pqeq.jobs import values
from openmm_pqeq.jobs.settings import configured, setting

FLOWS = ("bonds", "free")


@dataclass(frozen=True)
class CrystalSettings:
    """One fit to crystals."""

    crystals: tuple[str, ...] = setting(
        "data", values.texts, help="files of crystals: .jsonl, .jsonl.gz, or anything ASE reads"
    )
    charge_flow: str = setting(
        "fit", values.choice(*FLOWS), "bonds", "how charge flows: by bonds, or freely"
    )
    parameters: str = setting(
        "fit",
        values.text,
        "reaxnet",
        "where to start: a published set, or the table of an earlier fit",
        "SET",
    )
    most_atoms: int = setting(
        "data", values.positive_count, 14, "largest crystal that is fitted or measured", "N"
    )
    held_out: float = setting(
        "data",
        values.within(values.not_negative, 0, 0.9),
        0.15,
        "share of the chemical systems that only measure",
        "SHARE",
    )
    seed: int = setting(
        "data",
        values.within(values.count, 0, values.LARGEST_SEED),
        0,
        "of the choice of systems",
        "N",
    )
    least: int = setting(
        "fit",
        values.positive_count,
        6,
        "crystals that give an element with a reference charge a row of its own",
        "N",
    )
    prior: float = setting(
        "fit",
        values.within(values.not_negative, 0, 1e6),
        0.5,
        "pull of the elements towards the start",
        "P",
    )
    prior_of_types: float = setting(
        "fit",
        values.within(values.not_negative, 0, 1e6),
        0.8,
        "pull of the reference charges of an element towards its own row",
        "P",
    )
    guard: bool = setting(
        "fit", values.boolean, True, "look at all crystals, strained by 3 %, every tenth iteration"
    )
    iterations: int = setting("fit", values.positive_count, 30, "most iterations", "N")


def crystal_settings(given: dict[str, Any]) -> CrystalSettings:
    """Settings as text or typed, checked; ValueError names what is wrong."""
    return configured(CrystalSettings, given)
