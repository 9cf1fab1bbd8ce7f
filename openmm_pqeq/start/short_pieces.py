"""Torch's own operations in one thread, where each of them is short.

A loop of torch's in OpenMP ends when all threads have come to its end. A thread that slept has to be
given a processor first: on a busy machine a millisecond or more, whatever the loop had to do. The
charges of some hundred atoms are hundreds of loops (transforms of a mesh, sums over it) of less than
a millisecond each; with two threads they take longer than with one there. The
native operators keep their threads, which do not wait for each other in this way (plugin/src/crew.h).

    with ShortPieces(n_atoms):
        ...
"""

from typing import Any

import torch

from openmm_pqeq import ops

MOST_ATOMS = 1000
"""Up to which operations are short: half a millisecond to a few for a transform."""


def short_pieces_reference(begin: bool) -> None:
    """Nothing: torch's threads stay as they are."""


def short_pieces_native(begin: bool) -> None:
    """From here on (`begin`) torch's own operations have one thread, in the thread that calls; or, as
    often as that was said, as many as before."""
    torch.ops.openmm_pqeq.short_pieces(begin)


short_pieces = ops.pick("short_pieces", short_pieces_native, short_pieces_reference)


class ShortPieces:
    """One thread for torch's own operations of a structure of up to `MOST_ATOMS` atoms; also in
    TorchScript, and where an error is raised."""

    def __init__(self, n_atoms: int, most: int = MOST_ATOMS):
        self.short = n_atoms <= most

    def __enter__(self) -> None:
        if self.short:
            short_pieces(True)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self.short:
            short_pieces(False)
