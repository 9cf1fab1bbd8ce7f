// Arguments of mesh_put, mesh_read and mesh_read_bend, checked.
#pragma once

#include <ATen/ATen.h>

#include <optional>

namespace openmm_pqeq {

using at::Tensor;

// ValueError for shapes, dtypes, channels and orders that do not fit.
void check_points(const Tensor& u, const Tensor& channel, int64_t channels, at::IntArrayRef size,
                  int64_t order);
void check_charges(const Tensor& u, const Tensor& values, const std::optional<Tensor>& moved);
void check_field(const Tensor& field, const Tensor& u, const Tensor& channel, int64_t order);

}  // namespace openmm_pqeq
