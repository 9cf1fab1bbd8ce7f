// The operators of splines have no derivatives: they serve where charges are solved and where a
// derivative is known in closed form, and refuse to be differentiated; the torch reference is what
// can be.
#include "splines/arguments.h"

#include <torch/library.h>

namespace openmm_pqeq {
namespace {

void refuse_derivatives(std::initializer_list<Tensor> inputs) {
  if (!at::GradMode::is_enabled()) return;
  for (const Tensor& input : inputs) {
    TORCH_CHECK(!input.defined() || !input.requires_grad(),
                "splines: no derivatives; detach the inputs, or use spread_reference,"
                " interpolate_reference and interpolate_hessian_reference");
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

Tensor spread_autograd(const Tensor& u, const Tensor& channel, const Tensor& values,
                       const std::optional<Tensor>& dipoles, int64_t channels, at::IntArrayRef size,
                       int64_t order) {
  refuse_derivatives({u, values, dipoles.value_or(Tensor())});
  return below_autograd<Tensor, const Tensor&, const Tensor&, const Tensor&,
                        const std::optional<Tensor>&, int64_t, at::IntArrayRef, int64_t>(
      "openmm_pqeq::splines_spread", u, channel, values, dipoles, channels, size, order);
}

std::tuple<Tensor, Tensor> interpolate_autograd(const Tensor& field, const Tensor& u,
                                                const Tensor& channel, int64_t order) {
  refuse_derivatives({field, u});
  return below_autograd<std::tuple<Tensor, Tensor>, const Tensor&, const Tensor&, const Tensor&,
                        int64_t>("openmm_pqeq::splines_interpolate", field, u, channel, order);
}

Tensor interpolate_hessian_autograd(const Tensor& field, const Tensor& u, const Tensor& channel,
                                    int64_t order) {
  refuse_derivatives({field, u});
  return below_autograd<Tensor, const Tensor&, const Tensor&, const Tensor&, int64_t>(
      "openmm_pqeq::splines_interpolate_hessian", field, u, channel, order);
}

}  // namespace
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, Autograd, library) {
  library.impl("splines_spread", openmm_pqeq::spread_autograd);
  library.impl("splines_interpolate", openmm_pqeq::interpolate_autograd);
  library.impl("splines_interpolate_hessian", openmm_pqeq::interpolate_hessian_autograd);
}
