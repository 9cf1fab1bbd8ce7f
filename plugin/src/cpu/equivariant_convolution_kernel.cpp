// The convolution for a range of atoms, in vectors of channels.
//
// Atoms are taken in blocks with a few hundred pairs. For these the place in the table and the matrices M are computed once, then the
// work goes path by path: the part of the table that a path reads and the features of the block then stay in the cache. Sums over
// neighbours live in registers (forward), as do sums over channels (backward).
//
// CMake compiles this file once per instruction set, PQEQ_LEVEL being the name of each. It includes no library with inline functions:
// the linker would keep one copy of them for all, perhaps that with instructions which the processor does not have.
#include "equivariant_convolution_kernel.h"

#include <stdlib.h>

#ifndef PQEQ_LEVEL
#define PQEQ_LEVEL any_cpu
#endif

namespace openmm_pqeq {
namespace PQEQ_LEVEL {
namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif

template <typename T>
struct Simd;
template <>
struct Simd<float> {
  typedef float Vector __attribute__((vector_size(kBytes)));
  typedef float Unaligned __attribute__((vector_size(kBytes), aligned(alignof(float)), may_alias));
};
template <>
struct Simd<double> {
  typedef double Vector __attribute__((vector_size(kBytes)));
  typedef double Unaligned __attribute__((vector_size(kBytes), aligned(alignof(double)), may_alias));
};
template <typename T>
using Vector = typename Simd<T>::Vector;
template <typename T>
constexpr int kWidth = kBytes / static_cast<int>(sizeof(T));

template <typename T>
inline Vector<T> load(const T* from) {
  return *reinterpret_cast<const typename Simd<T>::Unaligned*>(from);
}
template <typename T>
inline void store(T* to, Vector<T> value) {
  *reinterpret_cast<typename Simd<T>::Unaligned*>(to) = value;
}

constexpr Index kPairs = 256;  // of a block, unless one atom has more
constexpr int kMaxRows = 17;   // 2l+1 up to l = 8

// The pairs of a block of atoms.
template <typename T>
struct Block {
  Index first, last;  // atoms
  Index* begin;       // of the pairs of each atom; last − first + 1
  Index* edge;        // which pair
  Index* other;       // its atom at the other end
  Index* row;         // of the table
  T *t, *t_slope;     // place in the polynomial, and its derivative with respect to the distance
  T* matrices;        // (pairs, entries): M of all paths
  Vector<T>* sums;    // (pairs, 1 + harmonics), backward: derivatives with respect to distance and harmonics, lane by lane
};

inline Index larger(Index a, Index b) { return a > b ? a : b; }
inline Index smaller(Index a, Index b) { return a < b ? a : b; }

// One allocation for everything, freed at the end of the scope.
struct Memory {
  char* data = nullptr;
  Index used = 0;
  ~Memory() { free(data); }
  void reserve(Index bytes) {
    if (posix_memalign(reinterpret_cast<void**>(&data), 64, static_cast<size_t>(bytes)) != 0) abort();
  }
  template <typename U>
  U* take(Index n) {
    U* taken = reinterpret_cast<U*>(data + used);
    used += (n * static_cast<Index>(sizeof(U)) + 63) / 64 * 64;
    return taken;
  }
};

template <typename T>
Block<T> allocate(Memory& memory, const Convolution<T>& of, Index n_atoms, Index n_pairs, bool sums) {
  const Index n_sums = sums ? n_pairs * (1 + of.n_harmonics) : 0;
  memory.reserve(static_cast<Index>(sizeof(Index)) * (n_atoms + 1 + 3 * n_pairs) +
                 static_cast<Index>(sizeof(T)) * n_pairs * (2 + of.n_entries) + kBytes * n_sums + 64 * 8);
  Block<T> block{};
  block.begin = memory.take<Index>(n_atoms + 1);
  block.edge = memory.take<Index>(n_pairs);
  block.other = memory.take<Index>(n_pairs);
  block.row = memory.take<Index>(n_pairs);
  block.t = memory.take<T>(n_pairs);
  block.t_slope = memory.take<T>(n_pairs);
  block.matrices = memory.take<T>(n_pairs * of.n_entries);
  block.sums = memory.take<Vector<T>>(n_sums);
  return block;
}

template <typename T>
void add_pair(const Convolution<T>& of, Block<T>& block, Index q, Index edge, Index other) {
  const Grid& grid = of.grid;
  const double r = static_cast<double>(of.distances[edge]);
  const double inverse = 1.0 / (r + grid.softening), u = r * inverse;
  const bool outside = u >= grid.onset;
  const double scale = outside ? grid.outer_scale : grid.inner_scale;
  const double place = (outside ? u - grid.onset : u - grid.first) * scale;
  const Index last = static_cast<Index>(outside ? grid.outer_rows : grid.inner_rows) - 1;
  const Index interval = smaller(larger(static_cast<Index>(place), 0), last);
  block.edge[q] = edge;
  block.other[q] = other;
  block.row[q] = outside ? interval + static_cast<Index>(grid.inner_rows) : interval;
  block.t[q] = static_cast<T>(place - static_cast<double>(interval));
  block.t_slope[q] = static_cast<T>(scale * grid.softening * inverse * inverse);
  T* matrix = block.matrices + q * of.n_entries;
  const T* harmonics = of.harmonics + edge * of.n_harmonics;
  for (int entry = 0; entry < of.n_entries; ++entry) matrix[entry] = harmonics[0] * of.couplings[entry];
  for (int h = 1; h < of.n_harmonics; ++h) {
    const T* couplings = of.couplings + h * of.n_entries;
    for (int entry = 0; entry < of.n_entries; ++entry) matrix[entry] += harmonics[h] * couplings[entry];
  }
}

// Coefficients of the weights of one chunk at one pair: those of the lowest power first, kLanes apart.
template <typename T>
inline const T* coefficients(const Convolution<T>& of, const Block<T>& block, const Path& path, Index q, int chunk) {
  const Index before = static_cast<Index>(path.table_chunk) * of.n_rows + block.row[q] * path.chunks + chunk;
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

// ---- forward: sums over the neighbours of each centre. Rows 0: any number, from the path. Diagonal: l₂ = 0, where M is a number.

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
          const Vector<T> w = weight(coefficients(of, block, path, q, chunk) + lane, n_coefficients, block.t[q]);
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
        for (int m3 = 0; m3 < rows_out; ++m3) store(output + m3 * width_out + chunk * kLanes + lane, sum[m3]);
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
      const T* output = of.gradients[path.output] + block.other[q] * rows_out * width_out + path.output_chunk * kLanes;
      Vector<T> radial = {};                                                          // Σ_c R' x t
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

// The next block from `first` on: as many atoms as have kPairs pairs together, one at least.
template <typename T>
void next_block(const Convolution<T>& of, Block<T>& block, Index first, Index end, bool backward) {
  const Index* rows = backward ? of.neighbor_rows : of.rows;
  Index q = 0, atom = first;
  while (atom < end && (atom == first || rows[atom + 1] - rows[first] <= kPairs)) {
    block.begin[atom - first] = q;
    for (Index k = rows[atom]; k < rows[atom + 1]; ++k) {
      const Index edge = backward ? of.by_neighbor[k] : k;
      const bool inside = static_cast<double>(of.distances[edge]) < of.grid.cutoff;
      if (inside) add_pair(of, block, q++, edge, backward ? of.centers[edge] : of.neighbors[edge]);
    }
    ++atom;
  }
  block.begin[atom - first] = q;
  block.first = first;
  block.last = atom;
}

template <typename T>
Block<T> largest_block(Memory& memory, const Convolution<T>& of, Index begin, Index end, bool backward) {
  const Index* rows = backward ? of.neighbor_rows : of.rows;
  Index most = kPairs;
  for (Index atom = begin; atom < end; ++atom) most = larger(most, rows[atom + 1] - rows[atom]);
  return allocate<T>(memory, of, end - begin, most, backward);
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
