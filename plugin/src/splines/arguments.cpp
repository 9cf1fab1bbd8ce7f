// Arguments of the mesh operators. They have no derivatives: they serve where charges are solved
// and where a derivative is known in closed form, and refuse to be differentiated; the torch
// reference is what can be.
#include "splines/arguments.h"

#include "splines/formulae.h"

#include <torch/library.h>

namespace openmm_pqeq {
namespace {

bool floating(const Tensor& tensor) {
  return tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble;
}

void refuse_derivatives(std::initializer_list<Tensor> inputs) {
  if (!at::GradMode::is_enabled()) return;
  for (const Tensor& input : inputs) {
    TORCH_CHECK(!input.defined() || !input.requires_grad(),
                "mesh operators: no derivatives; detach the inputs, or use put_reference, "
                "read_reference and read_bend_reference");
  }
}

template <typename Result, typename... Arguments>
Result below_autograd(const char* name, Arguments... arguments) {
  at::AutoDispatchBelowADInplaceOrView below;
  return c10::Dispatcher::singleton()
      .findSchemaOrThrow(name, "")
      .typed<Result(Arguments...)>()
      .call(arguments...);
}

Tensor mesh_put_autograd(const Tensor& u, const Tensor& channel, const Tensor& values,
                         const std::optional<Tensor>& moved, int64_t channels, at::IntArrayRef size,
                         int64_t order) {
  refuse_derivatives({u, values, moved.value_or(Tensor())});
  return below_autograd<Tensor, const Tensor&, const Tensor&, const Tensor&,
                        const std::optional<Tensor>&, int64_t, at::IntArrayRef, int64_t>(
      "openmm_pqeq::mesh_put", u, channel, values, moved, channels, size, order);
}

std::tuple<Tensor, Tensor> mesh_read_autograd(const Tensor& field, const Tensor& u,
                                              const Tensor& channel, int64_t order) {
  refuse_derivatives({field, u});
  return below_autograd<std::tuple<Tensor, Tensor>, const Tensor&, const Tensor&, const Tensor&,
                        int64_t>("openmm_pqeq::mesh_read", field, u, channel, order);
}

Tensor mesh_read_bend_autograd(const Tensor& field, const Tensor& u, const Tensor& channel,
                               int64_t order) {
  refuse_derivatives({field, u});
  return below_autograd<Tensor, const Tensor&, const Tensor&, const Tensor&, int64_t>(
      "openmm_pqeq::mesh_read_bend", field, u, channel, order);
}

}  // namespace

void check_points(const Tensor& u, const Tensor& channel, int64_t channels, at::IntArrayRef size,
                  int64_t order) {
  TORCH_CHECK_VALUE(
      size.size() == 3 && size[0] > 0 && size[1] > 0 && size[2] > 0 && channels > 0,
      "channels, size: expected at least one mesh of three positive numbers of points, got ",
      channels, " of ", size);
  TORCH_CHECK_VALUE(order >= kMinOrder && order <= kMaxOrder, "order: expected ", kMinOrder, " to ",
                    kMaxOrder, ", got ", order);
  TORCH_CHECK_VALUE(floating(u) && u.dim() == 2 && u.size(1) == 3,
                    "u: expected float32 or float64 of shape (n, 3), got ", u.scalar_type(), " ",
                    u.sizes());
  TORCH_CHECK_VALUE(channel.scalar_type() == at::kLong && channel.dim() == 1 &&
                        channel.size(0) == u.size(0) && channel.device() == u.device(),
                    "channel: expected int64 of ", u.size(0), " points on ", u.device(), ", got ",
                    channel.scalar_type(), " ", channel.sizes(), " on ", channel.device());
  if (channel.numel() > 0 && channel.is_cpu()) {
    const auto [least, most] = at::aminmax(channel);
    TORCH_CHECK_VALUE(least.item<int64_t>() >= 0 && most.item<int64_t>() < channels,
                      "channel: expected 0 to ", channels - 1, ", got ", least.item<int64_t>(),
                      " to ", most.item<int64_t>());
  }
}

void check_charges(const Tensor& u, const Tensor& values, const std::optional<Tensor>& moved) {
  TORCH_CHECK_VALUE(values.scalar_type() == u.scalar_type() && values.dim() == 1 &&
                        values.size(0) == u.size(0) && values.device() == u.device(),
                    "values: expected ", u.scalar_type(), " of shape (", u.size(0), ",) on ",
                    u.device(), ", got ", values.scalar_type(), " ", values.sizes(), " on ",
                    values.device());
  TORCH_CHECK_VALUE(
      !moved.has_value() || (moved->scalar_type() == u.scalar_type() &&
                             moved->sizes() == u.sizes() && moved->device() == u.device()),
      "moved: expected the dtype, shape and device of u");
}

void check_field(const Tensor& field, const Tensor& u, const Tensor& channel, int64_t order) {
  TORCH_CHECK_VALUE(
      field.dim() == 4 && field.scalar_type() == u.scalar_type() && field.device() == u.device(),
      "field: expected (channels, n_1, n_2, n_3) with the dtype and device of u, got ",
      field.scalar_type(), " ", field.sizes(), " on ", field.device());
  check_points(u, channel, field.size(0), field.sizes().slice(1), order);
}

}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, Autograd, library) {
  library.impl("mesh_put", openmm_pqeq::mesh_put_autograd);
  library.impl("mesh_read", openmm_pqeq::mesh_read_autograd);
  library.impl("mesh_read_bend", openmm_pqeq::mesh_read_bend_autograd);
}
