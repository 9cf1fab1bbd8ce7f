"""Published SevenNet models as potentials of this package.

    checkpoint_*.pth  →  .pt

A SevenNet is a NequIP network whose self-connection is the same for all species; ours gives the
same energies, forces and stress as theirs to rounding. Known to be so: SevenNet-0 (22 May and
11 July 2024), SevenNet-l3i5 and SevenNet-MF-0. The checkpoint is read without running anything in
it (read.py); the package `sevenn` is not needed.

Park, Kim, Hwang, Han, J. Chem. Theory Comput. 20, 4857 (2024),
https://doi.org/10.1021/acs.jctc.4c00190
"""

from openmm_pqeq.published.sevennet.convert import convert_sevennet

__all__ = ["convert_sevennet"]
