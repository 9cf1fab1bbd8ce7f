"""The loop of a training, epoch by epoch, in Lightning's hands; the same in every process."""

import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable

import lightning
import torch

from openmm_pqeq.jobs.progress import Watch, unwatched
from openmm_pqeq.training.callbacks import AfterEveryEpoch, SaveEveryEpoch
from openmm_pqeq.training.config import Config
from openmm_pqeq.training.folder import CHECKPOINT
from openmm_pqeq.training.module import NetworkTraining
from openmm_pqeq.training.order import loader_of
from openmm_pqeq.training.prepare import Prepared
from openmm_pqeq.training.processes import Group, strategy_of
from openmm_pqeq.training.samples import Samples, Split


def loop(
    config: Config,
    prepared: Prepared,
    folder: Path,
    checkpoint: Path | None,
    last_epoch: int | None,
    group: Group,
    say: Callable[[str], None],
    watch: Watch = unwatched,
) -> tuple[NetworkTraining, int]:
    """Train in one of the processes of `group`: the module after the last epoch, and how
    many there were."""
    settings = config.training
    train_, validation, held_out = (prepared.part(name) for name in Split._fields)
    loader = loader_of(
        train_,
        settings.batch_size or max(group.size, _batch_size(train_)),
        settings.seed,
        prepared.replay.train,
        config.start.replay if config.start is not None else 0,
        group,
    )
    rate = config.start.pqeq_learning_rate if config.start is not None else settings.learning_rate
    module = NetworkTraining(prepared.model, settings, prepared.scale, len(loader), rate)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # no list of accelerators and processes
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*number of training batches.*")
        warnings.filterwarnings(
            "ignore", message=".*in eval mode.*"
        )  # what is not trained is meant to be
        trainer = lightning.Trainer(
            accelerator={"cuda": "gpu"}.get(settings.device, settings.device),
            devices=group.size,
            strategy=strategy_of(group),
            use_distributed_sampler=False,  # order.py has its own
            max_epochs=last_epoch or settings.epochs,
            gradient_clip_val=settings.gradient_clip or None,
            callbacks=[
                AfterEveryEpoch(folder, validation, held_out, say, watch),
                SaveEveryEpoch(folder / CHECKPOINT),
            ],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            with _algorithms(settings.deterministic):
                trainer.fit(
                    module, train_dataloaders=loader, ckpt_path=checkpoint, weights_only=True
                )
        except SystemExit as leaving:  # how Lightning ends after Ctrl-C, with further ones ignored,
            # and after SIGTERM, which is no success either
            signal.signal(signal.SIGINT, on_interrupt)
            if trainer.received_sigterm and not trainer.is_global_zero:
                raise
            say(
                f"interrupted; {folder / CHECKPOINT} holds the last whole epoch, resume goes on "
                "from there"
            )
            raise KeyboardInterrupt from leaving
    return module, trainer.current_epoch


@contextmanager
def _algorithms(deterministic: bool) -> Iterator[None]:
    """Torch's deterministic ones, where that is wanted."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(deterministic or before)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _batch_size(frames: list[Samples]) -> int:
    """As many frames as have about 64 atoms together."""
    atoms = sum(len(samples.numbers) for samples in frames) / len(frames)
    return max(1, round(64 / atoms))
