// Spreading on a mesh and reading from it on NVIDIA GPUs.
//
// Where the mesh is written, a block of threads has one plane of it, and every thread the nodes of
// that plane which lie on a square lattice of TILE × TILE: of the p × p nodes that a point reaches
// there, with p ≤ TILE, each thread has one or none (or more, where the point reaches around the
// mesh). All threads go through the points above the plane in the same order. Nothing is added by
// two threads, so that there are no atomics and no barriers, and results are the same in every run.
//
// Where the mesh is read, a warp has one point: lanes along z, which are neighbours in memory, and
// the rest of them along y.
#pragma once

#include "launch.cuh"
#include "splines/formulae.h"
#include "splines/work.h"

namespace openmm_pqeq {

constexpr int kMeshThreads = 128, kWarp = 32;
constexpr int kPointsOfBlock = kMeshThreads / kWarp;  // points of a block that reads

// Nodes along a direction that only the thread knows: an argument of a kernel that is indexed so
// would be copied into every thread's memory.
__device__ inline int64_t size_along(const Lattice& lattice, int axis) {
  return axis == 0 ? lattice.size[0] : axis == 1 ? lattice.size[1] : lattice.size[2];
}

// The splines of the i-th point, in the order of planes, along one direction: a thread for each
// point and direction.
template <typename T, int P>
__global__ void __launch_bounds__(kMeshThreads) weigh_kernel(const Spread<T> work, int64_t n) {
  const int64_t item = static_cast<int64_t>(blockIdx.x) * kMeshThreads + threadIdx.x;
  if (item >= 3 * n) return;
  const int64_t i = item / 3;
  const int axis = static_cast<int>(item % 3), p = P > 0 ? P : work.lattice.order;
  const bool with_dipoles = work.dipoles != nullptr;
  T* const weights = work.weights + i * (with_dipoles ? 6 : 3) * p;
  T weight[kMaxOrder], slope[kMaxOrder];
  const int64_t node = splines<T, P>(work.u[3 * work.sorted[i] + axis], p, weight, slope, nullptr);
  PQEQ_UNROLL
  for (int k = 0; k < p; ++k) {
    weights[axis * p + k] = weight[k];
    if (with_dipoles) weights[(3 + axis) * p + k] = slope[k];
  }
  if (axis > 0) work.corners[2 * i + axis - 1] = wrapped(node, size_along(work.lattice, axis));
}

// Which of a point's nodes along one direction, counted from the lowest, belong to the thread whose
// coordinates are `mine` modulo TILE.
template <int TILE>
struct Owned {
  int corner, size, p, mine;

  // The first of them; p or more where there is none.
  __device__ int first() const {
    const int k = (mine - corner % TILE + TILE) % TILE;
    return corner + k < size ? k : around(0);
  }
  // The one after k, which is around the mesh: it lies below p ≤ TILE there, at `mine` itself.
  __device__ int next(int k) const { return around((corner + k) / size); }
  __device__ int node(int k) const { return (corner + k) % size; }

 private:
  __device__ int around(int times) const {
    return mine < size ? (times + 1) * size - corner + mine : p;
  }
};

template <typename T, int TILE, bool DIPOLES>
__global__ void __launch_bounds__(TILE* TILE) spread_kernel(const Spread<T> work) {
  const Lattice& lattice = work.lattice;
  const int p = lattice.order, n_y = static_cast<int>(lattice.size[1]),
            n_z = static_cast<int>(lattice.size[2]), n_x = static_cast<int>(lattice.size[0]);
  const int plane = blockIdx.x, first = plane / n_x * n_x;  // a kernel has fewer blocks than 2³¹
  const int mine_y = threadIdx.x / TILE, mine_z = threadIdx.x % TILE;
  T* const nodes = work.mesh + static_cast<int64_t>(plane) * n_y * n_z;
  for (int k = 0; k < p; ++k) {
    const int bucket = first + (plane - first + p - 1 - k) % n_x;
    for (int64_t i = work.buckets[bucket]; i < work.buckets[bucket + 1]; ++i) {
      const T* const x = work.weights + i * (DIPOLES ? 6 : 3) * p;
      const T *const y = x + p, *const z = y + p, *const slopes = z + p;
      const int64_t point = work.sorted[i];
      T even = work.values[point] * x[k], odd = 0, up = 0;
      if (DIPOLES) {
        const T* const dipole = work.dipoles + 3 * point;
        even += dipole[0] * slopes[k];
        odd = dipole[1] * x[k];
        up = dipole[2] * x[k];
      }
      const Owned<TILE> rows{static_cast<int>(work.corners[2 * i]), n_y, p, mine_y};
      const Owned<TILE> columns{static_cast<int>(work.corners[2 * i + 1]), n_z, p, mine_z};
      for (int a = rows.first(); a < p; a = rows.next(a)) {
        const T along = even * y[a] + (DIPOLES ? odd * slopes[p + a] : T(0)),
                across = DIPOLES ? up * y[a] : T(0);
        T* const row = nodes + static_cast<int64_t>(rows.node(a)) * n_z;
        for (int b = columns.first(); b < p; b = columns.next(b)) {
          row[columns.node(b)] += along * z[b] + (DIPOLES ? across * slopes[2 * p + b] : T(0));
        }
      }
    }
  }
}

// Sum over the lanes of a warp, in all of them.
template <typename T>
__device__ T over_warp(T value) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, offset);
  return value;
}

// What a warp knows of its point: the splines along each direction with their derivatives, and the
// lowest node.
template <typename T>
struct Place {
  T weight[3][kMaxOrder], slope[3][kMaxOrder], curvature[3][kMaxOrder];
  int corner[3];
};

template <typename T, int P, bool HESSIAN>
__global__ void __launch_bounds__(kMeshThreads)
    interpolate_kernel(const Interpolation<T> work, int64_t n) {
  PQEQ_SHARED(Place<T>, places, kPointsOfBlock);
  const int lane = threadIdx.x % kWarp;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kPointsOfBlock + threadIdx.x / kWarp;
  if (i >= n) return;  // the whole warp
  Place<T>& at = places[threadIdx.x / kWarp];
  const Lattice& lattice = work.lattice;
  const int p = P > 0 ? P : lattice.order;
  if (lane < 3) {
    const int64_t node = splines<T, P>(work.u[3 * i + lane], p, at.weight[lane], at.slope[lane],
                                       HESSIAN ? at.curvature[lane] : nullptr);
    at.corner[lane] = static_cast<int>(wrapped(node, size_along(lattice, lane)));
  }
  __syncwarp();
  const int n_x = static_cast<int>(lattice.size[0]), n_y = static_cast<int>(lattice.size[1]),
            n_z = static_cast<int>(lattice.size[2]);
  const int columns = p <= 8 ? 8 : 16, b = lane % columns;
  const T* const field = work.field + work.channel[i] * n_x * n_y * n_z + (at.corner[2] + b) % n_z;
  // derivatives along x and y, summed over the rows of this lane
  T value = 0, x = 0, y = 0, xx = 0, xy = 0, yy = 0;
  for (int k = 0; k < p && b < p; ++k) {
    const int64_t plane = static_cast<int64_t>((at.corner[0] + k) % n_x) * n_y;
    T sum = 0, slope = 0, curvature = 0;
    for (int a = lane / columns; a < p; a += kWarp / columns) {
      const T here = field[(plane + (at.corner[1] + a) % n_y) * n_z];
      sum += at.weight[1][a] * here;
      slope += at.slope[1][a] * here;
      if (HESSIAN) curvature += at.curvature[1][a] * here;
    }
    const T w = at.weight[0][k], d = at.slope[0][k];
    value += w * sum;
    x += d * sum;
    y += w * slope;
    if (HESSIAN) {
      xx += at.curvature[0][k] * sum;
      xy += d * slope;
      yy += w * curvature;
    }
  }
  const T w = b < p ? at.weight[2][b] : T(0), d = b < p ? at.slope[2][b] : T(0);
  if (HESSIAN) {
    const T c = b < p ? at.curvature[2][b] : T(0);
    const T of[6] = {over_warp(xx * w), over_warp(xy * w), over_warp(x * d),
                     over_warp(yy * w), over_warp(y * d),  over_warp(value * c)};
    if (lane == 0) {
      T* const hessian = work.hessians + 9 * i;
      hessian[0] = of[0];
      hessian[1] = hessian[3] = of[1];
      hessian[2] = hessian[6] = of[2];
      hessian[4] = of[3];
      hessian[5] = hessian[7] = of[4];
      hessian[8] = of[5];
    }
  } else {
    const T of[4] = {over_warp(value * w), over_warp(x * w), over_warp(y * w),
                     over_warp(value * d)};
    if (lane == 0) work.values[i] = of[0];
    if (lane < 3) work.gradients[3 * i + lane] = of[1 + lane];
  }
}

}  // namespace openmm_pqeq
