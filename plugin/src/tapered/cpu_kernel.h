// Loops over pairs of the tapered sum, compiled for several instruction sets (see cpu_kernel.cpp).
#pragma once

#include "tapered/work.h"

namespace openmm_pqeq {

enum class Separation { d, u, v, w };

}  // namespace openmm_pqeq

#define PQEQ_DECLARE_TAPERED(level)                                                               \
  namespace openmm_pqeq {                                                                         \
  namespace level {                                                                               \
  /* distances of pairs begin to end, and γr and −γ²r², which erf and exp are to be taken of */   \
  template <typename T>                                                                           \
  void measure(const TaperedWork<T>&, Separation, const int64_t* kind, const T* gamma,            \
               int64_t n_kinds, int64_t begin, int64_t end, T* distance, T* scaled, T* exponent); \
  /* f, f1 and f2 of n pairs from distances, erf(γr), exp(−γ²r²) and γ */                         \
  template <typename T>                                                                           \
  void taper_radials(const T* distance, const T* erf, const T* exp, const T* gamma, T cutoff,     \
                     int64_t n, T* f, T* f1, T* f2);                                              \
  template <typename T>                                                                           \
  void potential(const TaperedWork<T>&, int64_t begin, int64_t end, double* sums);                \
  template <typename T>                                                                           \
  void field(const TaperedWork<T>&, int64_t begin, int64_t end, double* sums);                    \
  template <typename T>                                                                           \
  void potential_change(const TaperedWork<T>&, int64_t begin, int64_t end, double* sums);         \
  template <typename T>                                                                           \
  void field_change(const TaperedWork<T>&, int64_t begin, int64_t end, double* sums);             \
  /* slopes (n_atoms, 3), then that in the cell (3, 3), then the energy */                        \
  template <typename T>                                                                           \
  void forces(const TaperedWork<T>&, int64_t n_atoms, int64_t begin, int64_t end, double* sums);  \
  template <typename T>                                                                           \
  void matrix_product(const int32_t* centers, const int32_t* neighbors, const T* values,          \
                      const double* x, int64_t begin, int64_t end, double* sums);                 \
  }                                                                                               \
  }

PQEQ_DECLARE_TAPERED(any_cpu)
PQEQ_DECLARE_TAPERED(x86_64_v3)
PQEQ_DECLARE_TAPERED(x86_64_v4)
