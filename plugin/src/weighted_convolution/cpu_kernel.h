// The kernels, once for each instruction set they are compiled for.
//
// Of the pairs whose centres are from `begin` to `end`: messages, and derivatives, as far as there
// is a place for them; with tangents their changes. Derivatives in the features are added up, and
// belong to neighbours: those that work at the same time need places of their own for them.
#pragma once

#include "weighted_convolution/work.h"

#define PQEQ_DECLARE_WEIGHTED(level)                            \
  namespace openmm_pqeq {                                       \
  namespace weighted {                                          \
  namespace level {                                             \
  template <typename T>                                         \
  void convolve(const Convolution<T>&, Index begin, Index end); \
  }                                                             \
  }                                                             \
  }

PQEQ_DECLARE_WEIGHTED(any_cpu)
PQEQ_DECLARE_WEIGHTED(x86_64_v3)
PQEQ_DECLARE_WEIGHTED(x86_64_v4)
