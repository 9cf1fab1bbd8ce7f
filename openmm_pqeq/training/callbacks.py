"""What happens after every epoch of a training: a line of metrics.csv, the best average kept, the
checkpoint, and whether to stop."""

import csv
import math
import time
from pathlib import Path
from typing import Any, Callable, Sequence, cast

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from openmm_pqeq.jobs.files import whole
from openmm_pqeq.jobs.progress import Progress, Watch
from openmm_pqeq.training.folder import METRICS
from openmm_pqeq.training.loss import Errors, errors_of, predict_all
from openmm_pqeq.training.module import NetworkTraining
from openmm_pqeq.training.samples import Samples

LONG = 600.0
"""Seconds from which on a run without a limit says how long it will take."""


class AfterEveryEpoch(Callback):
    """After each epoch: measure, write a line of metrics.csv, keep the best average, decide whether
    to stop."""

    def __init__(
        self,
        folder: Path,
        validation: Sequence[Samples],
        held_out: Sequence[Samples],
        say: Callable[[str], None],
        watch: Watch,
    ):
        self.folder, self.validation, self.held_out, self.say = folder, validation, held_out, say
        self.watch = watch
        self.losses: list[Tensor] = []
        self.epoch_started = 0.0

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Of a resumed run: forget the lines after its checkpoint; do nothing more where its time
        or patience was used up."""
        training = _training_of(pl_module)
        if trainer.is_global_zero:
            _shorten(self.folder / METRICS, trainer.current_epoch)
        allowed = training.settings.max_time
        if allowed and (training.elapsed >= allowed or training.time_used_up >= allowed):
            trainer.should_stop = True
        if trainer.current_epoch and _waited(training, trainer.current_epoch - 1):
            trainer.should_stop = True

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Forget the last epoch's losses."""
        _training_of(pl_module)
        self.losses, self.epoch_started = [], time.monotonic()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Collect the loss."""
        self.losses.append(outputs["loss"].detach())

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """All that happens between two epochs; of several processes in the first."""
        loss = float(trainer.strategy.reduce(torch.stack(self.losses).mean(), reduce_op="mean"))
        if not math.isfinite(loss):
            raise RuntimeError(
                f"training: the loss became {loss} in epoch {trainer.current_epoch}; lower "
                "training.learning_rate, or set training.gradient_clip"
            )
        if trainer.is_global_zero:
            self._measured(trainer, _training_of(pl_module), loss)
        trainer.should_stop = trainer.strategy.broadcast(trainer.should_stop)

    def _measured(self, trainer: lightning.Trainer, training: NetworkTraining, loss: float) -> None:
        """Measure, write, say, decide."""
        settings, epoch = training.settings, trainer.current_epoch
        row: dict[str, Any] = {"epoch": epoch, "seconds": round(training.tick(), 1)}
        row |= {"learning_rate": training.learning_rate(), "loss": loss}
        row |= _columns("validation", self._measure(training, self.validation, 1, epoch))
        row |= _columns(
            "held_out", self._measure(training, self.held_out, settings.measure_every, epoch)
        )
        if self.validation and row["validation_force_rmse"] < training.best_error:
            training.best_error, training.best_epoch = row["validation_force_rmse"], epoch
            training.best.load_state_dict(training.average.state_dict())
        _append(self.folder / METRICS, row)
        self.say(_line(row, energies=settings.energy_weight > 0))
        left = (settings.epochs - epoch - 1) * (time.monotonic() - self.epoch_started)
        if settings.max_time:
            left = min(left, max(0.0, settings.max_time - training.elapsed))
        measured = {name: value for name, value in row.items() if isinstance(value, float)}
        self.watch(Progress("train", epoch + 1, settings.epochs, left, row=measured))
        if _waited(training, epoch):
            self.say(f"no better validation error for {settings.patience} epochs")
            trainer.should_stop = True
        allowed = settings.max_time
        if (
            not allowed
            and not epoch
            and settings.epochs * (time.monotonic() - self.epoch_started) > LONG
        ):
            minutes = settings.epochs * (time.monotonic() - self.epoch_started) / 60
            self.say(
                f"{settings.epochs} epochs like this one take {minutes:.0f} minutes; max_time "
                "(--time) would limit them"
            )
        if allowed and training.tick() + 0.5 * (time.monotonic() - self.epoch_started) >= allowed:
            training.time_used_up = allowed  # the next epoch would have gone beyond it
            trainer.should_stop = True
            self._say_how_it_ended(training)

    def _say_how_it_ended(self, training: NetworkTraining) -> None:
        """Of a training that its time has ended, where its learning rate had not fallen by then."""
        settings = training.settings
        part = training.learning_rate() / settings.learning_rate
        if settings.schedule == "cosine" and part > 0.1:
            self.say(
                f"max_time ended the training while the learning rate was at {100 * part:.0f} % of "
                "its highest: errors would be lower with fewer epochs, or with schedule = "
                '"cosine-time"'
            )

    def _measure(
        self, training: NetworkTraining, frames: Sequence[Samples], every: int, epoch: int
    ) -> Errors | None:
        if not frames or epoch % every:
            return None
        return errors_of(predict_all(training.average, frames), frames)


class SaveEveryEpoch(Callback):
    """Write the checkpoint after each epoch, whole or not at all."""

    def __init__(self, path: Path):
        self.path = path

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Save beside it, sync, then rename; the first of several processes writes."""
        if trainer.is_global_zero:
            with whole(self.path) as part:
                trainer.save_checkpoint(part, weights_only=False)
        else:
            trainer.save_checkpoint(self.path, weights_only=False)


def _training_of(module: lightning.LightningModule) -> NetworkTraining:
    """The module as what it is; the callbacks of this file serve no other."""
    return cast(NetworkTraining, module)


def _waited(training: NetworkTraining, epoch: int) -> bool:
    """Whether the patience is at its end after an epoch."""
    patience = training.settings.patience
    return patience > 0 and epoch - training.best_epoch >= patience


def _columns(prefix: str, errors: Errors | None) -> dict[str, float | str]:
    return {
        f"{prefix}_{name}": "" if errors is None else getattr(errors, name)
        for name in Errors._fields
    }


def _append(path: Path, row: dict[str, Any]) -> None:
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def _shorten(path: Path, epochs: int) -> None:
    """Keep the lines of the first `epochs` epochs."""
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            lines = file.readlines()
        kept = lines[:1] + [line for line in lines[1:] if int(line.split(",")[0]) < epochs]
        with whole(path) as part:
            part.write_text("".join(kept), encoding="utf-8", newline="")


def _line(row: dict[str, Any], energies: bool) -> str:
    """A line of progress; energies where they are fitted: else their shifts are found at the
    end."""
    parts = [
        f"epoch {row['epoch']:4d}  {row['seconds']:7.0f} s  rate {row['learning_rate']:.2e}  loss "
        f"{row['loss']:.3e}"
    ]
    for prefix, title in (("validation", "validation"), ("held_out", "held out")):
        if row[f"{prefix}_force_rmse"] != "":
            energy, stress = row[f"{prefix}_energy_rmse"], row[f"{prefix}_stress_rmse"]
            found = [f"{energy:.2f} meV/atom"] if energies else []
            found += [f"{row[f'{prefix}_force_rmse']:.1f} meV/Å"]
            found += [f"{stress:.1e} eV/Å³"] if stress == stress else []
            parts.append(f"{title}: {', '.join(found)}")
    return "  ".join(parts)
