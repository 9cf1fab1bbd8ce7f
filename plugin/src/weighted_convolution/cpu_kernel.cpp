// The convolution with given weights for a range of atoms, in vectors of channels.
//
// It goes atom by atom and path by path, so that weights are read in the order in which they are
// stored; sums over neighbours live in registers (forward), as do sums over channels (backward).
// Channels are taken in whole vectors, then in half ones, then one by one.
//
// CMake compiles this file once per instruction set, PQEQ_LEVEL being the name of each. It includes
// no library with inline functions: the linker would keep one copy of them for all, perhaps that
// with instructions which the processor does not have.
#include "weighted_convolution/cpu_kernel.h"

#include "lane_sums.h"
#include "weighted_convolution/numbers.h"

namespace openmm_pqeq {
namespace weighted {
namespace PQEQ_LEVEL {
namespace {

// Of a path, channels from `begin` to `end` at the pairs of one atom.
struct Part {
  Index atom, first, last;
  int begin, end;
};

// ---- forward: sums over the neighbours of a centre. Rows 0: any number, from the path. Diagonal:
// M is a number.

template <typename T, typename V, int R1, int R3, bool Diagonal, bool Tangents>
void forward_path(const Convolution<T>& of, const Path& path, const Part& part) {
  using Number = NumberOf<V, Tangents>;
  using Entry = NumberOf<T, Tangents>;
  const int rows_in = R1 > 0 ? R1 : path.rows_in, rows_out = R3 > 0 ? R3 : path.rows_out;
  const int width_in = of.widths_in[path.input], width_out = of.widths_out[path.output];
  T* output = of.outputs[path.output] + part.atom * rows_out * width_out + path.output_channel;
  for (int channel = part.begin; channel < part.end; channel += sizeof(V) / sizeof(T)) {
    typename Number::Type sum[R3 > 0 ? R3 : kMaxRows] = {};
    for (Index pair = part.first; pair < part.last; ++pair) {
      const auto w = Number::at(of.weights, pair * of.n_weights + path.weight + channel);
      const Index x = of.neighbors[pair] * rows_in * width_in + channel;
      const Index matrix = pair * of.n_entries + path.entry;
      for (int m1 = 0; m1 < rows_in; ++m1) {
        const auto u = product(Number::at(of.features[path.input], x + m1 * width_in), w);
        if (Diagonal) {
          add_product(sum[m1], u, Entry::at(of.matrices, matrix));
        } else {
          for (int m3 = 0; m3 < rows_out; ++m3)
            add_product(sum[m3], u, Entry::at(of.matrices, matrix + m1 * rows_out + m3));
        }
      }
    }
    for (int m3 = 0; m3 < rows_out; ++m3) write(output + m3 * width_out + channel, kept(sum[m3]));
  }
}

// ---- backward: what a pair adds to its neighbour, and sums over channels

template <typename T, typename V, int R1, int R3, bool Diagonal, bool Tangents, bool Matrices>
void backward_path(const Convolution<T>& of, const Path& path, const Part& part) {
  using Number = NumberOf<V, Tangents>;
  using Entry = NumberOf<T, Tangents>;
  constexpr int kLanes = sizeof(V) / sizeof(T);
  constexpr int kEntries = Diagonal ? 1 : (R1 > 0 ? R1 * R3 : kMaxRows * kMaxRows);
  const int rows_in = R1 > 0 ? R1 : path.rows_in, rows_out = R3 > 0 ? R3 : path.rows_out;
  const int n_entries = Diagonal ? 1 : rows_in * rows_out;
  const int width_in = of.widths_in[path.input], width_out = of.widths_out[path.output];
  const T* gradient =
      of.gradients[path.output] + part.atom * rows_out * width_out + path.output_channel;
  T* feature_gradient = of.feature_gradients[path.input];
  for (Index pair = part.first; pair < part.last; ++pair) {
    const Index neighbor = of.neighbors[pair] * rows_in * width_in;
    const Index matrix = pair * of.n_entries + path.entry;
    V entries[(kEntries + kLanes - 1) / kLanes * kLanes];  // Σ_c w x g
    for (int entry = 0; entry < (n_entries + kLanes - 1) / kLanes * kLanes; ++entry)
      entries[entry] = V{};
    for (int channel = part.begin; channel < part.end; channel += kLanes) {
      const Index weight = pair * of.n_weights + path.weight + channel;
      const auto w = Number::at(of.weights, weight);
      V g[R3 > 0 ? R3 : kMaxRows];
      for (int m3 = 0; m3 < rows_out; ++m3) g[m3] = read<V>(gradient + m3 * width_out + channel);
      typename Number::Type along = {};  // Σ_m1 x t
      for (int m1 = 0; m1 < rows_in; ++m1) {
        const Index row = neighbor + m1 * width_in + channel;
        const auto x = Number::at(of.features[path.input], row);
        typename Number::Type t = {};
        if (Diagonal) {
          add_product(t, g[m1], Entry::at(of.matrices, matrix));
        } else {
          for (int m3 = 0; m3 < rows_out; ++m3)
            add_product(t, g[m3], Entry::at(of.matrices, matrix + m1 * rows_out + m3));
        }
        if (Matrices) {
          const V u = kept(product(x, w));
          if (Diagonal) {
            entries[0] += u * g[m1];
          } else {
            for (int m3 = 0; m3 < rows_out; ++m3) entries[m1 * rows_out + m3] += u * g[m3];
          }
        }
        add_product(along, x, t);
        if (feature_gradient != nullptr) {
          T* to = feature_gradient + row;
          write(to, read<V>(to) + kept(product(w, t)));
        }
      }
      write(of.weight_gradients + weight, kept(along));
    }
    if (Matrices)
      openmm_pqeq::PQEQ_LEVEL::add_lanes(entries, n_entries, of.matrix_gradients + matrix);
  }
}

// ---- which of them

enum class Kind {
  forward,
  forward_tangents,
  backward,
  backward_without_matrices,
  backward_tangents,
  backward_tangents_without_matrices
};

constexpr bool with_tangents(Kind kind) {
  return kind == Kind::forward_tangents || kind == Kind::backward_tangents ||
         kind == Kind::backward_tangents_without_matrices;
}

constexpr bool with_matrices(Kind kind) {
  return kind == Kind::backward || kind == Kind::backward_tangents;
}

template <typename T>
using PathKernel = void (*)(const Convolution<T>&, const Path&, const Part&);

template <typename T, typename V, Kind kind, int R1, int R3, bool Diagonal>
constexpr PathKernel<T> path_kernel() {
  if constexpr (kind == Kind::forward || kind == Kind::forward_tangents) {
    return forward_path<T, V, R1, R3, Diagonal, with_tangents(kind)>;
  } else {
    return backward_path<T, V, R1, R3, Diagonal, with_tangents(kind), with_matrices(kind)>;
  }
}

template <typename T, typename V, Kind kind>
PathKernel<T> any_kernel(const Path& path) {
  return path.n_entries == 1 ? path_kernel<T, V, kind, 0, 0, true>()
                             : path_kernel<T, V, kind, 0, 0, false>();
}

template <typename T, typename V, Kind kind, int R1>
PathKernel<T> kernel_of(const Path& path) {
  if (path.n_entries == 1) return path_kernel<T, V, kind, R1, R1, true>();
  switch (path.rows_out) {
    case 1: return path_kernel<T, V, kind, R1, 1, false>();
    case 3: return path_kernel<T, V, kind, R1, 3, false>();
    case 5: return path_kernel<T, V, kind, R1, 5, false>();
    case 7: return path_kernel<T, V, kind, R1, 7, false>();
    default: return any_kernel<T, V, kind>(path);
  }
}

template <typename T, typename V, Kind kind>
PathKernel<T> kernel_of(const Path& path) {
  switch (path.rows_in) {
    case 1: return kernel_of<T, V, kind, 1>(path);
    case 3: return kernel_of<T, V, kind, 3>(path);
    case 5: return kernel_of<T, V, kind, 5>(path);
    case 7: return kernel_of<T, V, kind, 7>(path);
    default: return any_kernel<T, V, kind>(path);
  }
}

// A path at the pairs of an atom, in whole vectors, in half ones, and channel by channel.
template <typename T, Kind kind>
void all_channels(const Convolution<T>& of, const Path& path, Index atom) {
  constexpr int whole = sizeof(Whole<T>) / sizeof(T), half = whole / 2;
  const int in_whole = path.channels / whole * whole, in_half = path.channels / half * half;
  Part part{atom, of.rows[atom], of.rows[atom + 1], 0, in_whole};
  if (part.begin < part.end) kernel_of<T, Whole<T>, kind>(path)(of, path, part);
  part.begin = in_whole, part.end = in_half;
  if (part.begin < part.end) kernel_of<T, Half<T>, kind>(path)(of, path, part);
  part.begin = in_half, part.end = path.channels;
  if (part.begin < part.end) any_kernel<T, T, kind>(path)(of, path, part);
}

// What is asked for of a path.
template <typename T, bool Tangents>
void all_kinds(const Convolution<T>& of, const Path& path, Index atom) {
  constexpr Kind forward = Tangents ? Kind::forward_tangents : Kind::forward;
  constexpr Kind backward = Tangents ? Kind::backward_tangents : Kind::backward;
  constexpr Kind without_matrices =
      Tangents ? Kind::backward_tangents_without_matrices : Kind::backward_without_matrices;
  if (of.outputs[path.output] != nullptr) all_channels<T, forward>(of, path, atom);
  if (of.weight_gradients == nullptr) return;
  if (of.matrix_gradients != nullptr) {
    all_channels<T, backward>(of, path, atom);
  } else {
    all_channels<T, without_matrices>(of, path, atom);
  }
}

}  // namespace

template <typename T>
void convolve(const Convolution<T>& of, Index begin, Index end) {
  const bool tangents = of.weights.tangent != nullptr;
  for (Index atom = begin; atom < end; ++atom) {
    for (const Path* path = of.paths; path < of.paths + of.n_paths; ++path) {
      if (tangents) {
        all_kinds<T, true>(of, *path, atom);
      } else {
        all_kinds<T, false>(of, *path, atom);
      }
    }
  }
}

template void convolve<float>(const Convolution<float>&, Index, Index);
template void convolve<double>(const Convolution<double>&, Index, Index);

}  // namespace PQEQ_LEVEL
}  // namespace weighted
}  // namespace openmm_pqeq
