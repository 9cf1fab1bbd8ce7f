"""The training step as a Lightning module, and the loop's callbacks.

Everything that decides what comes next is in the checkpoint: weights, their running average,
optimiser, steps, elapsed time, best validation error. The order of the frames depends on the seed
and the epoch alone, so that a run which was interrupted and resumed is the run that was not (the
schedule "cosine-time" excepted: it reads the clock).

    average ← d·average + (1 − d)·weights,   d = min(ema, (1 + n)/(10 + n)) at step n
"""

import copy
import csv
import math
import time
from pathlib import Path
from typing import Any, Callable, Sequence, cast

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from openmm_pqeq.jobs.files import whole
from openmm_pqeq.jobs.progress import Progress, Watch
from openmm_pqeq.training.folder import CHECKPOINT, METRICS
from openmm_pqeq.training.loss import Errors, Weights, errors_of, loss_of, predict, predict_all
from openmm_pqeq.training.pqeq import Polarizable
from openmm_pqeq.training.processes import counts_of, part_of
from openmm_pqeq.training.samples import Samples
from openmm_pqeq.training.settings import TrainingSettings
from openmm_pqeq.training.tabulated import Tabulated, loss_by_difference

LONG = 600.0
"""Seconds from which on a run without a limit says how long it will take."""


class NetworkTraining(lightning.LightningModule):
    """A network, its running average, and one optimisation step.

    Parameters
    ----------
    gnn : the network, `gnn(numbers, pairs) -> (n_atoms,) eV`, in the dtype of training and with
        element shifts of zero; or a `Tabulated`, or a `Polarizable`; weights without requires_grad
        stay as they are
    settings : [training]
    force_scale : eV/Å, the RMS of the training labels
    steps_per_epoch : for the schedule
    pqeq_learning_rate : of the parameters of a `Polarizable`
    """

    def __init__(
        self,
        gnn: nn.Module,
        settings: TrainingSettings,
        force_scale: float,
        steps_per_epoch: int,
        pqeq_learning_rate: float = 0.02,
    ):
        super().__init__()
        self.pqeq_learning_rate = pqeq_learning_rate
        self.gnn = gnn
        self.average = copy.deepcopy(gnn).requires_grad_(False).eval()
        self.best = copy.deepcopy(gnn).requires_grad_(False).eval()
        self.settings = settings
        self.weights = Weights(
            settings.energy_weight, settings.force_weight, settings.stress_weight, force_scale
        )
        self.steps_per_epoch = steps_per_epoch
        self.steps = 0
        self.best_error = math.inf
        self.best_epoch = -1
        self.time_used_up = 0.0
        self.elapsed = 0.0
        self.clock = time.monotonic()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW on the weights that are trained, those of PQEq with a rate of their own."""
        settings = self.settings
        charges = (
            list(self.gnn.pqeq.moves.parameters()) if isinstance(self.gnn, Polarizable) else []
        )
        own = {id(parameter) for parameter in charges}
        network = [p for p in self.gnn.parameters() if p.requires_grad and id(p) not in own]
        groups: list[dict[str, Any]] = [{"params": network, "factor": 1.0}] if network else []
        if charges:
            groups.append(
                {
                    "params": charges,
                    "factor": self.pqeq_learning_rate / settings.learning_rate,
                    "weight_decay": 0.0,
                }
            )
        return torch.optim.AdamW(
            groups,
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            amsgrad=settings.amsgrad,
        )

    def tick(self) -> float:
        """Seconds of training so far, those before a resume included."""
        now = time.monotonic()
        self.elapsed += now - self.clock
        self.clock = now
        return self.elapsed

    def learning_rate(self) -> float:
        """The schedule at the present step."""
        settings = self.settings
        if settings.schedule == "constant":
            fraction = 0.0
        elif settings.schedule == "cosine":
            fraction = self.steps / (settings.epochs * self.steps_per_epoch)
        else:
            fraction = self.tick() / settings.max_time
        warmup = min(1.0, (self.steps + 1) / (settings.warmup + 1))
        return settings.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))

    def on_fit_start(self) -> None:
        """Start the clock."""
        self.clock = time.monotonic()

    def on_train_batch_start(self, batch: Samples, batch_idx: int) -> None:
        """Set the learning rate."""
        rate = self.learning_rate()
        if self.trainer.world_size > 1:
            rate = self.trainer.strategy.broadcast(rate)  # one of them reads the clock
        optimizer = self.optimizers()
        for group in optimizer.param_groups:  # type: ignore[union-attr]
            group["lr"] = rate * group["factor"]

    def training_step(self, batch: Samples, batch_idx: int) -> Tensor:
        """The loss of one batch, or of this process's part of it."""
        weights, size = self.weights, self.trainer.world_size
        if size > 1:
            own = counts_of(batch)
            together = self.trainer.strategy.reduce(own.clone(), reduce_op="sum")
            weights = part_of(weights, own, together, size)
        if isinstance(self.gnn, Tabulated):
            return loss_by_difference(self.gnn, batch, weights)
        return loss_of(predict(self.gnn, batch, create_graph=True), batch, weights)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Gradients in the weights that are trained, and in nothing else: those in the pair vectors
        would cost as much as the forces."""
        loss.backward(inputs=[weight for weight in self.parameters() if weight.requires_grad])

    def on_train_batch_end(self, outputs: Any, batch: Samples, batch_idx: int) -> None:
        """Update the running average."""
        decay = (
            min(self.settings.ema, (1 + self.steps) / (10 + self.steps))
            if self.settings.ema > 0
            else 0.0
        )
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.gnn.parameters()):
                mean.lerp_(value, 1 - decay)
        self.steps += 1

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what the loop needs beside weights and optimiser."""
        progress = {
            "steps": self.steps,
            "elapsed": self.tick(),
            "best_error": self.best_error,
            "best_epoch": self.best_epoch,
            "time_used_up": self.time_used_up,
        }
        checkpoint["openmm_pqeq"] = progress

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from there."""
        progress = checkpoint["openmm_pqeq"]
        self.steps, self.elapsed = progress["steps"], progress["elapsed"]
        self.best_error, self.best_epoch = progress["best_error"], progress["best_epoch"]
        self.time_used_up = progress["time_used_up"]

    def exported(self) -> nn.Module:
        """The network to export: the best average on the validation frames, or the last one where
        there are none."""
        return self.best if self.best_epoch >= 0 else self.average


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
                "training.learning_rate, or set training.gradient_clip. "
                f"{self.folder / CHECKPOINT} holds the epoch before"
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
