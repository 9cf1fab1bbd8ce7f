// The equivariant convolution as plain numbers, shared by its kernels.
//
//   m_i,p[m3, c]   = Σ_j R_p,c(r_ij) Σ_m1 M_p,ij[m1, m3] x_j[m1, c]
//   M_p,ij[m1, m3] = Σ_m2 C_p[m1 m2 m3] Y_ij[m2]
//
// and, for a gradient g of m, with t_p,ij[m1, c] = Σ_m3 M_p,ij[m1, m3] g_i,p[m3, c]:
//
//   ∂/∂x_j[m1, c] = Σ_i,p R t
//   ∂/∂r_ij       = Σ_p,c R' Σ_m1 x t
//   ∂/∂Y_ij[m2]   = Σ_p,m1,m3 C Σ_c R x g
//
// Includes nothing: kernel files that see this header are compiled for instruction sets which
// others must not run.
#pragma once

namespace openmm_pqeq {

using Index = long long;

// Channels come in chunks of this many, LANES in equivariant_convolution.py.
constexpr int kLanes = 16;
// Integers per path in the argument `paths`, in the order of the members of Path.
constexpr int kPathFields = 10;
constexpr int kMaxBlocks = 16;  // inputs, and outputs

struct Path {
  int input, rows_in;         // which of the features, and its 2l+1
  int output, rows_out;       // which of the outputs, and its 2l+1
  int chunks;                 // of channels
  int table_chunk;            // its first chunk in the table
  int output_chunk;           // its first chunk of channels in the output
  int entry;                  // its first column in the couplings; columns are (m1, m3)
  int harmonic, n_harmonics;  // its rows in the couplings
};

// Where the polynomials of the radial table are: `locate` in radial_table.py.
struct Grid {
  double first, inner_scale, inner_rows, onset, outer_scale, outer_rows, cutoff, softening;
};

template <typename T>
struct Convolution {
  const Path* paths;
  int n_paths, n_entries, n_harmonics, n_coefficients;
  Grid grid;
  Index n_rows;  // of the table
  // features[k] (n_atoms, rows, widths_in[k]); outputs[k] or their gradients (n_atoms, rows,
  // widths_out[k])
  const T* features[kMaxBlocks];
  T* feature_gradients[kMaxBlocks];
  T* outputs[kMaxBlocks];
  const T* gradients[kMaxBlocks];
  int widths_in[kMaxBlocks], widths_out[kMaxBlocks];
  const T* distances;
  const T* harmonics;
  T* distance_gradients;
  T* harmonic_gradients;
  const Index *rows, *centers, *neighbors, *neighbor_rows, *by_neighbor;
  const T* table;
  const T* couplings;  // (n_harmonics, n_entries)
};

}  // namespace openmm_pqeq
