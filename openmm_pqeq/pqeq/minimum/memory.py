"""The memory of a Context: earlier charge solutions, where the next one begins, and the
preconditioner.

Nothing of it changes what counts as converged. Buffers that change in forward persist within a
Context and are not in checkpoints.
"""

import torch
from torch import Tensor, nn

from openmm_pqeq.pqeq.minimum.history import (
    HISTORY_LENGTH,
    History,
    guess,
    nearest_images,
    remember,
)
from openmm_pqeq.pqeq.minimum.newton import Minimum
from openmm_pqeq.pqeq.minimum.preconditioner import CLUSTER_AGE, Preconditioner
from openmm_pqeq.structure import Structure


class Memory(nn.Module):
    """The last solutions, the preconditioner with the solutions it is still good for, and the
    products of the last solution."""

    last_positions: Tensor
    last_charges: Tensor
    last_shells: Tensor
    kept_centers: Tensor
    kept_neighbors: Tensor
    kept_blocks: Tensor
    kept_solutions: Tensor
    products: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer(
            "last_positions", torch.zeros(0, 0, 3, dtype=torch.float64), persistent=False
        )
        self.register_buffer(
            "last_charges", torch.zeros(0, 0, dtype=torch.float64), persistent=False
        )
        self.register_buffer(
            "last_shells", torch.zeros(0, 0, 3, dtype=torch.float64), persistent=False
        )
        self.register_buffer("kept_centers", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.register_buffer("kept_neighbors", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.register_buffer(
            "kept_blocks", torch.zeros(0, 4, 4, dtype=torch.float32), persistent=False
        )
        self.register_buffer("kept_solutions", torch.tensor(0), persistent=False)
        self.register_buffer("products", torch.tensor(0), persistent=False)

    def history(self) -> History:
        """The last solutions, newest first."""
        return History(self.last_positions, self.last_charges, self.last_shells)

    def unwrapped(self, structure: Structure) -> Tensor:
        """Positions (n_atoms, 3) Å at the images nearest to the last ones, where these are of the
        same atoms."""
        positions = structure.positions.detach()
        if not self.knows(positions):
            return positions
        return nearest_images(
            positions, structure.cell[0].detach(), structure.pbc[0], self.last_positions[0]
        )

    def knows(self, positions: Tensor) -> bool:
        """Whether there are solutions of as many atoms, in the same precision."""
        last = self.last_charges
        return (
            last.size(0) > 0 and last.size(1) == positions.size(0) and last.dtype == positions.dtype
        )

    def start(self, positions: Tensor) -> tuple[Tensor, Tensor] | None:
        """Charges and shells to begin with at unwrapped positions, or nothing."""
        if not self.knows(positions):
            return None
        return guess(self.history(), positions)

    def preconditioner(self, positions: Tensor) -> Preconditioner | None:
        """The one that was kept, or nothing where it is time for another."""
        if (
            not self.knows(positions)
            or int(self.kept_solutions) <= 0
            or self.kept_blocks.size(0) == 0
        ):
            return None
        return Preconditioner(self.kept_centers, self.kept_neighbors, self.kept_blocks)

    def remember(
        self,
        positions: Tensor,
        minimum: Minimum,
        was_kept: bool,
        lifetime: int = CLUSTER_AGE,
        length: int = HISTORY_LENGTH,
    ) -> None:
        """Take in a solution at unwrapped positions; `was_kept`: its preconditioner came from
        here; `length`: how many to keep."""
        self.products = torch.tensor(minimum.products)
        # what was kept for other atoms is good for no solution of these
        left = int(self.kept_solutions) if self.knows(positions) else 0
        used = minimum.preconditioner
        if not was_kept and used is not None:
            self.kept_centers, self.kept_neighbors, self.kept_blocks = (
                used.centers,
                used.neighbors,
                used.blocks,
            )
            left = lifetime
        if len(minimum.failure) > 0:
            left = 0
        else:
            history = remember(self.history(), positions, minimum.unknowns, minimum.shells, length)
            self.last_positions, self.last_charges, self.last_shells = (
                history.positions,
                history.charges,
                history.shells,
            )
        self.kept_solutions = torch.tensor(left - 1)
