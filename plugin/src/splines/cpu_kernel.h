// Spreading on a mesh and reading from it, once for each instruction set they are compiled for.
//
// `weigh` and the two of interpolation work on points from `begin` to `end`, `spread` on planes of
// the mesh: each writes what no other does.
#pragma once

#include "splines/work.h"

#define PQEQ_DECLARE_SPLINES(level)                                              \
  namespace openmm_pqeq {                                                        \
  namespace level {                                                              \
  template <typename T>                                                          \
  void weigh(const Spread<T>&, int64_t begin, int64_t end);                      \
  template <typename T>                                                          \
  void spread(const Spread<T>&, int64_t begin, int64_t end);                     \
  template <typename T>                                                          \
  void interpolate(const Interpolation<T>&, int64_t begin, int64_t end);         \
  template <typename T>                                                          \
  void interpolate_hessian(const Interpolation<T>&, int64_t begin, int64_t end); \
  }                                                                              \
  }

PQEQ_DECLARE_SPLINES(any_cpu)
PQEQ_DECLARE_SPLINES(x86_64_v3)
PQEQ_DECLARE_SPLINES(x86_64_v4)
