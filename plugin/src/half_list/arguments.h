// Arguments of half_list, checked.
#pragma once

#include <ATen/ATen.h>

namespace openmm_pqeq {

using at::Tensor;

// ValueError for shapes and dtypes that do not fit.
void check_half_list(const Tensor& positions, const Tensor& cell, const Tensor& periodic,
                     double cutoff);

}  // namespace openmm_pqeq
