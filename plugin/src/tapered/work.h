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

// Pairs, each once, with their centers ascending.
struct PairIndices {
  int64_t n;
  const int32_t *centers, *neighbors;
};

// A list of pairs from which those within the cutoff are taken: shifts (n, 3), positions
// (n_atoms, 3), cell (3, 3).
struct TaperedList {
  PairIndices pairs;
  const int8_t* shifts;
  const double *positions, *cell;
  double square;  // of the cutoff
};

// γ of pairs of kinds (n_kinds, n_kinds), and the kind of each atom.
template <typename T>
struct TaperedWidths {
  const int64_t* kind;
  const T* gamma;
  int64_t n_kinds;
  T cutoff;
};

// A symmetric matrix with a number for each pair, and a vector.
template <typename T>
struct PairMatrix {
  PairIndices pairs;
  const T* values;
  const double* x;
};

}  // namespace openmm_pqeq
