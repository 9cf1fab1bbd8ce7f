"""A process of a training that is not the first: its place and its work come through stdin, and its
part of every batch is all that it has to say."""

import pickle
import sys

import torch

from openmm_pqeq.training.loop import loop
from openmm_pqeq.training.processes import READY, Group, Work, use_threads


def main() -> None:
    group: Group
    work: Work
    group, work = pickle.load(sys.stdin.buffer)
    use_threads(work.config)
    torch.manual_seed(work.config.training.seed)
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    loop(*work, group, lambda line: None)


if __name__ == "__main__":
    main()
