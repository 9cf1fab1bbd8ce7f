// The kernels, once for each instruction set they are compiled for.
//
// values and coefficient_gradients work on intervals from `begin` to `end`, table_gradients on
// columns: each writes what no other does.
#pragma once

#include "interpolation/work.h"

#define PQEQ_DECLARE_INTERPOLATION(level)                                      \
  namespace openmm_pqeq {                                                      \
  namespace interpolating {                                                    \
  namespace level {                                                            \
  template <typename T>                                                        \
  void values(const Interpolation<T>&, Index begin, Index end);                \
  template <typename T>                                                        \
  void coefficient_gradients(const Interpolation<T>&, Index begin, Index end); \
  template <typename T>                                                        \
  void table_gradients(const Interpolation<T>&, Index begin, Index end);       \
  }                                                                            \
  }                                                                            \
  }

PQEQ_DECLARE_INTERPOLATION(any_cpu)
PQEQ_DECLARE_INTERPOLATION(x86_64_v3)
PQEQ_DECLARE_INTERPOLATION(x86_64_v4)
