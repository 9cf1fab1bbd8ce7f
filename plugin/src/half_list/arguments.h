// Arguments of half_list, checked.
#pragma once

#include "checks.h"

namespace openmm_pqeq {

// ValueError for shapes and dtypes that do not fit.
void check_half_list(const Tensor& positions, const Tensor& cell, const Tensor& periodic,
                     double cutoff);

}  // namespace openmm_pqeq
