"""From a trained network to a model file: the whole potential, element shifts, and the card."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from torch import nn

from openmm_pqeq.checkpoint import card as read_card
from openmm_pqeq.checkpoint import load, save
from openmm_pqeq.potential import build
from openmm_pqeq.training import parts
from openmm_pqeq.training.config import Config
from openmm_pqeq.training.loss import Errors
from openmm_pqeq.training.low_rank import merged
from openmm_pqeq.training.pqeq import Polarizable
from openmm_pqeq.training.prepare import Prepared, network_of
from openmm_pqeq.training.settings import StartSettings
from openmm_pqeq.training.tabulated import Tabulated


def export(
    config: Config,
    prepared: Prepared,
    model: nn.Module,
    path: Path,
    facts: dict[str, Any],
    errors: dict[str, Errors],
) -> Path:
    """Write the whole potential with the trained network, its element shifts and the model card."""
    table = prepared.config
    if isinstance(model, Polarizable):
        table = table | {
            "pqeq": table["pqeq"] | {"parameters": model.pqeq.config(table["pqeq"]["parameters"])}
        }
    potential = build(table)
    target = network_of(potential)
    state = merged(_network_in(model))
    if (
        config.start is not None
    ):  # what was not trained has all its digits, whatever the dtype of training
        trained = parts.select(target, config.start.train)
        before = network_of(load(config.start.model)).state_dict()
        state = {name: value if name in trained else before[name] for name, value in state.items()}
    target.load_state_dict(state)
    target.shift.copy_(prepared.shifts)
    card: dict[str, Any] = json.loads(
        json.dumps(config.card, default=str)
    )  # a date, say, becomes its text
    if config.start is not None:
        card = _origin(config.start) | card
    card["errors"] = {
        name: {k: v for k, v in part._asdict().items() if v == v} for name, part in errors.items()
    }
    done = {k: v for k, v in facts.items() if k not in ("element_shifts_eV", "training_frames")}
    card["training"] = (
        dataclasses.asdict(config.training) | done
    )  # the epochs that were, not those allowed
    save(potential, path, card=card)
    return path


def _network_in(model: nn.Module) -> nn.Module:
    """The network of what is trained."""
    if isinstance(model, Polarizable):
        return model.gnn
    return model.network if isinstance(model, Tabulated) else model


def _origin(start: StartSettings) -> dict[str, Any]:
    """For the card: the model it comes from, with its own card but for how that was trained, and
    what was trained since."""
    card = {
        key: value
        for key, value in read_card(start.model).items()
        if key not in ("errors", "training")
    }
    done: dict[str, Any] = {
        "train": start.train,
        "shifts": start.shifts,
        "long_range": start.long_range,
    }
    if start.rank:
        done["rank"] = start.rank
    if start.replay:
        done |= {
            "replay": start.replay,
            "replay_files": [Path(file).name for file in start.replay_files],
        }
    if start.train_pqeq:
        done |= {"train_pqeq": list(start.train_pqeq), "bounds": start.bounds}
    return {"fine_tuned_from": {"model": Path(start.model).name, "card": card}, "fine_tuning": done}
