// Arguments of the operators of the tapered pair sum, checked.
#pragma once

#include <ATen/ATen.h>

#include <optional>

namespace openmm_pqeq {

using at::Tensor;

// centers, neighbors (n_pairs,) int32, centers ascending; vectors (n_pairs, 3) Å.
struct TaperedPairs {
  Tensor centers, neighbors, vectors;
};

// core_charge, charges (n_atoms,) e; shells (n_atoms, 3) Å.
struct TaperedState {
  Tensor core_charge, charges, shells;
};

// ValueError for shapes, dtypes and indices that do not fit.
void check_kept_pairs(const Tensor& positions, const Tensor& cell, const Tensor& centers,
                      const Tensor& neighbors, const Tensor& shifts);
void check_pairs(const TaperedPairs& pairs, int64_t n_atoms);
void check_kinds(const Tensor& kind, const Tensor& gamma);
void check_shells(const Tensor& shells, int64_t n_atoms);
void check_sum(const TaperedPairs& pairs, const Tensor& at_cores, const Tensor& at_shells,
               const TaperedState& state);
void check_change(const TaperedState& state, const Tensor& dq, const Tensor& ds);
void check_shifts(const TaperedPairs& pairs, const Tensor& shifts);
void check_matrix(const Tensor& centers, const Tensor& neighbors, const Tensor& values,
                  const Tensor& x);

}  // namespace openmm_pqeq
