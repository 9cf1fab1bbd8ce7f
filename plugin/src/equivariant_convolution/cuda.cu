// equivariant_convolution on NVIDIA GPUs: a block of threads per atom, a half-warp per chunk of
// channels.
//
// Forward: the block's atom is the centre. Its pairs are taken a tile at a time: place in the table
// and matrices M of the tile go to shared memory, then every half-warp takes (path, chunk) after
// (path, chunk) and sums over the tile in registers.
//
// Backward: the block's atom is the neighbour; by_neighbor lists its pairs, so that the gradient of
// its features is a sum in registers as well. A half-warp takes (input, chunk) and all paths of
// that input. Derivatives with respect to distances and harmonics are summed over the lanes, then
// over the half-warps in a fixed order. No atomics anywhere: results are the same in every run.
#include "equivariant_convolution/cuda_tile.cuh"
#include "launch.cuh"

#include <algorithm>

namespace openmm_pqeq {
namespace {

// ---- forward. Rows 0: any number, from the path.

template <typename T, int R1, int R3>
__device__ void sum_neighbors(const Convolution<T>& of, const Path& path, const Tile<T>& tile,
                              int n_pairs, Index atom, int chunk, int lane, bool first) {
  const int rows_in = R1 > 0 ? R1 : path.rows_in, rows_out = R3 > 0 ? R3 : path.rows_out;
  const int width_in = of.widths_in[path.input], width_out = of.widths_out[path.output];
  const T* features = of.features[path.input] + chunk * kLanes + lane;
  T* output = of.outputs[path.output] + atom * rows_out * width_out +
              (path.output_chunk + chunk) * kLanes + lane;
  T sum[R3 > 0 ? R3 : kMaxRows];
  for (int m3 = 0; m3 < rows_out; ++m3) sum[m3] = first ? T(0) : output[m3 * width_out];
  for (int q = 0; q < n_pairs; ++q) {
    if (tile.other[q] < 0) continue;
    const T w =
        weight(coefficients(of, path, tile.row[q], chunk, lane), of.n_coefficients, tile.t[q]);
    const T* x = features + tile.other[q] * rows_in * width_in;
    const T* matrix = tile.matrices + q * of.n_entries + path.entry;
    for (int m1 = 0; m1 < rows_in; ++m1) {
      const T u = w * x[m1 * width_in];
      for (int m3 = 0; m3 < rows_out; ++m3) sum[m3] += matrix[m1 * rows_out + m3] * u;
    }
  }
  for (int m3 = 0; m3 < rows_out; ++m3) output[m3 * width_out] = sum[m3];
}

template <typename T>
__global__ void __launch_bounds__(kThreads) forward_kernel(const Launch<T> launch) {
  PQEQ_SHARED_BYTES(memory);
  const Convolution<T>& of = launch.of;
  Tile<T> tile = tile_in(memory, launch, false);
  const Index atom = blockIdx.x, begin = of.rows[atom], end = of.rows[atom + 1];
  const int lane = threadIdx.x % kLanes;
  Index at = begin;
  do {  // at least once: an atom alone gets zeros
    const int n_pairs = static_cast<int>(end - at < launch.tile ? end - at : launch.tile);
    fill(of, tile, at, n_pairs, false);
    int item = threadIdx.x / kLanes;  // (path, chunk), counted through
    for (int p = 0; p < launch.n_paths; ++p) {
      const Path& path = launch.paths[p];
      for (; item < path.chunks; item += kHalfWarps) {
#define PQEQ_SUM(r1, r3) \
  sum_neighbors<T, r1, r3>(of, path, tile, n_pairs, atom, item, lane, at == begin)
        switch (path.rows_in * 16 + path.rows_out) {
          case 1 * 16 + 1: PQEQ_SUM(1, 1); break;
          case 1 * 16 + 3: PQEQ_SUM(1, 3); break;
          case 1 * 16 + 5: PQEQ_SUM(1, 5); break;
          case 3 * 16 + 1: PQEQ_SUM(3, 1); break;
          case 3 * 16 + 3: PQEQ_SUM(3, 3); break;
          case 3 * 16 + 5: PQEQ_SUM(3, 5); break;
          case 5 * 16 + 1: PQEQ_SUM(5, 1); break;
          case 5 * 16 + 3: PQEQ_SUM(5, 3); break;
          case 5 * 16 + 5: PQEQ_SUM(5, 5); break;
          default: PQEQ_SUM(0, 0);
        }
#undef PQEQ_SUM
      }
      item -= path.chunks;
    }
    __syncthreads();
    at += n_pairs;
  } while (at < end);
}

// ---- backward

// Sum over the lanes of a half-warp, in all of them.
template <typename T>
__device__ T over_lanes(T value) {
  const unsigned mask = 0xffffu << (threadIdx.x & 16u);
  for (int offset = kLanes / 2; offset > 0; offset /= 2)
    value += __shfl_xor_sync(mask, value, offset, kLanes);
  return value;
}

template <typename T, int R1, int R3>
__device__ void add_path(const Convolution<T>& of, const Path& path, const Tile<T>& tile,
                         int n_pairs, int chunk, int lane, const T* x, T* gradient) {
  const int rows_in = R1 > 0 ? R1 : path.rows_in, rows_out = R3 > 0 ? R3 : path.rows_out;
  const int width_out = of.widths_out[path.output], n_sums = 1 + of.n_harmonics;
  const T* couplings = of.couplings + path.harmonic * of.n_entries + path.entry;
  for (int q = 0; q < n_pairs; ++q) {
    if (tile.other[q] < 0) continue;
    T slope;
    const T w = weight(coefficients(of, path, tile.row[q], chunk, lane), of.n_coefficients,
                       tile.t[q], slope);
    const T* output = of.gradients[path.output] + tile.other[q] * rows_out * width_out +
                      (path.output_chunk + chunk) * kLanes + lane;
    T g[R3 > 0 ? R3 : kMaxRows];
    for (int m3 = 0; m3 < rows_out; ++m3) g[m3] = output[m3 * width_out];
    const T* matrix = tile.matrices + q * of.n_entries + path.entry;
    T projected = 0;  // Σ_m1 x t
    for (int m1 = 0; m1 < rows_in; ++m1) {
      T t = 0;
      for (int m3 = 0; m3 < rows_out; ++m3) t += matrix[m1 * rows_out + m3] * g[m3];
      projected += x[m1] * t;
      gradient[m1] += w * t;
    }
    T* sums = tile.sums + (q * kHalfWarps + threadIdx.x / kLanes) * n_sums;
    const T radial = over_lanes(slope * projected);
    if (lane == 0) sums[0] += radial;
    for (int h = 0; h < path.n_harmonics; ++h) {
      T sum = 0;
      for (int m1 = 0; m1 < rows_in; ++m1) {
        T inner = 0;
        for (int m3 = 0; m3 < rows_out; ++m3)
          inner += couplings[h * of.n_entries + m1 * rows_out + m3] * g[m3];
        sum += inner * x[m1];
      }
      sum = over_lanes(sum * w);
      if (lane == 0) sums[1 + path.harmonic + h] += sum;
    }
  }
}

// All paths of an input, for one chunk of its channels; n_paths of them from `path` on.
template <typename T, int R1>
__device__ void add_input(const Launch<T>& launch, int first, int last, const Tile<T>& tile,
                          int n_pairs, Index atom, int chunk, int lane) {
  const Convolution<T>& of = launch.of;
  const int input = launch.paths[first].input, width = of.widths_in[input];
  const int rows = R1 > 0 ? R1 : launch.paths[first].rows_in;
  const Index offset = atom * rows * width + chunk * kLanes + lane;
  T x[R1 > 0 ? R1 : kMaxRows], gradient[R1 > 0 ? R1 : kMaxRows];
  for (int m1 = 0; m1 < rows; ++m1) {
    x[m1] = of.features[input][offset + m1 * width];
    gradient[m1] = 0;
  }
  for (int p = first; p < last; ++p) {
    const Path& path = launch.paths[p];
    switch (R1 > 0 ? path.rows_out : 0) {
      case 1: add_path<T, R1, 1>(of, path, tile, n_pairs, chunk, lane, x, gradient); break;
      case 3: add_path<T, R1, 3>(of, path, tile, n_pairs, chunk, lane, x, gradient); break;
      case 5: add_path<T, R1, 5>(of, path, tile, n_pairs, chunk, lane, x, gradient); break;
      default: add_path<T, 0, 0>(of, path, tile, n_pairs, chunk, lane, x, gradient);
    }
  }
  T* to = of.feature_gradients[input];
  if (to == nullptr) return;
  for (int m1 = 0; m1 < rows; ++m1) to[offset + m1 * width] += gradient[m1];
}

template <typename T>
__global__ void __launch_bounds__(kThreads) backward_kernel(const Launch<T> launch) {
  PQEQ_SHARED_BYTES(memory);
  const Convolution<T>& of = launch.of;
  Tile<T> tile = tile_in(memory, launch, true);
  const Index atom = blockIdx.x, end = of.neighbor_rows[atom + 1];
  const int lane = threadIdx.x % kLanes, n_sums = 1 + of.n_harmonics;
  for (Index at = of.neighbor_rows[atom]; at < end; at += launch.tile) {
    const int n_pairs = static_cast<int>(end - at < launch.tile ? end - at : launch.tile);
    for (int k = threadIdx.x; k < n_pairs * kHalfWarps * n_sums; k += blockDim.x)
      tile.sums[k] = T(0);
    fill(of, tile, at, n_pairs, true);
    int item = threadIdx.x / kLanes;  // (input, chunk), counted through
    for (int first = 0, last = 0; first < launch.n_paths; first = last) {
      const Path& path = launch.paths[first];
      while (last < launch.n_paths && launch.paths[last].input == path.input) ++last;
      for (; item < path.chunks; item += kHalfWarps) {
        switch (path.rows_in) {
          case 1: add_input<T, 1>(launch, first, last, tile, n_pairs, atom, item, lane); break;
          case 3: add_input<T, 3>(launch, first, last, tile, n_pairs, atom, item, lane); break;
          case 5: add_input<T, 5>(launch, first, last, tile, n_pairs, atom, item, lane); break;
          default: add_input<T, 0>(launch, first, last, tile, n_pairs, atom, item, lane);
        }
      }
      item -= path.chunks;
    }
    __syncthreads();
    for (int k = threadIdx.x; k < n_pairs * n_sums; k += blockDim.x) {
      const int q = k / n_sums, which = k % n_sums;
      if (tile.other[q] < 0) continue;
      T sum = 0;
      for (int half_warp = 0; half_warp < kHalfWarps; ++half_warp)
        sum += tile.sums[(q * kHalfWarps + half_warp) * n_sums + which];
      const Index edge = tile.edge[q];
      if (which == 0) {
        of.distance_gradients[edge] += sum * tile.t_slope[q];
      } else {
        of.harmonic_gradients[edge * of.n_harmonics + which - 1] += sum;
      }
    }
    __syncthreads();
  }
}

// ---- launches

// The paths in launches of kMaxPaths, those of one input side by side.
template <typename T, typename Kernel>
void launch_all(Kernel kernel, const Convolution<T>& of, const Plan& plan, bool backward) {
  if (plan.n_atoms == 0) return;
  const size_t bytes = bytes_per_pair(of, backward);
  TORCH_CHECK(bytes <= kShared,
              "equivariant_convolution: expected couplings of a pair that fit into ", kShared,
              " bytes, got ", bytes, "; use fewer or smaller irreps");
  std::vector<Path> paths = plan.paths;
  std::stable_sort(paths.begin(), paths.end(),
                   [](const Path& a, const Path& b) { return a.input < b.input; });
  Launch<T> part{};
  part.of = of;
  part.of.paths = nullptr;
  part.tile = static_cast<int>(std::min<size_t>(kShared / bytes, kMaxTile));
  for (size_t begin = 0; begin < paths.size(); begin += kMaxPaths) {
    part.n_paths = static_cast<int>(std::min<size_t>(paths.size() - begin, kMaxPaths));
    std::copy_n(paths.begin() + begin, part.n_paths, part.paths);
    launch(kernel, plan.n_atoms, kThreads, part.tile * bytes, part);
  }
}

struct Cuda {
  const DeviceGuard guard;

  explicit Cuda(at::Device device) : guard(device) {}

  template <typename T>
  void forward(const Convolution<T>& work, const Plan& plan) const {
    launch_all(forward_kernel<T>, work, plan, false);
  }
  template <typename T>
  void backward(const Convolution<T>& work, const Plan& plan) const {
    launch_all(backward_kernel<T>, work, plan, true);
  }
};

}  // namespace
}  // namespace openmm_pqeq

PQEQ_LIBRARY_OF_CUDA_KERNELS(library) {
  library.impl("equivariant_convolution",
               openmm_pqeq::convolution<openmm_pqeq::forward_on<openmm_pqeq::Cuda>>);
  library.impl("equivariant_convolution_backward",
               openmm_pqeq::convolution_backward<openmm_pqeq::backward_on<openmm_pqeq::Cuda>>);
}
