// half_list has integers as results and no derivatives: its arguments, checked.
#include "half_list/arguments.h"

namespace openmm_pqeq {

void check_half_list(const Tensor& positions, const Tensor& cell, const Tensor& periodic,
                     double cutoff) {
  check(positions.scalar_type() == at::kDouble && rows_of_three(positions), "positions", positions,
        "float64 of shape (n_atoms, 3)");
  check(cell.scalar_type() == at::kDouble && shaped(cell, {3, 3}), "cell", cell,
        "float64 of shape (3, 3)");
  check(periodic.scalar_type() == at::kBool && shaped(periodic, {3}), "periodic", periodic,
        "three booleans");
  TORCH_CHECK_VALUE(cutoff > 0.0, "cutoff: expected a positive distance, got ", cutoff);
  TORCH_CHECK_VALUE(positions.size(0) < INT32_MAX, "positions: expected fewer than 2³¹ atoms, got ",
                    positions.size(0));
}

}  // namespace openmm_pqeq
