// Positions as they are, whose gradient has to be finite: going backward, another one is refused
// with the name of its atom. A gradient that is finite is handed on as it is, so the operator may
// be differentiated any number of times.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <sstream>
#include <string>

namespace openmm_pqeq {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor finite_gradient_any_device(const Tensor& positions, const Tensor& /*numbers*/,
                                  const Tensor& /*indices*/, std::string /*symbols*/,
                                  std::string /*message*/) {
  return at::alias(positions);
}

// Index and element of the first atom with a number that is not finite.
std::string name_of_first(const Tensor& finite, const Tensor& numbers, const Tensor& indices,
                          const std::string& symbols) {
  const Tensor bad = finite.reshape({finite.size(0), -1}).all(1).logical_not().nonzero();
  const auto first = bad[0][0].item<int64_t>();
  std::istringstream words(symbols);
  std::string symbol;
  for (auto number = numbers[first].item<int64_t>(); number >= 0; --number) words >> symbol;
  return "atom " + std::to_string(indices[first].item<int64_t>()) + " (" + symbol + ")";
}

class FiniteGradient : public torch::autograd::Function<FiniteGradient> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& positions, const Tensor& numbers,
                        const Tensor& indices, const std::string& symbols,
                        const std::string& message) {
    context->saved_data["numbers"] = numbers;
    context->saved_data["indices"] = indices;
    context->saved_data["symbols"] = symbols;
    context->saved_data["message"] = message;
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    return at::alias(positions);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const Tensor& gradient = gradients[0];
    if (gradient.defined()) {
      const Tensor finite = at::isfinite(gradient);
      if (!finite.all().item<bool>()) {
        auto& saved = context->saved_data;
        std::string message = saved["message"].toStringRef();
        message.replace(message.find("{}"), 2,
                        name_of_first(finite, saved["numbers"].toTensor(),
                                      saved["indices"].toTensor(), saved["symbols"].toStringRef()));
        TORCH_CHECK(false, message);
      }
    }
    return {gradient, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

Tensor finite_gradient_autograd(const Tensor& positions, const Tensor& numbers,
                                const Tensor& indices, std::string symbols, std::string message) {
  return FiniteGradient::apply(positions, numbers, indices, symbols, message);
}

}  // namespace
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, CompositeExplicitAutograd, library) {
  library.impl("finite_gradient", openmm_pqeq::finite_gradient_any_device);
}

TORCH_LIBRARY_IMPL(openmm_pqeq, Autograd, library) {
  library.impl("finite_gradient", openmm_pqeq::finite_gradient_autograd);
}
