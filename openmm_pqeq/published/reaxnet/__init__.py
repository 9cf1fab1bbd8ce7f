"""Published ReaxNet models as potentials of this package.

    params.pickle + model_config.yaml + mapping.yaml  →  .pt

The network gives the same energies as theirs to rounding; charges and long-range energy are those
of the protocol `reaxnet` (their parameters, taper at 12.5 Å, two sweeps). The pickle is read
without running anything in it (unpickler.py); JAX is not needed.

Gao, Yam, Mao, Chen, Chen, Hu, Nat. Commun. 16, 10484 (2025); ReaxNet-MP:
https://doi.org/10.6084/m9.figshare.28407524
"""

from openmm_pqeq.published.reaxnet.convert import convert_reaxnet

__all__ = ["convert_reaxnet"]
