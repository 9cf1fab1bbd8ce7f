"""Every conversion factor of the package.

Inside: Å, eV, e, V/Å, eV/Å³, amu. OpenMM and mdtraj speak nm and kJ/mol, D3 speaks bohr and
hartree, and the published PQEq tables give spring constants in kcal/mol/Å². The values follow
CODATA 2018 except where a published model fixed its own; those are named after it.
"""

COULOMB = 14.399645
"""Coulomb constant e²/(4πε₀), eV Å. The published tables use this value; CODATA 2018 has
14.3996454785."""

KCAL_PER_MOL_PER_EV = 23.060549
"""1 eV in kcal/mol, as the published PQEq parameters were converted (CODATA: 23.060548)."""

KJ_PER_MOL_PER_EV = 96.48533212331002
"""1 eV in kJ/mol."""

ANGSTROM_PER_NM = 10.0
"""1 nm in Å."""

KJ_PER_MOL_NM_PER_EV_PER_ANGSTROM = KJ_PER_MOL_PER_EV * ANGSTROM_PER_NM
"""1 eV/Å in kJ/mol/nm."""

BOHR = 0.529177210903
"""1 bohr in Å."""

DEBYE = 0.20819433
"""1 debye in e Å."""

HARTREE = 27.211386245988
"""1 hartree in eV."""

BOHR_REAXNET, HARTREE_REAXNET = 0.52917726, 27.21138505
"""The bohr (Å) and hartree (eV) of ReaxNet's D3."""

BOLTZMANN = 8.617333262e-5
"""Boltzmann constant, eV/K."""

EV_PER_CUBIC_ANGSTROM_IN_GPA = 160.21766208
"""1 eV/Å³ in GPa."""

E_PER_SQUARE_ANGSTROM_IN_MICROCOULOMB_PER_SQUARE_CM = 1602.176634
"""1 e/Å² in µC/cm², the customary unit of a polarization."""

SPEED_OF_LIGHT = 2.99792458e6
"""Speed of light, Å/ps (exact)."""

AVOGADRO = 6.02214076e23
"""Entities in a mole (exact)."""

PER_ANGSTROM_IN_PER_CM = 1e8
"""1/Å in cm⁻¹, of wavenumbers and absorption coefficients."""

SQUARE_ANGSTROM_IN_KM_PER_MOL_PER_CM = 1e-16 * AVOGADRO * 1e-5
"""A cross-section of 1 Å² (of one molecule) as a molar absorption coefficient, km/mol per cm⁻¹."""

SQUARE_ANGSTROM_PER_PS_IN_SQUARE_CM_PER_S = 1e-4
"""1 Å²/ps in cm²/s, of diffusion coefficients (exact)."""

CONDUCTIVITY_IN_SIEMENS_PER_CM = 16.02176634
"""1 e²/(eV Å ps) in S/cm (exact: 1.602176634e-19 S m⁻¹ by 1e-22, by 1e-2)."""

AMU_PER_CUBIC_ANGSTROM_IN_G_PER_CM3 = 1.66053906660
"""1 amu/Å³ in g/cm³."""
