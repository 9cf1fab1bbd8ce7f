// What the kernels of dispersion read, on every device: see Dispersion in arguments.h for shapes.
#pragma once

#include <cstdint>

namespace openmm_pqeq {

template <typename T>
struct DispersionPairs {
  int64_t n_pairs, n_kinds;
  const double *positions, *offsets;
  const int64_t* batch;
  const int32_t *centers, *neighbors, *kinds;
  const int8_t* shifts;
  const T *constants, *c6, *weights;
  bool zero_damping;
  double alp;
  T cutoff, cn_cutoff, inverse_width;
  const double *cotangents, *chain;  // (n_atoms,): G and D
};

}  // namespace openmm_pqeq
