// The operators equivariant_convolution and equivariant_convolution_backward on a device with
// kernels of its own.
//
// `Device` is made of the torch device that the tensors are on; its `forward` and `backward` take a
// Convolution, inputs and outputs in place, and the plan, and run the kernels over all atoms.
#pragma once

#include "equivariant_convolution/arguments.h"

#include <ATen/Dispatch.h>

namespace openmm_pqeq {

template <typename Device>
Messages forward_on(const ConvolutionArguments& arguments) {
  const Device device(arguments.table.device());
  const Plan plan = checked(arguments);
  const ConvolutionArguments given = arguments.contiguous();
  const Tensor& table = given.table;
  Messages messages;
  for (const Output& output : plan.outputs) {
    messages.push_back(at::empty({plan.n_atoms, output.rows, output.channels}, table.options()));
  }
  AT_DISPATCH_FLOATING_TYPES(table.scalar_type(), "equivariant_convolution", [&] {
    auto work = convolution_of<scalar_t>(given, plan);
    for (size_t k = 0; k < messages.size(); ++k) work.outputs[k] = messages[k].data_ptr<scalar_t>();
    device.forward(work, plan);
  });
  return messages;
}

template <typename Device>
Gradients backward_on(at::TensorList gradients, const ConvolutionArguments& arguments,
                      bool with_features) {
  const Device device(arguments.table.device());
  const Plan plan = checked(arguments);
  const ConvolutionArguments given = arguments.contiguous();
  TORCH_CHECK_VALUE(gradients.size() == plan.outputs.size(), "gradients: expected one per output");
  std::vector<Tensor> given_gradients, feature_gradients;
  for (const Tensor& gradient : gradients) given_gradients.push_back(gradient.contiguous());
  for (const Tensor& feature : given.features) {
    if (with_features) feature_gradients.push_back(at::zeros_like(feature));
  }
  const Tensor distance_gradients = at::zeros_like(given.distances);
  const Tensor harmonic_gradients = at::zeros_like(given.harmonics);
  AT_DISPATCH_FLOATING_TYPES(given.table.scalar_type(), "equivariant_convolution_backward", [&] {
    auto work = convolution_of<scalar_t>(given, plan);
    for (size_t k = 0; k < given_gradients.size(); ++k) {
      work.gradients[k] = given_gradients[k].const_data_ptr<scalar_t>();
    }
    for (size_t k = 0; k < feature_gradients.size(); ++k) {
      work.feature_gradients[k] = feature_gradients[k].data_ptr<scalar_t>();
    }
    work.distance_gradients = distance_gradients.data_ptr<scalar_t>();
    work.harmonic_gradients = harmonic_gradients.data_ptr<scalar_t>();
    device.backward(work, plan);
  });
  return {feature_gradients, distance_gradients, harmonic_gradients};
}

}  // namespace openmm_pqeq
