// Derivatives of coulomb_radial, and its kernel in torch's own operations for devices without a
// kernel file.
//
// With g = k_e (2/√π) γ exp(−γ²r²), f_0 = k_e erf(γr)/r and f_n = f'_{n−1}/r:
//
//   f_{n+1} = ((−2γ²)ⁿ g − (2n+1) f_n)/r²      ∂f_n/∂r = r f_{n+1}      ∂f_n/∂γ = (−2γ²)ⁿ g/γ
//
// The operator returns f_0, f_1, f_2. Backward is written in differentiable operations on its
// inputs and outputs, so the operator may be differentiated any number of times.
#include "constants.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace openmm_pqeq {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Triple = std::tuple<Tensor, Tensor, Tensor>;

Tensor gauss(const Tensor& distance, const Tensor& gamma) {
  return kCoulomb * kTwoOverSqrtPi * gamma * at::exp(-at::square(gamma * distance));
}

Triple coulomb_radial_any_device(const Tensor& distance, const Tensor& gamma) {
  const Tensor inverse_square = at::reciprocal(at::square(distance));
  const Tensor g = gauss(distance, gamma);
  const Tensor value = kCoulomb * at::erf(gamma * distance) / distance;
  const Tensor first = (g - value) * inverse_square;
  const Tensor second = (-2.0 * at::square(gamma) * g - 3.0 * first) * inverse_square;
  return {value, first, second};
}

Triple call(const Tensor& distance, const Tensor& gamma) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("openmm_pqeq::coulomb_radial", "")
                             .typed<Triple(const Tensor&, const Tensor&)>();
  return op.call(distance, gamma);
}

class CoulombRadial : public torch::autograd::Function<CoulombRadial> {
 public:
  static variable_list forward(AutogradContext* context, const Tensor& distance,
                               const Tensor& gamma) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto [value, first, second] = call(distance, gamma);
    context->save_for_backward({distance, gamma, first, second});
    return {value, first, second};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor& distance = saved[0];
    const Tensor& gamma = saved[1];
    const Tensor& first = saved[2];
    const Tensor& second = saved[3];
    const Tensor g = gauss(distance, gamma);
    const Tensor minus_two_gamma_square = -2.0 * at::square(gamma);
    const Tensor third =
        (at::square(minus_two_gamma_square) * g - 5.0 * second) / at::square(distance);
    Tensor distance_gradient, gamma_gradient;
    if (context->needs_input_grad(0)) {
      const Tensor sum = gradients[0] * first + gradients[1] * second + gradients[2] * third;
      distance_gradient = at::sum_to(distance * sum, distance.sizes());
    }
    if (context->needs_input_grad(1)) {
      const Tensor sum = gradients[0] + minus_two_gamma_square *
                                            (gradients[1] + minus_two_gamma_square * gradients[2]);
      gamma_gradient = at::sum_to(g / gamma * sum, gamma.sizes());
    }
    return {distance_gradient, gamma_gradient};
  }
};

Triple coulomb_radial_autograd(const Tensor& distance, const Tensor& gamma) {
  const variable_list radial = CoulombRadial::apply(distance, gamma);
  return {radial[0], radial[1], radial[2]};
}

}  // namespace
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, CompositeExplicitAutograd, library) {
  library.impl("coulomb_radial", openmm_pqeq::coulomb_radial_any_device);
}

TORCH_LIBRARY_IMPL(openmm_pqeq, Autograd, library) {
  library.impl("coulomb_radial", openmm_pqeq::coulomb_radial_autograd);
}
