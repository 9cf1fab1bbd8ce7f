// The kernels, once for each instruction set they are compiled for.
//
// forward works on the centres from `begin` to `end`, backward on the neighbours: each writes what
// no other does. With tangents they give the changes.
#pragma once

#include "weighted_convolution/work.h"

#define PQEQ_DECLARE_WEIGHTED(level)                            \
  namespace openmm_pqeq {                                       \
  namespace weighted {                                          \
  namespace level {                                             \
  template <typename T>                                         \
  void forward(const Convolution<T>&, Index begin, Index end);  \
  template <typename T>                                         \
  void backward(const Convolution<T>&, Index begin, Index end); \
  }                                                             \
  }                                                             \
  }

PQEQ_DECLARE_WEIGHTED(any_cpu)
PQEQ_DECLARE_WEIGHTED(x86_64_v3)
PQEQ_DECLARE_WEIGHTED(x86_64_v4)
