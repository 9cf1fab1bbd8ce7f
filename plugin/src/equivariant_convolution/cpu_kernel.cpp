// The convolution for a range of atoms, in vectors of channels.
//
// Atoms are taken in blocks with a few hundred pairs. For these the place in the table and the
// matrices M are computed once, then the work goes path by path: the part of the table that a path
// reads and the features of the block then stay in the cache. Sums over neighbours live in
// registers (forward), as do sums over channels (backward).
//
// CMake compiles this file once per instruction set, PQEQ_LEVEL being the name of each. It includes
// no library with inline functions: the linker would keep one copy of them for all, perhaps that
// with instructions which the processor does not have.
#include "equivariant_convolution/cpu_kernel.h"

#include "equivariant_convolution/cpu_block.h"

namespace openmm_pqeq {
namespace PQEQ_LEVEL {
namespace {

constexpr int kMaxRows = 17;  // 2l+1 up to l = 8

// Coefficients of the weights of one chunk at one pair: those of the lowest power first, kLanes
// apart.
template <typename T>
inline const T* coefficients(const Convolution<T>& of, const Block<T>& block, const Path& path,
                             Index q, int chunk) {
  const Index before =
      static_cast<Index>(path.table_chunk) * of.n_rows + block.row[q] * path.chunks + chunk;
  return of.table + before * of.n_coefficients * kLanes;
}

// Weights: value, and with it the derivative with respect to t.
template <typename T>
inline Vector<T> weight(const T* c, int n_coefficients, T t) {
  Vector<T> value = load(c + 5 * kLanes);
  if (n_coefficients == 8) value = (load(c + 7 * kLanes) * t + load(c + 6 * kLanes)) * t + value;
  for (int k = 4; k >= 0; --k) value = value * t + load(c + k * kLanes);
  return value;
}
template <typename T>
inline Vector<T> weight(const T* c, int n_coefficients, T t, Vector<T>& slope) {
  Vector<T> value = load(c + 5 * kLanes);
  slope = Vector<T>{};
  if (n_coefficients == 8) {
    const Vector<T> seventh = load(c + 7 * kLanes), sixth = load(c + 6 * kLanes);
    slope = seventh * t + (seventh * t + sixth);
    value = (seventh * t + sixth) * t + value;
  }
#pragma GCC unroll 5
  for (int k = 4; k >= 0; --k) {
    slope = slope * t + value;
    value = value * t + load(c + k * kLanes);
  }
  return value;
}

// ---- forward: sums over the neighbours of each centre. Rows 0: any number, from the path.
// Diagonal: l₂ = 0, where M is a number.

template <typename T, int R1, int R3, bool Diagonal>
void forward_path(const Convolution<T>& of, const Path& path, const Block<T>& block) {
  const int rows_in = R1 > 0 ? R1 : path.rows_in, rows_out = R3 > 0 ? R3 : path.rows_out;
  const int width_in = of.widths_in[path.input], width_out = of.widths_out[path.output];
  const T* features = of.features[path.input];
  const int n_coefficients = of.n_coefficients;
  for (Index atom = block.first; atom < block.last; ++atom) {
    T* output = of.outputs[path.output] + atom * rows_out * width_out + path.output_chunk * kLanes;
    const Index begin = block.begin[atom - block.first], end = block.begin[atom - block.first + 1];
    for (int chunk = 0; chunk < path.chunks; ++chunk) {
      for (int lane = 0; lane < kLanes; lane += kWidth<T>) {
        Vector<T> sum[R3 > 0 ? R3 : kMaxRows] = {};
        for (Index q = begin; q < end; ++q) {
          const Vector<T> w =
              weight(coefficients(of, block, path, q, chunk) + lane, n_coefficients, block.t[q]);
          const T* x = features + block.other[q] * rows_in * width_in + chunk * kLanes + lane;
          const T* matrix = block.matrices + q * of.n_entries + path.entry;
          if (Diagonal) {
            for (int m = 0; m < rows_out; ++m) sum[m] += (load(x + m * width_in) * matrix[0]) * w;
          } else {
            for (int m1 = 0; m1 < rows_in; ++m1) {
              const Vector<T> u = load(x + m1 * width_in) * w;
              for (int m3 = 0; m3 < rows_out; ++m3) sum[m3] += u * matrix[m1 * rows_out + m3];
            }
          }
        }
        for (int m3 = 0; m3 < rows_out; ++m3)
          store(output + m3 * width_out + chunk * kLanes + lane, sum[m3]);
      }
    }
  }
}

// ---- backward: sums over the centres that each neighbour has

template <typename T, int R1, int R3, bool Diagonal>
void backward_path(const Convolution<T>& of, const Path& path, const Block<T>& block) {
  const int rows_in = R1 > 0 ? R1 : path.rows_in, rows_out = R3 > 0 ? R3 : path.rows_out;
  const int width_in = of.widths_in[path.input], width_out = of.widths_out[path.output];
  const T* couplings = of.couplings + path.harmonic * of.n_entries + path.entry;
  const int n_coefficients = of.n_coefficients;
  for (Index atom = block.first; atom < block.last; ++atom) {
    const T* features = of.features[path.input] + atom * rows_in * width_in;
    T* gradient = of.feature_gradients[path.input];
    if (gradient != nullptr) gradient += atom * rows_in * width_in;
    for (Index q = block.begin[atom - block.first]; q < block.begin[atom - block.first + 1]; ++q) {
      const T* matrix = block.matrices + q * of.n_entries + path.entry;
      const T* output = of.gradients[path.output] + block.other[q] * rows_out * width_out +
                        path.output_chunk * kLanes;
      Vector<T> radial = {};  // Σ_c R' x t
      Vector<T> entries[Diagonal ? 1 : (R1 > 0 ? R1 * R3 : kMaxRows * kMaxRows)] = {};  // Σ_c R x g
      for (int channel = 0; channel < path.chunks * kLanes; channel += kWidth<T>) {
        Vector<T> slope;
        const T* c = coefficients(of, block, path, q, channel / kLanes) + channel % kLanes;
        const Vector<T> w = weight(c, n_coefficients, block.t[q], slope);
        Vector<T> g[R3 > 0 ? R3 : kMaxRows];
        for (int m3 = 0; m3 < rows_out; ++m3) g[m3] = load(output + m3 * width_out + channel);
        Vector<T> projected = {};  // Σ_m1 x t
        for (int m1 = 0; m1 < rows_in; ++m1) {
          const Vector<T> x = load(features + m1 * width_in + channel);
          Vector<T> t = {};
          if (Diagonal) {
            t = g[m1] * matrix[0];
            entries[0] += x * w * g[m1];
          } else {
            const Vector<T> u = x * w;
            for (int m3 = 0; m3 < rows_out; ++m3) {
              t += g[m3] * matrix[m1 * rows_out + m3];
              entries[m1 * rows_out + m3] += u * g[m3];
            }
          }
          projected += x * t;
          if (gradient != nullptr) {
            T* to = gradient + m1 * width_in + channel;
            store(to, load(to) + w * t);
          }
        }
        radial += projected * slope;
      }
      Vector<T>* sums = block.sums + q * (1 + of.n_harmonics);
      sums[0] += radial;
      sums += 1 + path.harmonic;
      if (Diagonal) {
        sums[0] += entries[0] * couplings[0];
      } else {
        for (int h = 0; h < path.n_harmonics; ++h) {
          const T* own = couplings + h * of.n_entries;
          for (int entry = 0; entry < rows_in * rows_out; ++entry) {
            if (own[entry] != T(0)) sums[h] += entries[entry] * own[entry];
          }
        }
      }
    }
  }
}

// ---- which of them

template <typename T>
using PathKernel = void (*)(const Convolution<T>&, const Path&, const Block<T>&);

template <typename T, bool Backward, int R1, int R3, bool Diagonal>
constexpr PathKernel<T> path_kernel() {
  if constexpr (Backward) {
    return backward_path<T, R1, R3, Diagonal>;
  } else {
    return forward_path<T, R1, R3, Diagonal>;
  }
}

template <typename T, bool Backward, int R1>
PathKernel<T> kernel_of(const Path& path) {
  if (path.n_harmonics == 1 && path.rows_out == R1) return path_kernel<T, Backward, R1, R1, true>();
  switch (path.rows_out) {
    case 1: return path_kernel<T, Backward, R1, 1, false>();
    case 3: return path_kernel<T, Backward, R1, 3, false>();
    case 5: return path_kernel<T, Backward, R1, 5, false>();
    case 7: return path_kernel<T, Backward, R1, 7, false>();
    default: return path_kernel<T, Backward, 0, 0, false>();
  }
}

template <typename T, bool Backward>
PathKernel<T> kernel_of(const Path& path) {
  switch (path.rows_in) {
    case 1: return kernel_of<T, Backward, 1>(path);
    case 3: return kernel_of<T, Backward, 3>(path);
    case 5: return kernel_of<T, Backward, 5>(path);
    case 7: return kernel_of<T, Backward, 7>(path);
    default: return path_kernel<T, Backward, 0, 0, false>();
  }
}

}  // namespace

template <typename T>
void forward(const Convolution<T>& of, Index begin, Index end) {
  Memory memory;
  Block<T> block = largest_block(memory, of, begin, end, false);
  for (Index atom = begin; atom < end; atom = block.last) {
    next_block(of, block, atom, end, false);
    for (int k = 0; k < of.n_paths; ++k) kernel_of<T, false>(of.paths[k])(of, of.paths[k], block);
  }
}

template <typename T>
void backward(const Convolution<T>& of, Index begin, Index end) {
  Memory memory;
  Block<T> block = largest_block(memory, of, begin, end, true);
  const int n_sums = 1 + of.n_harmonics;
  for (Index atom = begin; atom < end; atom = block.last) {
    next_block(of, block, atom, end, true);
    const Index n_pairs = block.begin[block.last - block.first];
    for (Index k = 0; k < n_pairs * n_sums; ++k) block.sums[k] = Vector<T>{};
    for (int k = 0; k < of.n_paths; ++k) kernel_of<T, true>(of.paths[k])(of, of.paths[k], block);
    for (Index q = 0; q < n_pairs; ++q) {
      for (int k = 0; k < n_sums; ++k) {
        T sum = 0;
        for (int lane = 0; lane < kWidth<T>; ++lane) sum += block.sums[q * n_sums + k][lane];
        if (k == 0) {
          of.distance_gradients[block.edge[q]] = sum * block.t_slope[q];
        } else {
          of.harmonic_gradients[block.edge[q] * of.n_harmonics + k - 1] = sum;
        }
      }
    }
  }
}

template void forward<float>(const Convolution<float>&, Index, Index);
template void forward<double>(const Convolution<double>&, Index, Index);
template void backward<float>(const Convolution<float>&, Index, Index);
template void backward<double>(const Convolution<double>&, Index, Index);

}  // namespace PQEQ_LEVEL
}  // namespace openmm_pqeq
