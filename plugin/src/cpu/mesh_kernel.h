// Spreading on a mesh and reading from it, once for each instruction set they are compiled for.
//
// `weigh` and the two of reading work on points from `begin` to `end`, `put` on planes of the mesh: each writes what no other does.
#pragma once

#include <stdint.h>

namespace openmm_pqeq {

constexpr int kMinOrder = 4, kMaxOrder = 16;

// Meshes laid one behind the other, (channels, size[0], size[1], size[2]), and splines of an order on them.
struct Lattice {
  int64_t size[3];
  int order;
};

// Points in the order of the planes that they lie in: those of a bucket lie above one plane of one channel.
template <typename T>
struct Put {
  Lattice lattice;
  const T *u, *values, *moved;  // (n, 3), (n,), and (n, 3) or nothing
  const int64_t* sorted;        // (n,) which point
  const int64_t* buckets;       // (channels · size[0] + 1,) where each begins
  T* weights;                   // (n, 3 or 6, order), splines along x, y, z and their slopes, by rising node
  int64_t* corners;             // (n, 2), lowest node along y and z
  T* mesh;
};

template <typename T>
struct Read {
  Lattice lattice;
  const T *u, *field;  // (n, 3) and the meshes
  const int64_t* channel;
  T *values, *slopes, *bends;  // (n,) and (n, 3), or (n, 3, 3)
};

}  // namespace openmm_pqeq

#define PQEQ_DECLARE_MESH(level)                            \
  namespace openmm_pqeq {                                   \
  namespace level {                                         \
  template <typename T>                                     \
  void weigh(const Put<T>&, int64_t begin, int64_t end);    \
  template <typename T>                                     \
  void put(const Put<T>&, int64_t begin, int64_t end);      \
  template <typename T>                                     \
  void read(const Read<T>&, int64_t begin, int64_t end);    \
  template <typename T>                                     \
  void read_bend(const Read<T>&, int64_t begin, int64_t end); \
  }                                                         \
  }

PQEQ_DECLARE_MESH(any_cpu)
PQEQ_DECLARE_MESH(x86_64_v3)
PQEQ_DECLARE_MESH(x86_64_v4)
