// Interpolation in a table with many columns as plain numbers, shared by its kernels.
//
//   f_e[n] = Σ_k c_ek T[s_e + k, n]        k = 0 … 5
//
// for points e in the interval s_e of the table, and for a gradient g of f:
//
//   ∂/∂T[s, n] = Σ_e,k c_ek g_e[n], s_e + k = s        ∂/∂c_ek = Σ_n g_e[n] T[s_e + k, n]
//
// Points are taken interval by interval, so that six rows of the table serve many of them.
//
// Includes nothing: kernel files that see this header are compiled for instruction sets which
// others must not run.
#pragma once

namespace openmm_pqeq {
namespace interpolating {

using Index = long long;

constexpr int kPoints = 6;  // rows that a point reads, POINTS in radial_nodes.py

// The points of interval s are order[begin[s]] to order[begin[s + 1] − 1].
template <typename T>
struct Interpolation {
  Index n_intervals, n_columns;
  const Index *order, *begin;
  const T *table, *coefficients, *gradients;
  T *values, *table_gradients, *coefficient_gradients;
};

}  // namespace interpolating
}  // namespace openmm_pqeq
