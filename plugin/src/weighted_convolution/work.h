// The convolution with given weights as plain numbers, shared by its kernels.
//
//   m_i,p[m3, c] = Σ_j w_ij,p[c] Σ_m1 M_ij,p[m1, m3] x_j[m1, c]
//
// is linear in x, w and M. For a gradient g of m, with t_ij,p[m1, c] = Σ_m3 M[m1, m3] g_i,p[m3, c]:
//
//   ∂/∂x_j[m1, c]     = Σ_i,p w t
//   ∂/∂w_ij,p[c]      = Σ_m1 x t
//   ∂/∂M_ij,p[m1, m3] = Σ_c w x g
//
// Let a change of x, w, M by ẋ, ẇ, Ṁ change these four by ṁ, …: the same formulae in dual numbers,
// x + ε ẋ and so on, of which the part at ε is kept. The second derivative is made of nothing else:
// with gradients ẋ, ẇ, Ṁ of the three, ṁ is the one of g, and the others are those of x, w, M.
//
// Includes nothing: kernel files that see this header are compiled for instruction sets which
// others must not run.
#pragma once

namespace openmm_pqeq {
namespace weighted {

using Index = long long;

// Integers per path in the argument `paths`, in the order of the members of Path.
constexpr int kWeightedPathFields = 9;
constexpr int kMaxBlocks = 16;  // inputs, and outputs
constexpr int kMaxRows = 17;    // 2l+1 up to l = 8

struct Path {
  int input, rows_in;    // which of the features, and its 2l+1
  int output, rows_out;  // which of the outputs, and its 2l+1
  int channels;
  int weight;            // its first column in the weights
  int output_channel;    // its first channel in the output
  int entry, n_entries;  // its columns in the matrices, (m1, m3); one: M is that number times 1
};

// Numbers, and how they change (null: they do not).
template <typename T>
struct Changing {
  const T *value, *tangent;
};

template <typename T>
struct Convolution {
  const Path* paths;
  int n_paths, n_weights, n_entries;
  const Index *rows, *neighbors;  // pairs from rows[i] to rows[i + 1] are those of i
  int widths_in[kMaxBlocks], widths_out[kMaxBlocks];  // channels
  Changing<T> features[kMaxBlocks];                   // (n_atoms, rows, channels)
  Changing<T> weights, matrices;                      // (n_pairs, n_weights), (n_pairs, n_entries)
  T* outputs[kMaxBlocks];                             // m or ṁ, where asked for, else null
  const T* gradients[kMaxBlocks];                     // g
  T* feature_gradients[kMaxBlocks];                   // those asked for, else null
  T *weight_gradients, *matrix_gradients;             // no derivatives where the first is null
};

}  // namespace weighted
}  // namespace openmm_pqeq
