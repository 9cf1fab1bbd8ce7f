// What the kernels of the tapered pair sum read, on every device.
#pragma once

#include <cstdint>

namespace openmm_pqeq {

// Charges, shells and a direction in which they change: Z, c = q + Z, s, dq and ds.
template <typename T>
struct TaperedAtom {
  T z, c, s[3], p, t[3];
};

// Pairs, each once, with f, f1, f2 at d, and at u, v and w (rows of n_pairs), or where all shells
// are at rest those at d again.
template <typename T>
struct TaperedWork {
  const int32_t *centers, *neighbors;
  const int8_t* shifts;  // (n_pairs, 3)
  const T* vectors;      // (n_pairs, 3)
  const T *at_cores, *at_shells;
  int64_t n_pairs;
  bool at_rest;
  const TaperedAtom<T>* atoms;
  T energy_weight;
};

}  // namespace openmm_pqeq
