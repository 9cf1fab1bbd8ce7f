"""The training step as a Lightning module.

Everything that decides what comes next is in the checkpoint: weights, their running average,
optimiser, steps, elapsed time, best validation error. The order of the frames depends on the seed
and the epoch alone, so that a run which was interrupted and resumed is the run that was not (the
schedule "cosine-time" excepted: it reads the clock).

    average ← d·average + (1 − d)·weights,   d = min(ema, (1 + n)/(10 + n)) at step n
"""

import copy
import math
import time
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from openmm_pqeq.training.loss import Weights, loss_of, predict
from openmm_pqeq.training.pqeq import Polarizable
from openmm_pqeq.training.processes import counts_of, part_of
from openmm_pqeq.training.samples import Samples
from openmm_pqeq.training.settings import TrainingSettings
from openmm_pqeq.training.tabulated import Tabulated, loss_by_difference


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
            settings.energy_weight,
            settings.force_weight,
            settings.stress_weight,
            force_scale,
            settings.force_level,
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
