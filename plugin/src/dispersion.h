// Arguments of dispersion, checked, and what its kernels on every device take.
#pragma once

#include <ATen/ATen.h>

#include <tuple>

namespace openmm_pqeq {

using at::Tensor;

// Those of openmm_pqeq.d3_inference.dispersion_reference, which explains them.
struct DispersionArguments {
  Tensor positions, cell, batch, centers, neighbors, shifts, species, c6, coordination, covalent_radii, c8_over_c6, radii6, radii8;
  bool zero_damping;
  double s6, s8, alp, cutoff, cn_cutoff, smoothing_width;
};

// The same by the elements that are present. T is the type of the tables.
struct Dispersion {
  Tensor positions;  // (n_atoms, 4) float64, the last 0
  Tensor offsets;    // (n_structures, 3, 256, 4) float64: (S − 128) times each lattice vector
  Tensor batch, centers, neighbors, shifts;
  Tensor kinds;      // (n_atoms,) int32
  Tensor constants;  // (5, n_kinds, n_kinds) T, PairConstants
  Tensor c6;         // (n_kinds, n_kinds, 5, 5) T
  double inverse_width;
};

// Weights of an atom's references, five and three zeros, then their derivatives in the coordination number, five and three zeros.
constexpr int kWeights = 16;
constexpr int kReferences = 5;

// The inverse width of a switch without a width: x = (cutoff − r) times this is 1 wherever r < cutoff, and no number overflows.
constexpr double kStep = 1e30;

// ValueError for shapes, dtypes, devices and indices that do not fit.
void check(const DispersionArguments& given);

Dispersion prepared(const DispersionArguments& given);

// (n_atoms, kWeights) in the dtype of the tables, from coordination numbers (n_atoms,)
Tensor dispersion_weights(const DispersionArguments& given, const Tensor& coordination_numbers);

}  // namespace openmm_pqeq

// The list of arguments, for functions of the operator's signature.
#define PQEQ_DISPERSION_PARAMETERS                                                                                              \
  const at::Tensor &positions, const at::Tensor &cell, const at::Tensor &batch, const at::Tensor &centers,                      \
      const at::Tensor &neighbors, const at::Tensor &shifts, const at::Tensor &species, const at::Tensor &c6,                   \
      const at::Tensor &coordination, const at::Tensor &covalent_radii, const at::Tensor &c8_over_c6, const at::Tensor &radii6, \
      const at::Tensor &radii8, bool zero_damping, double s6, double s8, double alp, double cutoff, double cn_cutoff,           \
      double smoothing_width
#define PQEQ_DISPERSION_GIVEN                                                                                                \
  {positions, cell, batch, centers, neighbors, shifts, species, c6, coordination, covalent_radii, c8_over_c6, radii6, radii8, \
   zero_damping, s6, s8, alp, cutoff, cn_cutoff, smoothing_width}
