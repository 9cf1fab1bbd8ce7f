#include "tapered/arguments.h"

#include <algorithm>

namespace openmm_pqeq {
namespace {

// Centers are ascending, so that the first and the last one are the least and the greatest.
void check_indices(const Tensor& centers, const Tensor& neighbors, int64_t n_atoms) {
  const int64_t n_pairs = centers.numel();
  check_tensor("centers", centers, at::kInt, {n_pairs});
  check_tensor("neighbors", neighbors, at::kInt, {n_pairs});
  if (n_pairs == 0) return;
  check_range("neighbors", neighbors, n_atoms);
  check_range("centers", centers.slice(0, 0, n_pairs, std::max<int64_t>(1, n_pairs - 1)), n_atoms);
}

void check_per_atom(const char* name, const Tensor& values, at::IntArrayRef sizes,
                    const Tensor& charges) {
  check(floating(values), name, values, "float32 or float64");
  check_tensor(name, values, charges.scalar_type(), sizes);
}

}  // namespace

void check_kept_pairs(const Tensor& positions, const Tensor& cell, const Tensor& centers,
                      const Tensor& neighbors, const Tensor& shifts) {
  check_rows_of_three("positions", positions);
  check_floating("cell", cell, {3, 3});
  check_indices(centers, neighbors, positions.size(0));
  check_shifts(shifts, centers.size(0));
}

void check_pairs(const TaperedPairs& pairs, int64_t n_atoms) {
  check_indices(pairs.centers, pairs.neighbors, n_atoms);
  check_floating("vectors", pairs.vectors, {pairs.centers.size(0), 3});
}

void check_shifts(const Tensor& shifts, int64_t n_pairs) {
  check_tensor("shifts", shifts, at::kChar, {n_pairs, 3});
}

void check_kinds(const Tensor& kind, const Tensor& gamma) {
  check(gamma.dim() == 2 && gamma.size(0) == gamma.size(1) && floating(gamma), "gamma", gamma,
        "a square matrix");
  check_tensor("kind", kind, at::kLong, {kind.numel()});
  check_range("kind", kind, gamma.size(0));
}

void check_sum(const TaperedPairs& pairs, const TaperedRadials& radials,
               const TaperedState& state) {
  const Tensor& charges = state.charges;
  const int64_t n_atoms = charges.numel(), n_pairs = pairs.centers.numel();
  check_per_atom("charges", charges, {n_atoms}, charges);
  check_per_atom("core_charge", state.core_charge, {n_atoms}, charges);
  check_per_atom("shells", state.shells, {n_atoms, 3}, charges);
  check_pairs(pairs, n_atoms);
  const auto dtype = pairs.vectors.scalar_type();
  check_tensor("at_cores", radials.at_cores, dtype, {3, n_pairs});
  const Tensor& at_shells = radials.at_shells;
  check((shaped(at_shells, {3, n_pairs}) || shaped(at_shells, {9, n_pairs})) &&
            at_shells.scalar_type() == dtype,
        "at_shells", at_shells, name_of(dtype), " of shape (3 or 9, ", n_pairs, ")");
}

void check_change(const TaperedChange& change, const TaperedState& state) {
  const int64_t n_atoms = state.charges.numel();
  check_per_atom("dq", change.dq, {n_atoms}, state.charges);
  check_per_atom("ds", change.ds, {n_atoms, 3}, state.charges);
}

void check_matrix(const Tensor& centers, const Tensor& neighbors, const Tensor& values,
                  const Tensor& x) {
  check_per_atom("x", x, {x.numel()}, x);
  check_indices(centers, neighbors, x.size(0));
  check_floating("values", values, centers.sizes());
}

}  // namespace openmm_pqeq
