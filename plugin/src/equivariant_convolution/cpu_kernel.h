// The kernels, once for each instruction set they are compiled for.
//
// forward works on the centres from `begin` to `end`, backward on the neighbours: each writes what
// no other does.
#pragma once

#include "equivariant_convolution/work.h"

#define PQEQ_DECLARE_CONVOLUTION(level)                         \
  namespace openmm_pqeq {                                       \
  namespace level {                                             \
  template <typename T>                                         \
  void forward(const Convolution<T>&, Index begin, Index end);  \
  template <typename T>                                         \
  void backward(const Convolution<T>&, Index begin, Index end); \
  }                                                             \
  }

PQEQ_DECLARE_CONVOLUTION(any_cpu)
PQEQ_DECLARE_CONVOLUTION(x86_64_v3)
PQEQ_DECLARE_CONVOLUTION(x86_64_v4)
