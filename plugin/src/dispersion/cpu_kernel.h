// The kernels, once for each instruction set they are compiled for.
//
// Each goes through the pairs from `begin` to `end` and adds to sums that no other thread has.
#pragma once

#include "dispersion/work.h"

namespace openmm_pqeq {

using Index = int64_t;

}  // namespace openmm_pqeq

#define PQEQ_DECLARE_DISPERSION(level)                                                            \
  namespace openmm_pqeq {                                                                         \
  namespace level {                                                                               \
  /* coordination numbers into (n_atoms,) */                                                      \
  template <typename T>                                                                           \
  void dispersion_counts(const DispersionPairs<T>&, Index begin, Index end, double* sums);        \
  /* energies into (n_atoms,) */                                                                  \
  template <typename T>                                                                           \
  void dispersion_energies(const DispersionPairs<T>&, Index begin, Index end, double* sums);      \
  /* derivatives of the pair energies: position and D into (n_atoms, 4), cell into (n_structures, \
   * 9) or nowhere */                                                                             \
  template <typename T>                                                                           \
  void dispersion_slopes(const DispersionPairs<T>&, Index begin, Index end, double* sums,         \
                         double* cell);                                                           \
  /* derivatives by way of the coordination numbers, into the same */                             \
  template <typename T>                                                                           \
  void dispersion_chain(const DispersionPairs<T>&, Index begin, Index end, double* sums,          \
                        double* cell);                                                            \
  }                                                                                               \
  }

PQEQ_DECLARE_DISPERSION(any_cpu)
PQEQ_DECLARE_DISPERSION(x86_64_v3)
PQEQ_DECLARE_DISPERSION(x86_64_v4)
