// Arguments of dispersion as a structure, checked, and what its kernels on every device take.
#pragma once

#include "checks.h"
#include "dispersion/work.h"

#include <tuple>

namespace openmm_pqeq {

// Those of the schema, which explains them (schema.cpp).
struct DispersionArguments {
  Tensor positions, cell, batch;                                        // atoms
  Tensor centers, neighbors, shifts;                                    // pairs
  Tensor species;                                                       // rows of the tables
  Tensor c6, coordination, covalent_radii, c8_over_c6, radii6, radii8;  // tables
  bool zero_damping;
  double s6, s8, alp, cutoff, cn_cutoff, smoothing_width;
};

// ValueError for shapes, dtypes, devices and indices that do not fit.
void check(const DispersionArguments& given);
void check_atoms(const DispersionArguments& given, const Tensor& gradients,
                 const Tensor& coordination_numbers);

// Energies and coordination numbers, or derivatives in positions and cell.
using Both = std::tuple<Tensor, Tensor>;

// Functions of the operators' signatures: the one place where the schema's list becomes a
// structure.
template <Both (*work)(const DispersionArguments&)>
Both dispersion(const Tensor& positions, const Tensor& cell, const Tensor& batch,
                const Tensor& centers, const Tensor& neighbors, const Tensor& shifts,
                const Tensor& species, const Tensor& c6, const Tensor& coordination,
                const Tensor& covalent_radii, const Tensor& c8_over_c6, const Tensor& radii6,
                const Tensor& radii8, bool zero_damping, double s6, double s8, double alp,
                double cutoff, double cn_cutoff, double smoothing_width) {
  return work({positions,  cell,    batch,  centers,      neighbors,
               shifts,     species, c6,     coordination, covalent_radii,
               c8_over_c6, radii6,  radii8, zero_damping, s6,
               s8,         alp,     cutoff, cn_cutoff,    smoothing_width});
}

template <Both (*work)(const Tensor&, const Tensor&, const DispersionArguments&, bool)>
Both dispersion_backward(const Tensor& gradients, const Tensor& coordination_numbers,
                         const Tensor& positions, const Tensor& cell, const Tensor& batch,
                         const Tensor& centers, const Tensor& neighbors, const Tensor& shifts,
                         const Tensor& species, const Tensor& c6, const Tensor& coordination,
                         const Tensor& covalent_radii, const Tensor& c8_over_c6,
                         const Tensor& radii6, const Tensor& radii8, bool zero_damping, double s6,
                         double s8, double alp, double cutoff, double cn_cutoff,
                         double smoothing_width, bool with_cell) {
  return work(gradients, coordination_numbers,
              {positions,  cell,    batch,  centers,      neighbors,
               shifts,     species, c6,     coordination, covalent_radii,
               c8_over_c6, radii6,  radii8, zero_damping, s6,
               s8,         alp,     cutoff, cn_cutoff,    smoothing_width},
              with_cell);
}

// The operators, called with a structure.
Both call_dispersion(const DispersionArguments& of);
Both call_dispersion_backward(const Tensor& gradients, const Tensor& coordination_numbers,
                              const DispersionArguments& of, bool with_cell);

// The arguments by the elements that are present. T is the type of the tables.
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
