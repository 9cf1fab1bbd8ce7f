// Arguments of the operators of splines, checked: ValueError for shapes, dtypes, channels and
// orders that do not fit.
#pragma once

#include "checks.h"

#include <optional>

namespace openmm_pqeq {

void check_points(const Tensor& u, const Tensor& channel, int64_t channels, at::IntArrayRef size,
                  int64_t order);
void check_charges(const Tensor& u, const Tensor& values, const std::optional<Tensor>& dipoles);
void check_field(const Tensor& field, const Tensor& u, const Tensor& channel, int64_t order);

}  // namespace openmm_pqeq
