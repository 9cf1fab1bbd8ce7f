// Spreading on a mesh and reading from it, once for each instruction set they are compiled for.
//
// `weigh` and the two of reading work on points from `begin` to `end`, `put` on planes of the mesh:
// each writes what no other does.
#pragma once

#include "splines/work.h"

#define PQEQ_DECLARE_MESH(level)                              \
  namespace openmm_pqeq {                                     \
  namespace level {                                           \
  template <typename T>                                       \
  void weigh(const Put<T>&, int64_t begin, int64_t end);      \
  template <typename T>                                       \
  void put(const Put<T>&, int64_t begin, int64_t end);        \
  template <typename T>                                       \
  void read(const Read<T>&, int64_t begin, int64_t end);      \
  template <typename T>                                       \
  void read_bend(const Read<T>&, int64_t begin, int64_t end); \
  }                                                           \
  }

PQEQ_DECLARE_MESH(any_cpu)
PQEQ_DECLARE_MESH(x86_64_v3)
PQEQ_DECLARE_MESH(x86_64_v4)
