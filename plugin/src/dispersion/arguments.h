// Arguments of dispersion, checked, and what its kernels on every device take.
#pragma once

#include "dispersion/work.h"

#include <ATen/ATen.h>

#include <tuple>

namespace openmm_pqeq {

using at::Tensor;

// Those of openmm_pqeq.d3.inference.dispersion_reference, which explains them.
struct DispersionArguments {
  Tensor positions, cell, batch, centers, neighbors, shifts, species, c6, coordination,
      covalent_radii, c8_over_c6, radii6, radii8;
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

// Weights of an atom's references, five and three zeros, then their derivatives in the coordination
// number, five and three zeros.
constexpr int kWeights = 16;
constexpr int kReferences = 5;

// The inverse width of a switch without a width: x = (cutoff − r) times this is 1 wherever r <
// cutoff, and no number overflows.
constexpr double kStep = 1e30;

// ValueError for shapes, dtypes, devices and indices that do not fit.
void check(const DispersionArguments& given);
void check_atoms(const DispersionArguments& given, const Tensor& gradients,
                 const Tensor& coordination_numbers);

Dispersion prepared(const DispersionArguments& given);

// (n_atoms, kWeights) in the dtype of the tables, from coordination numbers (n_atoms,)
Tensor dispersion_weights(const DispersionArguments& given, const Tensor& coordination_numbers);

// What the kernels read; the weights, and what backward needs, are added where they are known.
template <typename T>
DispersionPairs<T> dispersion_pairs(const Dispersion& work, const DispersionArguments& given) {
  return {work.centers.size(0),
          work.c6.size(0),
          work.positions.const_data_ptr<double>(),
          work.offsets.const_data_ptr<double>(),
          work.batch.const_data_ptr<int64_t>(),
          work.centers.const_data_ptr<int32_t>(),
          work.neighbors.const_data_ptr<int32_t>(),
          work.kinds.const_data_ptr<int32_t>(),
          work.shifts.const_data_ptr<int8_t>(),
          work.constants.const_data_ptr<T>(),
          work.c6.const_data_ptr<T>(),
          nullptr,
          given.zero_damping,
          given.alp,
          static_cast<T>(given.cutoff),
          static_cast<T>(given.cn_cutoff),
          static_cast<T>(work.inverse_width),
          nullptr,
          nullptr};
}

}  // namespace openmm_pqeq

// The list of arguments, for functions of the operator's signature.
#define PQEQ_DISPERSION_PARAMETERS                                                              \
  const at::Tensor &positions, const at::Tensor &cell, const at::Tensor &batch,                 \
      const at::Tensor &centers, const at::Tensor &neighbors, const at::Tensor &shifts,         \
      const at::Tensor &species, const at::Tensor &c6, const at::Tensor &coordination,          \
      const at::Tensor &covalent_radii, const at::Tensor &c8_over_c6, const at::Tensor &radii6, \
      const at::Tensor &radii8, bool zero_damping, double s6, double s8, double alp,            \
      double cutoff, double cn_cutoff, double smoothing_width
#define PQEQ_DISPERSION_GIVEN                                                                      \
  {positions,    cell,           batch,      centers,        neighbors, shifts,       species, c6, \
   coordination, covalent_radii, c8_over_c6, radii6,         radii8,    zero_damping, s6,      s8, \
   alp,          cutoff,         cn_cutoff,  smoothing_width}
