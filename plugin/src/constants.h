// f = k_e erf(γr)/r with its radial derivatives, eV, Å, e.
#pragma once

namespace openmm_pqeq {

// The Coulomb constant of openmm_pqeq/units.py, eV Å.
constexpr double kCoulomb = 14.399645;
constexpr double kTwoOverSqrtPi = 1.1283791670955126;

}  // namespace openmm_pqeq
