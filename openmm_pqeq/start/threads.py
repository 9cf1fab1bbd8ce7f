"""One thread for what is made at the start: many small steps, which take as long with two, and a
thread that waits for the next one takes a processor."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch with one thread; as a `with` or, called, as a decorator."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
