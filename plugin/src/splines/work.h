// Meshes and points as plain numbers, shared by the kernels of every device.
#pragma once

#include <stdint.h>

namespace openmm_pqeq {

// Meshes laid one behind the other, (channels, size[0], size[1], size[2]), and splines of an order
// on them.
struct Lattice {
  int64_t size[3];
  int order;
};

// Points in the order of the planes that they lie in: those of a bucket lie above one plane of one
// channel.
template <typename T>
struct Spread {
  Lattice lattice;
  const T *u, *values, *dipoles;  // (n, 3), (n,), and (n, 3) or nothing
  const int64_t* sorted;          // (n,) which point
  const int64_t* buckets;         // (channels · size[0] + 1,) where each begins
  T* weights;        // (n, 3 or 6, order), splines along x, y, z and their slopes, by rising node
  int64_t* corners;  // (n, 2), lowest node along y and z
  T* mesh;
};

template <typename T>
struct Interpolation {
  Lattice lattice;
  const T *u, *field;  // (n, 3) and the meshes
  const int64_t* channel;
  T *values, *gradients, *hessians;  // (n,) and (n, 3), or (n, 3, 3)
};

}  // namespace openmm_pqeq
