// Gradients whose own gradient is refused, for operators that are differentiated in simulations
// only.
#pragma once

#include <torch/csrc/autograd/custom_function.h>

#include <string>

namespace openmm_pqeq {

class OnceDifferentiable : public torch::autograd::Function<OnceDifferentiable> {
 public:
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context,
                                                at::TensorList /*depends_on*/,
                                                const torch::autograd::variable_list& gradients,
                                                const std::string& name) {
    context->saved_data["name"] = name;
    torch::autograd::variable_list out;
    for (const at::Tensor& gradient : gradients) out.push_back(gradient.view_as(gradient));
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list) {
    TORCH_CHECK(false, context->saved_data["name"].toStringRef(),
                ": expected at most first derivatives, got a request for the second; differentiate "
                "the potential from before"
                " compile_for_inference(), which has derivatives of any order");
  }
};

// The gradients of the operator `name`, which depend on the tensors given.
inline torch::autograd::variable_list once_differentiable(
    const std::string& name, const torch::autograd::variable_list& depends_on,
    const torch::autograd::variable_list& gradients) {
  return OnceDifferentiable::apply(at::TensorList(depends_on), gradients, name);
}

}  // namespace openmm_pqeq
