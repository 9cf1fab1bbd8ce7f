// Derivatives of the interpolation, of any order: f = Σ c T is linear in both, so that the
// derivatives of the operator and of its two gradients are these three again.
#include "interpolation/arguments.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace openmm_pqeq {
namespace interpolating {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// An operator of two factors, and a rule with its derivatives in each for a gradient g.
template <typename Rule>
class Bilinear : public torch::autograd::Function<Bilinear<Rule>> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& one, const Tensor& two,
                        const Tensor& order, const Tensor& begin) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    context->save_for_backward({one, two, order, begin});
    return Rule::value(one, two, {order, begin});
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Points points{saved[2], saved[3]};
    Tensor in_one, in_two;
    if (context->needs_input_grad(0)) in_one = Rule::in_one(gradients[0], saved[1], points);
    if (context->needs_input_grad(1)) in_two = Rule::in_two(gradients[0], saved[0], points);
    return {in_one, in_two, Tensor(), Tensor()};
  }
};

// f of (T, c)
struct Values {
  static Tensor value(const Tensor& table, const Tensor& c, const Points& points) {
    return call_values(table, c, points);
  }
  static Tensor in_one(const Tensor& g, const Tensor& c, const Points& points) {
    return call_table_gradients(g, c, points);
  }
  static Tensor in_two(const Tensor& g, const Tensor& table, const Points& points) {
    return call_coefficient_gradients(g, table, points);
  }
};

// ∂/∂T of (g, c); its own gradient is a table.
struct TableGradients {
  static Tensor value(const Tensor& g, const Tensor& c, const Points& points) {
    return call_table_gradients(g, c, points);
  }
  static Tensor in_one(const Tensor& table, const Tensor& c, const Points& points) {
    return call_values(table, c, points);
  }
  static Tensor in_two(const Tensor& table, const Tensor& g, const Points& points) {
    return call_coefficient_gradients(g, table, points);
  }
};

// ∂/∂c of (g, T); its own gradient are coefficients.
struct CoefficientGradients {
  static Tensor value(const Tensor& g, const Tensor& table, const Points& points) {
    return call_coefficient_gradients(g, table, points);
  }
  static Tensor in_one(const Tensor& c, const Tensor& table, const Points& points) {
    return call_values(table, c, points);
  }
  static Tensor in_two(const Tensor& c, const Tensor& g, const Points& points) {
    return call_table_gradients(g, c, points);
  }
};

template <typename Rule>
Tensor differentiable(const Tensor& one, const Tensor& two, const Points& points) {
  return Bilinear<Rule>::apply(one, two, points.order, points.begin);
}

}  // namespace
}  // namespace interpolating
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, Autograd, library) {
  using namespace openmm_pqeq::interpolating;
  library.impl("interpolation", of_points<differentiable<Values>>);
  library.impl("interpolation_table_gradients", of_points<differentiable<TableGradients>>);
  library.impl("interpolation_coefficient_gradients",
               of_points<differentiable<CoefficientGradients>>);
}
