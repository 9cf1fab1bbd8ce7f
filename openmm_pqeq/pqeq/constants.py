"""Numbers that belong to PQEq. TorchScript reads them as attributes of this module."""

import math

from openmm_pqeq.units import COULOMB as COULOMB

WIDTH_SCALE = 0.462770
"""λ, relates a Gaussian's exponent to the radius: α = λ/(2R²). Naserifar et al., J. Chem. Phys.
146, 124117 (2017)."""
TWO_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)
SERIES_TERMS = 14
"""Terms of erf's power series below γ²r² = ¼: the first one left out is below 1e-17."""
SHELL_CLIP = 0.25
"""Å, the longest shell of the published two-sweep recipe. Gao et al., Nat. Commun. 16, 10484 (2025)
and its code."""
SINGLE_PRECISION_TOLERANCE = 2e-4
"""eV/e, eV/Å: float32 sums of Coulomb terms converge no further."""
MAX_NEWTON_STEPS = 60
MAX_CG_STEPS = 400
MAX_SHELL_MOVE = 0.3
"""Å, the longest change of a shell in one Newton step."""
POINT_RADIUS = 0.01
"""Å, of charges that are meant to be points."""
MAX_SHELL = 2.0
"""Å, a shell farther out is a polarization catastrophe."""
NO_MINIMUM = "met negative curvature: the energy has no minimum in the charges"
PLANNED_ROOM = 1.1
"""A mesh is planned for lengths a tenth longer than those it was planned at."""
MESH_BLOCK = 2048
"""Points that are spread or read at once."""
HISTORY_LENGTH = 6
"""Solutions that a guess is made from."""
HISTORY_RIDGE = 1e-10
"""Relative to the squared displacements."""
CLUSTER_CUTOFF = 3.5
"""Å, the neighbours that an atom's rows of the preconditioner take into account."""
CLUSTER_COUPLING = 0.85
"""How much of the coupling within a cluster is kept, so that soft clusters stay positive
definite."""
CLUSTER_BLOCK = 512
"""Clusters that are inverted at once."""
CLUSTER_AGE = 100
"""Solutions that a preconditioner is kept for."""
NEWTON_DEPTH = 0.03
"""A Newton step's linear solution goes as deep as this times the square of the residual: what is
neglected in shells is quadratic."""
ROUGH_RESIDUAL = 0.3
"""eV/e, eV/Å: charges and shells good enough to make a preconditioner at."""
MAX_MINRES_STEPS = 1000
CHARGE_CLUSTER_CUTOFF, CHARGE_CLUSTER_COUPLING = 3.0, 0.8
"""Å, and the share of the coupling, of clusters of charges alone: without shells to soften them
they have to be smaller."""
SINGULAR_MATRIX = 1e-13
"""Relative to the hardness, which the charge matrix is scaled by."""
SWEEP_DEPTH, LEAST_SWEEP_DEPTH = 0.01, 1e-11
"""Of the tolerance, and in eV/e: how deep the charges of the sweeps for dynamics are solved."""
PROBE_DEPTH = 1e-3
DIRECT_ERROR = 1e-3
"""eV/e for each e, of the direct solution in `reaxnet`; rounding gives 1e-12, in float32 1e-4."""
LONG_WAVE = 0.2
"""Å⁻¹, k₀: waves longer than 2π/k₀ are stiffer than what a cluster knows of."""
LONG_WAVE_SPACING = 1.8
"""Å, of the mesh that carries them."""
