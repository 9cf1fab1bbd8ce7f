"""Training in several processes, by Lightning's DDP: each has its part of every batch.

    L = Σ_k w_k S_k/n_k,   S_k = Σ_r S_kr,   n_k = Σ_r n_kr        k: energies, forces, stress

DDP takes the mean of the gradients of all R processes, so the loss of process r has the weights
w_k R n_kr/n_k: the mean is then the gradient of one process with the whole batch, whatever the
frames' sizes and labels. The first process is the one that was called; it alone measures, decides
and writes. The others get data and model through their stdin and end with it: what they send each
other (gloo on processors, NCCL on GPUs) fails where one of them is gone.
"""

import os
import pickle
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from lightning.pytorch.plugins.environments import ClusterEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

from openmm_pqeq.training.config import Config
from openmm_pqeq.training.loss import Weights
from openmm_pqeq.training.prepare import Prepared
from openmm_pqeq.training.samples import Samples
from openmm_pqeq.training.settings import TrainingSettings

READY = b"ready\n"
LAST_WORDS = 3
"""Lines of a process that has failed."""


class Group(NamedTuple):
    """The place of a process among those of a training; they meet at a port of this machine."""

    rank: int = 0
    size: int = 1
    port: int = 0


ALONE = Group()


class Work(NamedTuple):
    """What the other processes need: the arguments of loop.py's `loop`."""

    config: Config
    prepared: Prepared
    folder: Path
    checkpoint: Path | None
    last_epoch: int | None


class _Environment(ClusterEnvironment):
    """Tells Lightning that the processes are there, and which one this is."""

    def __init__(self, group: Group):
        super().__init__()
        self.group = group

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        return self.group.port

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self.group.size

    def set_world_size(self, size: int) -> None:
        pass

    def global_rank(self) -> int:
        return self.group.rank

    def set_global_rank(self, rank: int) -> None:
        pass

    def local_rank(self) -> int:
        return self.group.rank

    def node_rank(self) -> int:
        return 0


def strategy_of(group: Group) -> DDPStrategy | str:
    """Lightning's strategy for a process."""
    if group.size == 1:
        return "auto"
    return DDPStrategy(
        cluster_environment=_Environment(group),
        find_unused_parameters=True,  # elements that a batch has not
        broadcast_buffers=False,  # they do not change
    )


def counts_of(samples: Samples) -> Tensor:
    """(3,) labels of a batch: energies, components of forces and of stress."""
    known = torch.isfinite(samples.energy).sum(), torch.isfinite(samples.stress).sum()
    return torch.stack([known[0], torch.tensor(samples.forces.numel()).to(known[0]), known[1]])


def part_of(weights: Weights, own: Tensor, together: Tensor, size: int) -> Weights:
    """The weights for a part of a batch, one of `size`, that has `own` labels of all of them, (3,)
    each."""
    shares = (size * own.double() / together.clamp(min=1)).tolist()
    return weights._replace(
        energy=weights.energy * shares[0],
        force=weights.force * shares[1],
        stress=weights.stress * shares[2],
    )


@contextmanager
def others(size: int, work: Work) -> Iterator[Group]:
    """Start the other processes and give the place of this one; RuntimeError where one of them does
    not come up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "openmm_pqeq.training.worker"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    pipes["start_new_session"] = True  # Ctrl-C is for the first, which ends the others
    started: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryFile() as said:
        try:
            for rank in range(1, size):
                started.append(subprocess.Popen(command, stderr=said, **pipes))
                _send(started[-1], (Group(rank, size, port), work))
            for process in started:
                if process.stdout is None or process.stdout.readline() != READY:
                    raise RuntimeError(
                        f"training.processes: one did not begin: {_last_words(said)}"
                    )
            yield Group(0, size, port)
        finally:
            _end(started)


def _end(started: "list[subprocess.Popen[bytes]]") -> None:
    """Nobody goes on alone."""
    for process in started:
        process.kill()
        process.communicate()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _send(process: "subprocess.Popen[bytes]", what: tuple[Group, Work]) -> None:
    """Through its stdin; one that has ended is found out later."""
    if process.stdin is not None:
        try:
            pickle.dump(what, process.stdin)
            process.stdin.flush()
        except BrokenPipeError:
            pass


def _last_words(said: IO[bytes]) -> str:
    said.seek(0)
    lines = said.read().decode("utf-8", errors="replace").strip().splitlines()
    return "\n".join(lines[-LAST_WORDS:])


def refuse_too_many(settings: TrainingSettings) -> None:
    """ValueError where there is not a frame of a batch, or a GPU, for each process."""
    n_processes, n_devices = settings.processes, torch.cuda.device_count()
    if settings.device == "cuda" and n_processes > n_devices:
        raise ValueError(
            f"training.processes: expected at most {n_devices}, one for each CUDA device, got "
            f"{n_processes}"
        )
    if 0 < settings.batch_size < n_processes:
        raise ValueError(
            f"training.batch_size: expected at least {n_processes}, a frame for each of "
            f"training.processes, got {settings.batch_size}"
        )


def use_threads(config: Config) -> None:
    """Those of the settings, or of this machine a part for each process."""
    settings = config.training
    if settings.threads:
        torch.set_num_threads(settings.threads)
    elif settings.processes > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // settings.processes))
