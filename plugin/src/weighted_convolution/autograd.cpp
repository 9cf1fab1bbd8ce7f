// Derivatives of weighted_convolution, of any order. The formulae are in work.h.
//
// The second derivative is one pass of kernels where it ends there, as in training; where it is to
// be differentiated again it is the sum of the operator and its gradient with one factor replaced.
#include "weighted_convolution/arguments.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace openmm_pqeq {
namespace weighted {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr size_t kIndices = 2;  // tensors among the arguments that have no derivative

// The arguments, and the gradients where they are among what was differentiated.
struct Saved {
  Arguments arguments;
  Tensors gradients;
};

// Weights, matrices and features; then the gradients; then what has no derivative.
variable_list differentiable(const Arguments& of, at::TensorList gradients) {
  variable_list inputs{of.weights, of.matrices};
  inputs.insert(inputs.end(), of.features.begin(), of.features.end());
  inputs.insert(inputs.end(), gradients.begin(), gradients.end());
  return inputs;
}

void save(AutogradContext* context, const Arguments& of, at::TensorList gradients) {
  variable_list saved = differentiable(of, gradients);
  saved.insert(saved.end(), {of.rows, of.neighbors});
  context->save_for_backward(saved);
  context->saved_data["n_features"] = static_cast<int64_t>(of.features.size());
  context->saved_data["paths"] = of.paths;
  context->saved_data["outputs"] = of.outputs;
}

Saved saved(AutogradContext* context) {
  const variable_list tensors = context->get_saved_variables();
  const auto features = tensors.begin() + 2;
  const auto gradients = features + context->saved_data["n_features"].toInt();
  const auto indices = tensors.end() - kIndices;
  return {
      {Tensors(features, gradients), tensors[0], tensors[1], indices[0], indices[1],
       context->saved_data["paths"].toIntVector(), context->saved_data["outputs"].toIntVector()},
      Tensors(gradients, indices)};
}

// Whether a derivative in one of the features is asked for.
bool features_wanted(AutogradContext* context, const Arguments& of) {
  bool wanted = false;
  for (size_t k = 0; k < of.features.size(); ++k) {
    wanted = wanted || context->needs_input_grad(2 + k);
  }
  return wanted;
}

Tensor or_zeros(const Tensor& tensor, const Tensor& like) {
  return tensor.defined() ? tensor : at::zeros_like(like);
}

variable_list listed(const Tensor& weights, const Tensor& matrices, const Tensors& features,
                     size_t n_features, const Tensors& gradients = {}) {
  variable_list list{weights, matrices};
  list.insert(list.end(), features.begin(), features.end());
  list.resize(2 + n_features);
  list.insert(list.end(), gradients.begin(), gradients.end());
  list.emplace_back();  // for all arguments as a structure
  return list;
}

// The second derivative, itself differentiable.
SecondGradients composed(at::TensorList g, const Arguments& of, const Tangents& by,
                         bool with_features, bool with_matrices) {
  const Arguments one = of.of(by.features, of.weights, of.matrices);
  const Arguments two = of.of(of.features, by.weights, of.matrices);
  const Arguments three = of.of(of.features, of.weights, by.matrices);
  const Tensors m1 = call_convolution(one), m2 = call_convolution(two),
                m3 = call_convolution(three);
  const auto [x1, w1, matrix1] = call_backward(g, one, false, with_matrices);
  const auto [x2, w2, matrix2] = call_backward(g, two, with_features, with_matrices);
  const auto [x3, w3, matrix3] = call_backward(g, three, with_features, false);
  Tensors outputs, features;
  for (size_t k = 0; k < m1.size(); ++k) outputs.push_back(m1[k] + m2[k] + m3[k]);
  for (size_t k = 0; k < x2.size(); ++k) features.push_back(x2[k] + x3[k]);
  return {outputs, features, w1 + w3, with_matrices ? matrix1 + matrix2 : Tensor()};
}

class Backward : public torch::autograd::Function<Backward> {
 public:
  // what has derivatives, and all arguments
  static variable_list forward(AutogradContext* context, at::TensorList, const Saved& given,
                               bool with_features, bool with_matrices) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    save(context, given.arguments, given.gradients);
    context->saved_data["with_matrices"] = with_matrices;
    const auto [features, weights, matrices] =
        call_backward(given.gradients, given.arguments, with_features, with_matrices);
    variable_list found{weights, matrices};
    found.insert(found.end(), features.begin(), features.end());
    return found;
  }

  static variable_list backward(AutogradContext* context, variable_list directions) {
    const auto [of, gradients] = saved(context);
    Tangents tangents;
    tangents.weights = or_zeros(directions[0], of.weights);
    const bool of_matrices = context->saved_data["with_matrices"].toBool();
    tangents.matrices = or_zeros(of_matrices ? directions[1] : Tensor(), of.matrices);
    for (size_t k = 0; k < of.features.size(); ++k) {
      const bool given = 2 + k < directions.size();
      tangents.features.push_back(or_zeros(given ? directions[2 + k] : Tensor(), of.features[k]));
    }
    const bool with_features = features_wanted(context, of);
    const bool with_matrices = context->needs_input_grad(1);
    SecondGradients found;
    if (at::GradMode::is_enabled()) {
      found = composed(gradients, of, tangents, with_features, with_matrices);
    } else {
      at::AutoDispatchBelowADInplaceOrView below_autograd;
      found = call_double_backward(gradients, of, tangents, with_features, with_matrices);
    }
    const auto& [outputs, features, weights, matrices] = found;
    variable_list list =
        listed(weights, with_matrices ? matrices : Tensor(), features, of.features.size(), outputs);
    list.resize(list.size() + 2);  // for the flags
    return list;
  }
};

class WeightedConvolution : public torch::autograd::Function<WeightedConvolution> {
 public:
  static variable_list forward(AutogradContext* context, at::TensorList, const Arguments& given) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    save(context, given, {});
    return call_convolution(given);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const Arguments of = saved(context).arguments;
    for (size_t k = 0; k < gradients.size(); ++k) {
      if (!gradients[k].defined()) gradients[k] = of.zero_output(k);
    }
    const bool with_matrices = context->needs_input_grad(1);
    const auto [features, weights, matrices] =
        call_backward(gradients, of, features_wanted(context, of), with_matrices);
    return listed(weights, with_matrices ? matrices : Tensor(), features, of.features.size());
  }
};

Tensors autograd_forward(const Arguments& given) {
  return WeightedConvolution::apply(at::TensorList(differentiable(given, {})), given);
}

Gradients autograd_backward(at::TensorList gradients, const Arguments& given, bool with_features,
                            bool with_matrices) {
  const variable_list inputs = differentiable(given, gradients);
  const variable_list found = Backward::apply(at::TensorList(inputs), Saved{given, gradients.vec()},
                                              with_features, with_matrices);
  return {Tensors(found.begin() + 2, found.end()), found[0], found[1]};
}

}  // namespace
}  // namespace weighted
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, Autograd, library) {
  using namespace openmm_pqeq::weighted;
  library.impl("weighted_convolution", convolution<autograd_forward>);
  library.impl("weighted_convolution_backward", convolution_backward<autograd_backward>);
}
