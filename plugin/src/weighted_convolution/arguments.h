// Arguments of weighted_convolution as structures, checked, and what its kernels take.
#pragma once

#include "checks.h"
#include "weighted_convolution/work.h"

#include <tuple>
#include <vector>

namespace openmm_pqeq {
namespace weighted {

using Tensors = std::vector<Tensor>;

// Those of the schema, which explains them (schema.cpp).
struct Arguments {
  Tensors features;
  Tensor weights, matrices;
  Tensor rows, neighbors;
  std::vector<int64_t> paths, outputs;

  Arguments contiguous() const;
  // The same convolution of other numbers.
  Arguments of(Tensors features, Tensor weights, Tensor matrices) const;

  int64_t n_atoms() const { return rows.size(0) - 1; }
  size_t n_outputs() const { return outputs.size() / 2; }
  // Empty, or of zeros: (n_atoms, 2l+1, channels) of each output.
  Tensors empty_outputs() const;
  Tensor zero_output(size_t k) const;
};

// What a gradient of the three is in turn multiplied with, or how they change.
struct Tangents {
  Tensors features;
  Tensor weights, matrices;
};

// Gradients in features, weights and matrices: no features and an empty matrix where they are not
// asked for.
using Gradients = std::tuple<Tensors, Tensor, Tensor>;
// Those in the gradients and in the three.
using SecondGradients = std::tuple<Tensors, Tensors, Tensor, Tensor>;

// ValueError for arguments that do not fit together.
std::vector<Path> checked(const Arguments& given);
void check_gradients(at::TensorList gradients, const Arguments& given);
void check_tangents(const Tangents& tangents, const Arguments& given);

// Functions of the operators' signatures: the one place where the schema's list becomes a
// structure.
template <Tensors (*work)(const Arguments&)>
Tensors convolution(at::TensorList features, const Tensor& weights, const Tensor& matrices,
                    const Tensor& rows, const Tensor& neighbors, at::IntArrayRef paths,
                    at::IntArrayRef outputs) {
  return work({features.vec(), weights, matrices, rows, neighbors, paths.vec(), outputs.vec()});
}

template <Gradients (*work)(at::TensorList, const Arguments&, bool, bool)>
Gradients convolution_backward(at::TensorList gradients, at::TensorList features,
                               const Tensor& weights, const Tensor& matrices, const Tensor& rows,
                               const Tensor& neighbors, at::IntArrayRef paths,
                               at::IntArrayRef outputs, bool with_features, bool with_matrices) {
  return work(gradients,
              {features.vec(), weights, matrices, rows, neighbors, paths.vec(), outputs.vec()},
              with_features, with_matrices);
}

template <SecondGradients (*work)(at::TensorList, const Arguments&, const Tangents&, bool, bool)>
SecondGradients convolution_double_backward(
    at::TensorList gradients, at::TensorList features, const Tensor& weights,
    const Tensor& matrices, const Tensor& rows, const Tensor& neighbors, at::IntArrayRef paths,
    at::IntArrayRef outputs, at::TensorList feature_tangents, const Tensor& weight_tangents,
    const Tensor& matrix_tangents, bool with_features, bool with_matrices) {
  return work(
      gradients, {features.vec(), weights, matrices, rows, neighbors, paths.vec(), outputs.vec()},
      {feature_tangents.vec(), weight_tangents, matrix_tangents}, with_features, with_matrices);
}

// The operators, called with a structure.
Tensors call_convolution(const Arguments& of);
Gradients call_backward(at::TensorList gradients, const Arguments& of, bool with_features,
                        bool with_matrices);
SecondGradients call_double_backward(at::TensorList gradients, const Arguments& of,
                                     const Tangents& tangents, bool with_features,
                                     bool with_matrices);

}  // namespace weighted
}  // namespace openmm_pqeq
