#include "splines/arguments.h"

#include "splines/formulae.h"

namespace openmm_pqeq {

void check_points(const Tensor& u, const Tensor& channel, int64_t channels, at::IntArrayRef size,
                  int64_t order) {
  TORCH_CHECK_VALUE(
      size.size() == 3 && size[0] > 0 && size[1] > 0 && size[2] > 0 && channels > 0,
      "channels, size: expected at least one mesh of three positive numbers of points, got ",
      channels, " of ", size);
  TORCH_CHECK_VALUE(order >= kMinOrder && order <= kMaxOrder, "order: expected ", kMinOrder, " to ",
                    kMaxOrder, ", got ", order);
  check_rows_of_three("u", u);
  check_tensor("channel", channel, at::kLong, {u.size(0)}, u.device());
  check_range("channel", channel, channels);
}

void check_charges(const Tensor& u, const Tensor& values, const std::optional<Tensor>& dipoles) {
  check_tensor("values", values, u.scalar_type(), {u.size(0)}, u.device());
  if (dipoles.has_value()) {
    check_tensor("dipoles", *dipoles, u.scalar_type(), u.sizes(), u.device());
  }
}

void check_field(const Tensor& field, const Tensor& u, const Tensor& channel, int64_t order) {
  check(field.dim() == 4 && field.scalar_type() == u.scalar_type() && field.device() == u.device(),
        "field", field, "(channels, n_1, n_2, n_3) with the dtype and device of u");
  check_points(u, channel, field.size(0), field.sizes().slice(1), order);
}

}  // namespace openmm_pqeq
