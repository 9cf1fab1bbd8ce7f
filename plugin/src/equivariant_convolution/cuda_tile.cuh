// A tile of pairs in the shared memory of a block: the place of each pair in the table, its
// matrices M, and the sums over its lanes in the backward kernel.
#pragma once

#include "equivariant_convolution/on_device.h"
#include "launch.cuh"

namespace openmm_pqeq {
namespace {

constexpr int kThreads = 256;
constexpr int kHalfWarps = kThreads / kLanes;
constexpr int kMaxRows = 17;       // 2l+1 up to l = 8
constexpr int kMaxPaths = 48;      // of one launch: they travel with the arguments of the kernel
constexpr int kMaxTile = 32;       // pairs
constexpr int kShared = 40 << 10;  // bytes of shared memory for a tile

template <typename T>
struct Launch {
  Convolution<T> of;
  Path paths[kMaxPaths];
  int n_paths, tile;
};

// A tile of pairs in shared memory.
template <typename T>
struct Tile {
  T* matrices;  // (pairs, entries)
  T* sums;      // (pairs, half-warps, 1 + harmonics), backward
  T *t, *t_slope;
  Index *row, *other, *edge;
};

template <typename T>
size_t bytes_per_pair(const Convolution<T>& of, bool backward) {
  const size_t sums = backward ? kHalfWarps * (1 + of.n_harmonics) : 0;
  return sizeof(T) * (of.n_entries + sums + 2) + 3 * sizeof(Index);
}

template <typename T>
__device__ Tile<T> tile_in(char* memory, const Launch<T>& launch, bool backward) {
  const Convolution<T>& of = launch.of;
  Tile<T> tile;
  tile.row = reinterpret_cast<Index*>(memory);
  tile.other = tile.row + launch.tile;
  tile.edge = tile.other + launch.tile;
  tile.t = reinterpret_cast<T*>(tile.edge + launch.tile);
  tile.t_slope = tile.t + launch.tile;
  tile.matrices = tile.t_slope + launch.tile;
  tile.sums = backward ? tile.matrices + launch.tile * of.n_entries : nullptr;
  return tile;
}

// The pairs from `first` on, all threads together. other < 0 where the pair is beyond the cutoff.
template <typename T>
__device__ void fill(const Convolution<T>& of, Tile<T>& tile, Index first, int n_pairs,
                     bool backward) {
  const Grid& grid = of.grid;
  for (int q = threadIdx.x; q < n_pairs; q += blockDim.x) {
    const Index edge = backward ? of.by_neighbor[first + q] : first + q;
    const double r = static_cast<double>(of.distances[edge]);
    const double inverse = 1.0 / (r + grid.softening), u = r * inverse;
    const bool outside = u >= grid.onset;
    const double scale = outside ? grid.outer_scale : grid.inner_scale;
    const double place = (outside ? u - grid.onset : u - grid.first) * scale;
    const Index last = static_cast<Index>(outside ? grid.outer_rows : grid.inner_rows) - 1;
    Index interval = static_cast<Index>(place);
    interval = interval < 0 ? 0 : (interval > last ? last : interval);
    tile.edge[q] = edge;
    tile.other[q] = r < grid.cutoff ? (backward ? of.centers[edge] : of.neighbors[edge]) : -1;
    tile.row[q] = outside ? interval + static_cast<Index>(grid.inner_rows) : interval;
    tile.t[q] = static_cast<T>(place - static_cast<double>(interval));
    tile.t_slope[q] = static_cast<T>(scale * grid.softening * inverse * inverse);
  }
  __syncthreads();
  for (int k = threadIdx.x; k < n_pairs * of.n_entries; k += blockDim.x) {
    const int q = k / of.n_entries, entry = k % of.n_entries;
    const T* harmonics = of.harmonics + tile.edge[q] * of.n_harmonics;
    T sum = 0;
    for (int h = 0; h < of.n_harmonics; ++h)
      sum += harmonics[h] * of.couplings[h * of.n_entries + entry];
    tile.matrices[k] = sum;
  }
  __syncthreads();
}

// Coefficients of the weight of this lane, lowest power first, kLanes apart.
template <typename T>
__device__ const T* coefficients(const Convolution<T>& of, const Path& path, Index row, int chunk,
                                 int lane) {
  const Index before = static_cast<Index>(path.table_chunk) * of.n_rows + row * path.chunks + chunk;
  return of.table + before * of.n_coefficients * kLanes + lane;
}

template <typename T>
__device__ T weight(const T* c, int n_coefficients, T t) {
  T value = c[(n_coefficients - 1) * kLanes];
  for (int k = n_coefficients - 2; k >= 0; --k) value = value * t + c[k * kLanes];
  return value;
}

template <typename T>
__device__ T weight(const T* c, int n_coefficients, T t, T& slope) {
  T value = c[(n_coefficients - 1) * kLanes];
  slope = 0;
  for (int k = n_coefficients - 2; k >= 0; --k) {
    slope = slope * t + value;
    value = value * t + c[k * kLanes];
  }
  return value;
}

}  // namespace
}  // namespace openmm_pqeq
