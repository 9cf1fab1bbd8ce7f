// half_list has integers as results and no derivatives: its arguments, checked.
#include "half_list/arguments.h"

namespace openmm_pqeq {

void check_half_list(const Tensor& positions, const Tensor& cell, const Tensor& periodic,
                     double cutoff) {
  TORCH_CHECK_VALUE(
      positions.scalar_type() == at::kDouble && positions.dim() == 2 && positions.size(1) == 3,
      "positions: expected float64 of shape (n_atoms, 3), got ", positions.scalar_type(), " ",
      positions.sizes());
  TORCH_CHECK_VALUE(cell.scalar_type() == at::kDouble && cell.dim() == 2 && cell.size(0) == 3 &&
                        cell.size(1) == 3,
                    "cell: expected float64 of shape (3, 3), got ", cell.scalar_type(), " ",
                    cell.sizes());
  TORCH_CHECK_VALUE(
      periodic.scalar_type() == at::kBool && periodic.dim() == 1 && periodic.size(0) == 3,
      "periodic: expected three booleans, got ", periodic.scalar_type(), " ", periodic.sizes());
  TORCH_CHECK_VALUE(cutoff > 0.0, "cutoff: expected a positive distance, got ", cutoff);
  TORCH_CHECK_VALUE(positions.size(0) < INT32_MAX, "positions: expected fewer than 2³¹ atoms, got ",
                    positions.size(0));
}

}  // namespace openmm_pqeq
