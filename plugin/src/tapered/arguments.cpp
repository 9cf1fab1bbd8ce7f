#include "tapered/arguments.h"

#include <algorithm>

namespace openmm_pqeq {
namespace {

// Centers are ascending, so that the first and the last one are the least and the greatest.
void check_indices(const Tensor& centers, const Tensor& neighbors, int64_t n_atoms,
                   at::Device device) {
  const int64_t n_pairs = centers.numel();
  check_tensor("centers", centers, at::kInt, {n_pairs}, device);
  check_tensor("neighbors", neighbors, at::kInt, {n_pairs}, device);
  if (n_pairs == 0) return;
  check_range("neighbors", neighbors, n_atoms);
  check_range("centers", centers.slice(0, 0, n_pairs, std::max<int64_t>(1, n_pairs - 1)), n_atoms);
}

// float32 or float64.
void check_numbers(const char* name, const Tensor& values, at::IntArrayRef sizes,
                   at::Device device) {
  check_floating(name, values, sizes);
  check_tensor(name, values, values.scalar_type(), sizes, device);
}

// As the charges are.
void check_per_atom(const char* name, const Tensor& values, at::IntArrayRef sizes,
                    const Tensor& charges) {
  check(floating(values), name, values, "float32 or float64");
  check_tensor(name, values, charges.scalar_type(), sizes, charges.device());
}

}  // namespace

void check_kept_pairs(const Tensor& positions, const Tensor& cell, const Tensor& centers,
                      const Tensor& neighbors, const Tensor& shifts) {
  check_rows_of_three("positions", positions);
  check_numbers("cell", cell, {3, 3}, positions.device());
  check_indices(centers, neighbors, positions.size(0), positions.device());
  check_shifts(shifts, centers);
}

void check_pairs(const TaperedPairs& pairs, int64_t n_atoms) {
  const Tensor& centers = pairs.centers;
  check_indices(centers, pairs.neighbors, n_atoms, centers.device());
  check_numbers("vectors", pairs.vectors, {centers.size(0), 3}, centers.device());
}

void check_shifts(const Tensor& shifts, const Tensor& centers) {
  check_tensor("shifts", shifts, at::kChar, {centers.size(0), 3}, centers.device());
}

void check_kinds(const TaperedPairs& pairs, const Tensor& kind, const Tensor& gamma,
                 const std::optional<Tensor>& shells) {
  const at::Device device = pairs.centers.device();
  check(gamma.dim() == 2 && gamma.size(0) == gamma.size(1) && floating(gamma) &&
            gamma.device() == device,
        "gamma", gamma, "a square matrix on ", device);
  check_tensor("kind", kind, at::kLong, {kind.numel()}, device);
  check_range("kind", kind, gamma.size(0));
  if (shells.has_value()) check_numbers("shells", *shells, {kind.size(0), 3}, device);
}

void check_sum(const TaperedPairs& pairs, const TaperedRadials& radials,
               const TaperedState& state) {
  const Tensor& charges = state.charges;
  const at::Device device = charges.device();
  const int64_t n_atoms = charges.numel(), n_pairs = pairs.centers.numel();
  check_per_atom("charges", charges, {n_atoms}, charges);
  check_per_atom("core_charge", state.core_charge, {n_atoms}, charges);
  check_per_atom("shells", state.shells, {n_atoms, 3}, charges);
  check_indices(pairs.centers, pairs.neighbors, n_atoms, device);
  check_numbers("vectors", pairs.vectors, {n_pairs, 3}, device);
  const auto dtype = pairs.vectors.scalar_type();
  check_tensor("at_cores", radials.at_cores, dtype, {3, n_pairs}, device);
  const Tensor& at_shells = radials.at_shells;
  check((shaped(at_shells, {3, n_pairs}) || shaped(at_shells, {9, n_pairs})) &&
            at_shells.scalar_type() == dtype && at_shells.device() == device,
        "at_shells", at_shells, name_of(dtype), " of shape (3 or 9, ", n_pairs, ") on ", device);
}

void check_change(const TaperedChange& change, const TaperedState& state) {
  const int64_t n_atoms = state.charges.numel();
  check_per_atom("dq", change.dq, {n_atoms}, state.charges);
  check_per_atom("ds", change.ds, {n_atoms, 3}, state.charges);
}

void check_matrix(const Tensor& centers, const Tensor& neighbors, const Tensor& values,
                  const Tensor& x) {
  check_per_atom("x", x, {x.numel()}, x);
  check_indices(centers, neighbors, x.size(0), x.device());
  check_numbers("values", values, centers.sizes(), x.device());
}

}  // namespace openmm_pqeq
