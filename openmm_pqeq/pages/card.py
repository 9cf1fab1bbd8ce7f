"""The card of a model, and a run beside the limits that it gives."""

from pathlib import Path
from typing import Any

from openmm_pqeq import checkpoint
from openmm_pqeq.jobs.files import sha256
from openmm_pqeq.limits import limits_of
from openmm_pqeq.md.settings import RunConfig
from openmm_pqeq.pages import page
from openmm_pqeq.training.report import HEADINGS


def card_of(config: RunConfig, checksum: str | None) -> tuple[dict[str, Any], str]:
    """The card of a run's model, and what has to be said of it; nothing is fetched.

    checksum : SHA-256 of the model's file as the run knew it
    """
    model = config.model
    if model in checkpoint.PUBLISHED and not checkpoint.at_hand(model):
        return (
            {},
            f"The card of {model} is not on this machine: openmm-pqeq models download {model}.",
        )
    try:
        card = checkpoint.card(model)
        same = checksum in (None, sha256(checkpoint.file_of(model)))
    except (ValueError, OSError) as error:
        return {}, f"The card of {Path(model).name} cannot be read: {error}."
    if not same:
        return card, f"{model} is another file now than the run had; this card is of the new one."
    return card, ""


def beyond(
    card: dict[str, Any], config: RunConfig, symbols: set[str]
) -> tuple[list[str], list[str]]:
    """What a card says that a model is for: sentences of where the run is within, and beyond."""
    limits = limits_of(card, config.model)
    within: list[str] = []
    outside: list[str] = []
    if limits.elements:
        others = sorted(symbols - set(limits.elements))
        told = f"Elements: the model is for {', '.join(limits.elements)}"
        (outside if others else within).append(
            f"{told}; the run has {', '.join(others or sorted(symbols))}."
        )
    if limits.temperature is not None:
        low, high = limits.temperature
        inside = low <= config.temperature <= high
        (within if inside else outside).append(
            f"Temperature: the model is for {low:g} to {high:g} K; the run is at "
            f"{config.temperature:g} K."
        )
    if not limits.cell:
        moves = config.ensemble == "NPT"
        (outside if moves else within).append(
            "Cell: the model is not for cells that change; the run "
            + ("has a barostat." if moves else "keeps its cell.")
        )
    if limits.phases:
        within.append(
            f"Phases: the model is for {limits.phases}; whether this is one, nobody checks."
        )
    return within, outside


def shown(card: dict[str, Any]) -> str:
    """A card, its errors with their units; what it must not be used for stands out."""
    warned = card.get("not_for") or card.get("not for")
    others = {
        name: _named(value) for name, value in card.items() if name not in ("not_for", "not for")
    }
    long = {name: others.pop(name) for name in ("training",) if isinstance(others.get(name), dict)}
    return "\n".join(
        [
            page.notices([f"Not for {warned}"]) if warned else "",
            page.facts(others),
            page.details("How it was trained", page.facts(long["training"])) if long else "",
        ]
    )


def _named(value: Any) -> Any:
    if isinstance(value, dict):
        return {HEADINGS.get(str(name), str(name)): _named(item) for name, item in value.items()}
    return value
