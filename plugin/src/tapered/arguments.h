// Arguments of the operators of the tapered pair sum as structures, checked: ValueError for shapes,
// dtypes and indices that do not fit.
#pragma once

#include "checks.h"

namespace openmm_pqeq {

// centers, neighbors (n_pairs,) int32, centers ascending; vectors (n_pairs, 3) Å.
struct TaperedPairs {
  Tensor centers, neighbors, vectors;
};

// f, f1, f2 of each pair at d (3, n_pairs); at u, v and w (9, n_pairs), or at d again (3, n_pairs).
struct TaperedRadials {
  Tensor at_cores, at_shells;
};

// core_charge, charges (n_atoms,) e; shells (n_atoms, 3) Å.
struct TaperedState {
  Tensor core_charge, charges, shells;
};

// A direction in which charges (n_atoms,) and shells (n_atoms, 3) change.
struct TaperedChange {
  Tensor dq, ds;
};

void check_kept_pairs(const Tensor& positions, const Tensor& cell, const Tensor& centers,
                      const Tensor& neighbors, const Tensor& shifts);
void check_pairs(const TaperedPairs& pairs, int64_t n_atoms);
void check_shifts(const Tensor& shifts, const Tensor& centers);
void check_kinds(const TaperedPairs& pairs, const Tensor& kind, const Tensor& gamma,
                 const std::optional<Tensor>& shells);
void check_sum(const TaperedPairs& pairs, const TaperedRadials& radials, const TaperedState& state);
void check_change(const TaperedChange& change, const TaperedState& state);
void check_matrix(const Tensor& centers, const Tensor& neighbors, const Tensor& values,
                  const Tensor& x);

}  // namespace openmm_pqeq
