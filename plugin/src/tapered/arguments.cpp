// Arguments of the operators of the tapered pair sum. None of them is differentiable: the
// derivatives are what they give.
#include "tapered/arguments.h"

#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/library.h>

namespace openmm_pqeq {
namespace {

bool floating(const Tensor& tensor) {
  return tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble;
}

void check_per_atom(const char* name, const Tensor& values, const Tensor& charges, bool three) {
  const bool fits = three ? values.dim() == 2 && values.size(1) == 3 : values.dim() == 1;
  TORCH_CHECK_VALUE(fits && values.size(0) == charges.size(0) &&
                        values.scalar_type() == charges.scalar_type() && floating(values),
                    name, ": expected ", charges.scalar_type(), " of ", charges.size(0), " atoms",
                    three ? " and 3 directions" : "", ", got ", values.scalar_type(), " ",
                    values.sizes());
}

void check_indices(const Tensor& centers, const Tensor& neighbors, int64_t n_atoms) {
  TORCH_CHECK_VALUE(centers.scalar_type() == at::kInt && neighbors.scalar_type() == at::kInt &&
                        centers.dim() == 1 && neighbors.sizes() == centers.sizes(),
                    "centers, neighbors: expected int32 of equal length, got ",
                    centers.scalar_type(), " ", centers.sizes(), " and ", neighbors.scalar_type(),
                    " ", neighbors.sizes());
  if (centers.numel() == 0) return;
  const auto [least_j, most_j] = at::aminmax(neighbors);
  const Tensor ends =
      centers.slice(0, 0, centers.size(0), std::max<int64_t>(1, centers.size(0) - 1));
  const int64_t least = std::min(ends.min().item<int64_t>(), least_j.item<int64_t>());
  const int64_t most = std::max(ends.max().item<int64_t>(), most_j.item<int64_t>());
  TORCH_CHECK_VALUE(least >= 0 && most < n_atoms, "centers, neighbors: expected indices of ",
                    n_atoms, " atoms, got ", least, " to ", most);
}

}  // namespace

void check_kept_pairs(const Tensor& positions, const Tensor& cell, const Tensor& centers,
                      const Tensor& neighbors, const Tensor& shifts) {
  TORCH_CHECK_VALUE(floating(positions) && positions.dim() == 2 && positions.size(1) == 3,
                    "positions: expected float32 or float64 of shape (n_atoms, 3), got ",
                    positions.scalar_type(), " ", positions.sizes());
  TORCH_CHECK_VALUE(floating(cell) && cell.sizes() == at::IntArrayRef({3, 3}),
                    "cell: expected float32 or float64 of shape (3, 3), got ", cell.scalar_type(),
                    " ", cell.sizes());
  check_indices(centers, neighbors, positions.size(0));
  check_shifts({centers, neighbors, positions}, shifts);
}

void check_shifts(const TaperedPairs& pairs, const Tensor& shifts) {
  TORCH_CHECK_VALUE(shifts.scalar_type() == at::kChar &&
                        shifts.sizes() == at::IntArrayRef({pairs.centers.size(0), 3}),
                    "shifts: expected int8 of shape (", pairs.centers.size(0), ", 3), got ",
                    shifts.scalar_type(), " ", shifts.sizes());
}

void check_pairs(const TaperedPairs& pairs, int64_t n_atoms) {
  check_indices(pairs.centers, pairs.neighbors, n_atoms);
  TORCH_CHECK_VALUE(floating(pairs.vectors) &&
                        pairs.vectors.sizes() == at::IntArrayRef({pairs.centers.size(0), 3}),
                    "vectors: expected float32 or float64 of shape (", pairs.centers.size(0),
                    ", 3), got ", pairs.vectors.scalar_type(), " ", pairs.vectors.sizes());
}

void check_kinds(const Tensor& kind, const Tensor& gamma) {
  TORCH_CHECK_VALUE(gamma.dim() == 2 && gamma.size(0) == gamma.size(1) && floating(gamma),
                    "gamma: expected a square matrix, got ", gamma.scalar_type(), " ",
                    gamma.sizes());
  TORCH_CHECK_VALUE(kind.scalar_type() == at::kLong && kind.dim() == 1,
                    "kind: expected int64 of shape (n_atoms,), got ", kind.scalar_type(), " ",
                    kind.sizes());
  if (kind.numel() == 0) return;
  const auto [least, most] = at::aminmax(kind);
  TORCH_CHECK_VALUE(least.item<int64_t>() >= 0 && most.item<int64_t>() < gamma.size(0),
                    "kind: expected 0 to ", gamma.size(0) - 1, ", got ", least.item<int64_t>(),
                    " to ", most.item<int64_t>());
}

void check_shells(const Tensor& shells, int64_t n_atoms) {
  TORCH_CHECK_VALUE(floating(shells) && shells.sizes() == at::IntArrayRef({n_atoms, 3}),
                    "shells: expected float32 or float64 of shape (", n_atoms, ", 3), got ",
                    shells.scalar_type(), " ", shells.sizes());
}

void check_sum(const TaperedPairs& pairs, const Tensor& at_cores, const Tensor& at_shells,
               const TaperedState& state) {
  const int64_t n_pairs = pairs.centers.size(0);
  check_per_atom("charges", state.charges, state.charges, false);
  check_per_atom("core_charge", state.core_charge, state.charges, false);
  check_per_atom("shells", state.shells, state.charges, true);
  check_pairs(pairs, state.charges.size(0));
  TORCH_CHECK_VALUE(at_cores.sizes() == at::IntArrayRef({3, n_pairs}) &&
                        at_cores.scalar_type() == pairs.vectors.scalar_type(),
                    "at_cores: expected ", pairs.vectors.scalar_type(), " of shape (3, ", n_pairs,
                    "), got ", at_cores.scalar_type(), " ", at_cores.sizes());
  TORCH_CHECK_VALUE(at_shells.dim() == 2 && (at_shells.size(0) == 3 || at_shells.size(0) == 9) &&
                        at_shells.size(1) == n_pairs &&
                        at_shells.scalar_type() == pairs.vectors.scalar_type(),
                    "at_shells: expected ", pairs.vectors.scalar_type(), " of shape (3 or 9, ",
                    n_pairs, "), got ", at_shells.scalar_type(), " ", at_shells.sizes());
}

void check_change(const TaperedState& state, const Tensor& dq, const Tensor& ds) {
  check_per_atom("dq", dq, state.charges, false);
  check_per_atom("ds", ds, state.charges, true);
}

void check_matrix(const Tensor& centers, const Tensor& neighbors, const Tensor& values,
                  const Tensor& x) {
  check_per_atom("x", x, x, false);
  check_indices(centers, neighbors, x.size(0));
  TORCH_CHECK_VALUE(floating(values) && values.sizes() == centers.sizes(),
                    "values: expected float32 or float64 of ", centers.size(0), " pairs, got ",
                    values.scalar_type(), " ", values.sizes());
}

}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, Autograd, library) {
  for (const char* name : {"tapered_pairs", "tapered_radials", "tapered_gradient",
                           "tapered_product", "tapered_forces", "pair_matrix_product"}) {
    library.impl(name, torch::autograd::autogradNotImplementedFallback());
  }
}
