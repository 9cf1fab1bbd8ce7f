"""Which frames come when: it depends on the seed and the epoch alone, so that a resumed training is
the unbroken one. Each of several processes has its part of every batch, as much to do as the others
have; all of them have the whole of one that is too small for that, whose mean is the same.

Batches are not sorted by size. Frames lie end to end and no place is filled up, so that large and small
ones in one batch cost nothing."""

from typing import Iterator, Sequence

import torch
from torch.utils.data import DataLoader, Sampler

from openmm_pqeq.training.processes import ALONE, Group
from openmm_pqeq.training.samples import Samples, join


class EpochOrder(Sampler[int]):
    """A permutation that depends on the seed and the epoch alone; Lightning calls `set_epoch`."""

    def __init__(self, n_frames: int, seed: int):
        self.n_frames, self.seed, self.epoch = n_frames, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n_frames

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.epoch)
        return iter(torch.randperm(self.n_frames, generator=generator).tolist())


class MixedBatches(Sampler[list[int]]):
    """Batches of frames in the order of `EpochOrder`, each with some frames of a second set, which
    goes on from epoch to epoch.

    Parameters
    ----------
    n_frames, n_others : frames, and those of the second set, which are numbered after them
    batch_size, n_mixed : how many of each a batch has
    group : whose part of it this process has
    work : pairs of each frame, of both sets; read where there are several processes
    """

    def __init__(
        self,
        n_frames: int,
        batch_size: int,
        n_others: int,
        n_mixed: int,
        seed: int,
        group: Group,
        work: Sequence[int] = (),
    ):
        self.group, self.work = group, work
        self.sampler = EpochOrder(n_frames, seed)  # Lightning looks for it under this name
        self.batch_size, self.n_others, self.n_mixed = batch_size, n_others, n_mixed

    def __len__(self) -> int:
        return -(-len(self.sampler) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order, n_frames = list(self.sampler), len(self.sampler)
        place = self.sampler.epoch * len(self) * self.n_mixed
        for begin in range(0, n_frames, self.batch_size):
            batch = order[begin : begin + self.batch_size]
            for _ in range(self.n_mixed):
                batch.append(n_frames + self._other(place))
                place += 1
            yield self._part(batch)

    def _part(self, batch: list[int]) -> list[int]:
        """That of this process: the largest frame that is left goes to who has least to do."""
        rank, size, _ = self.group
        if size == 1 or len(batch) < size:
            return batch
        parts: list[list[int]] = [[] for _ in range(size)]
        loads = [0] * size
        for frame in sorted(batch, key=lambda frame: -self.work[frame]):
            least = loads.index(min(loads))
            parts[least].append(frame)
            loads[least] += 1 + self.work[frame]
        return parts[rank]

    def _other(self, place: int) -> int:
        """The frame of the second set at a place of the endless row of its permutations."""
        turn, within = divmod(place, self.n_others)
        generator = torch.Generator().manual_seed(1_000_003 * self.sampler.seed + turn)
        return int(torch.randperm(self.n_others, generator=generator)[within])


def loader_of(
    frames: Sequence[Samples],
    batch_size: int,
    seed: int,
    others: Sequence[Samples] = (),
    n_mixed: int = 0,
    group: Group = ALONE,
) -> DataLoader:
    """Batches of frames laid end to end, each with `n_mixed` of the others; of each the part of a
    process."""
    n_mixed = n_mixed if others else 0
    both = [*frames, *others]
    work = [len(samples.centers) for samples in both]
    return DataLoader(
        both,  # type: ignore[arg-type]
        batch_sampler=MixedBatches(
            len(frames), batch_size, len(others), n_mixed, seed, group, work
        ),
        collate_fn=join,
        num_workers=0,
    )
