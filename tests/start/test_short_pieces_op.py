"""Torch's own operations have one thread in a piece of work that is short, and as many as before
afterwards."""

import pytest
import torch
from torch import nn

from openmm_pqeq import ops
from openmm_pqeq.start.short_pieces import MOST_ATOMS, ShortPieces, short_pieces

pytestmark = [
    pytest.mark.python_route,
    pytest.mark.skipif(not ops.available("short_pieces"), reason="no native operators"),
]


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@torch.jit.ignore
def threads() -> int:
    return torch.get_num_threads()


class Work(nn.Module):
    """Threads that torch has in a piece of work, in one within it, and afterwards."""

    def forward(self, n_atoms: int, fails: bool) -> tuple[int, int, int]:
        with ShortPieces(n_atoms):
            inside = threads()
            with ShortPieces(1):
                within = threads()
                if fails:
                    raise ValueError("as asked")
        return inside, within, threads()


@pytest.mark.parametrize("scripted", [False, True])
def test_one_thread_and_then_as_many_as_before(three_threads, scripted):
    work = torch.jit.script(Work()) if scripted else Work()
    for _ in range(3):
        assert work(10, False) == (1, 1, 3)
        assert work(MOST_ATOMS, False) == (1, 1, 3)
        assert work(MOST_ATOMS + 1, False) == (3, 1, 3)


@pytest.mark.parametrize("scripted", [False, True])
def test_an_error_gives_the_threads_back(three_threads, scripted):
    work = torch.jit.script(Work()) if scripted else Work()
    with pytest.raises((ValueError, torch.jit.Error), match="as asked"):
        work(10, True)
    assert torch.get_num_threads() == 3


def test_an_end_without_a_beginning_changes_nothing(three_threads):
    short_pieces(False)
    assert torch.get_num_threads() == 3
