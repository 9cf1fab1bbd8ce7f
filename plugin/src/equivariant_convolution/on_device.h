// The operators equivariant_convolution and equivariant_convolution_backward on a device with
// kernels of its own.
//
// `Device` is made of the torch device that the tensors are on; its `forward` and `backward` take a
// Convolution, inputs and outputs in place, and the checked arguments, and run the kernels over all
// atoms.
#pragma once

#include "equivariant_convolution/arguments.h"

#include <ATen/Dispatch.h>

#include <tuple>

namespace openmm_pqeq {

// The tensors among the arguments, as kernels read them.
struct Contiguous {
  std::vector<Tensor> features;
  Tensor distances, harmonics, rows, centers, neighbors, neighbor_rows, by_neighbor, table,
      couplings;

  Contiguous(at::TensorList features, const Geometry& geometry, const Tensor& table,
             const Tensor& couplings);

  template <typename T>
  Convolution<T> convolution(const Checked& checked, at::IntArrayRef outputs) const {
    const Geometry geometry{distances, harmonics,     rows,       centers,
                            neighbors, neighbor_rows, by_neighbor};
    return openmm_pqeq::convolution<T>(checked, features, geometry, table, couplings, outputs);
  }
};

std::vector<Tensor> contiguous(at::TensorList tensors);

template <typename Device>
std::vector<Tensor> forward_on(at::TensorList features, const Tensor& distances,
                               const Tensor& harmonics, const Tensor& rows, const Tensor& centers,
                               const Tensor& neighbors, const Tensor& neighbor_rows,
                               const Tensor& by_neighbor, const Tensor& table,
                               const Tensor& couplings, at::IntArrayRef paths,
                               at::IntArrayRef outputs, at::ArrayRef<double> grid) {
  const Device device(table.device());
  const Geometry geometry{distances, harmonics,     rows,       centers,
                          neighbors, neighbor_rows, by_neighbor};
  const Checked checked = check(features, geometry, table, couplings, paths, outputs, grid);
  const Contiguous given(features, geometry, table, couplings);
  std::vector<Tensor> messages;
  for (size_t k = 0; k + 1 < outputs.size(); k += 2) {
    messages.push_back(at::empty({checked.n_atoms, outputs[k], outputs[k + 1]}, table.options()));
  }
  AT_DISPATCH_FLOATING_TYPES(table.scalar_type(), "equivariant_convolution", [&] {
    auto work = given.convolution<scalar_t>(checked, outputs);
    for (size_t k = 0; k < messages.size(); ++k) work.outputs[k] = messages[k].data_ptr<scalar_t>();
    device.forward(work, checked);
  });
  return messages;
}

template <typename Device>
std::tuple<std::vector<Tensor>, Tensor, Tensor> backward_on(
    at::TensorList gradients, at::TensorList features, const Tensor& distances,
    const Tensor& harmonics, const Tensor& rows, const Tensor& centers, const Tensor& neighbors,
    const Tensor& neighbor_rows, const Tensor& by_neighbor, const Tensor& table,
    const Tensor& couplings, at::IntArrayRef paths, at::IntArrayRef outputs,
    at::ArrayRef<double> grid, bool with_features) {
  const Device device(table.device());
  const Geometry geometry{distances, harmonics,     rows,       centers,
                          neighbors, neighbor_rows, by_neighbor};
  const Checked checked = check(features, geometry, table, couplings, paths, outputs, grid);
  const Contiguous given(features, geometry, table, couplings);
  const std::vector<Tensor> given_gradients = contiguous(gradients);
  TORCH_CHECK_VALUE(2 * gradients.size() == outputs.size(), "gradients: expected one per output");
  std::vector<Tensor> feature_gradients;
  for (const Tensor& feature : given.features) {
    if (with_features) feature_gradients.push_back(at::zeros_like(feature));
  }
  const Tensor distance_gradients = at::zeros_like(given.distances),
               harmonic_gradients = at::zeros_like(given.harmonics);
  AT_DISPATCH_FLOATING_TYPES(table.scalar_type(), "equivariant_convolution_backward", [&] {
    auto work = given.convolution<scalar_t>(checked, outputs);
    for (size_t k = 0; k < given_gradients.size(); ++k)
      work.gradients[k] = given_gradients[k].const_data_ptr<scalar_t>();
    for (size_t k = 0; k < feature_gradients.size(); ++k)
      work.feature_gradients[k] = feature_gradients[k].data_ptr<scalar_t>();
    work.distance_gradients = distance_gradients.data_ptr<scalar_t>();
    work.harmonic_gradients = harmonic_gradients.data_ptr<scalar_t>();
    device.backward(work, checked);
  });
  return {feature_gradients, distance_gradients, harmonic_gradients};
}

}  // namespace openmm_pqeq
