// Derivatives of equivariant_convolution. The formulae are in work.h.
#include "equivariant_convolution/arguments.h"
#include "once_differentiable.h"

#include <torch/library.h>

namespace openmm_pqeq {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Tensors among the arguments that have no derivative.
constexpr size_t kConstants = 7;

// What has derivatives, then what has not.
void save(AutogradContext* context, const ConvolutionArguments& of) {
  variable_list saved{of.distances, of.harmonics};
  saved.insert(saved.end(), of.features.begin(), of.features.end());
  saved.insert(saved.end(), {of.rows, of.centers, of.neighbors, of.neighbor_rows, of.by_neighbor,
                             of.table, of.couplings});
  context->save_for_backward(saved);
  context->saved_data["paths"] = of.paths;
  context->saved_data["outputs"] = of.outputs;
  context->saved_data["grid"] = of.grid;
}

ConvolutionArguments saved(AutogradContext* context) {
  const variable_list tensors = context->get_saved_variables();
  const auto rest = tensors.end() - kConstants;
  return {variable_list(tensors.begin() + 2, rest),
          tensors[0],
          tensors[1],
          rest[0],
          rest[1],
          rest[2],
          rest[3],
          rest[4],
          rest[5],
          rest[6],
          context->saved_data["paths"].toIntVector(),
          context->saved_data["outputs"].toIntVector(),
          context->saved_data["grid"].toDoubleVector()};
}

class EquivariantConvolution : public torch::autograd::Function<EquivariantConvolution> {
 public:
  // what has derivatives (distances, harmonics, then the features), and all arguments
  static variable_list forward(AutogradContext* context, at::TensorList,
                               const ConvolutionArguments& given) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    save(context, given);
    return call_convolution(given);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const ConvolutionArguments given = saved(context);
    for (size_t k = 0; k < gradients.size(); ++k) {
      const int64_t n_atoms = given.rows.size(0) - 1;
      const int64_t rows = given.outputs[2 * k], channels = given.outputs[2 * k + 1];
      gradients[k] = gradients[k].defined()
                         ? gradients[k].contiguous()
                         : at::zeros({n_atoms, rows, channels}, given.table.options());
    }
    const size_t n_inputs = 2 + given.features.size();
    bool with_features = false;
    for (size_t k = 2; k < n_inputs; ++k) {
      with_features = with_features || context->needs_input_grad(k);
    }
    variable_list found;
    {
      at::AutoDispatchBelowADInplaceOrView below_autograd;
      const auto [features, distances, harmonics] =
          call_convolution_backward(gradients, given, with_features);
      found = {distances, harmonics};
      found.insert(found.end(), features.begin(), features.end());
    }
    if (at::GradMode::is_enabled()) {
      variable_list depends_on{given.distances, given.harmonics};
      depends_on.insert(depends_on.end(), given.features.begin(), given.features.end());
      depends_on.insert(depends_on.end(), gradients.begin(), gradients.end());
      found = once_differentiable("equivariant_convolution", depends_on, found);
    }
    found.resize(n_inputs + 1);  // features where they are not asked for, and all arguments
    return found;
  }
};

Messages convolution_autograd(const ConvolutionArguments& given) {
  TORCH_CHECK(!given.table.requires_grad() && !given.couplings.requires_grad(),
              "equivariant_convolution: expected table and couplings without gradients, got ones"
              " that require them; train the potential from before compile_for_inference()");
  variable_list inputs{given.distances, given.harmonics};
  inputs.insert(inputs.end(), given.features.begin(), given.features.end());
  return EquivariantConvolution::apply(at::TensorList(inputs), given);
}

}  // namespace
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, Autograd, library) {
  library.impl("equivariant_convolution",
               openmm_pqeq::convolution<openmm_pqeq::convolution_autograd>);
}
