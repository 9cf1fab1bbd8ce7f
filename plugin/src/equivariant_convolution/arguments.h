// Arguments of equivariant_convolution as structures, checked, and what its kernels take.
#pragma once

#include "checks.h"
#include "equivariant_convolution/work.h"

#include <tuple>
#include <vector>

namespace openmm_pqeq {

// Those of the schema, which explains them (schema.cpp).
struct ConvolutionArguments {
  std::vector<Tensor> features;
  Tensor distances, harmonics;                                  // pairs
  Tensor rows, centers, neighbors, neighbor_rows, by_neighbor;  // where they are
  Tensor table, couplings;
  std::vector<int64_t> paths, outputs;
  std::vector<double> grid;

  ConvolutionArguments contiguous() const;
};

// What one output is made of.
struct Output {
  int64_t rows, channels;
};

// The numbers among the arguments, by name.
struct Plan {
  int64_t n_atoms, n_rows, n_coefficients;
  std::vector<Path> paths;
  std::vector<Output> outputs;
  Grid grid;
};

// ValueError for arguments that do not fit together.
Plan checked(const ConvolutionArguments& given);

// Messages; derivatives with respect to features, distances and harmonics.
using Messages = std::vector<Tensor>;
using Gradients = std::tuple<std::vector<Tensor>, Tensor, Tensor>;

// Functions of the operators' signatures: the one place where the schema's list becomes a
// structure.
template <Messages (*work)(const ConvolutionArguments&)>
Messages convolution(at::TensorList features, const Tensor& distances, const Tensor& harmonics,
                     const Tensor& rows, const Tensor& centers, const Tensor& neighbors,
                     const Tensor& neighbor_rows, const Tensor& by_neighbor, const Tensor& table,
                     const Tensor& couplings, at::IntArrayRef paths, at::IntArrayRef outputs,
                     at::ArrayRef<double> grid) {
  return work({features.vec(), distances, harmonics, rows, centers, neighbors, neighbor_rows,
               by_neighbor, table, couplings, paths.vec(), outputs.vec(), grid.vec()});
}

template <Gradients (*work)(at::TensorList, const ConvolutionArguments&, bool)>
Gradients convolution_backward(at::TensorList gradients, at::TensorList features,
                               const Tensor& distances, const Tensor& harmonics, const Tensor& rows,
                               const Tensor& centers, const Tensor& neighbors,
                               const Tensor& neighbor_rows, const Tensor& by_neighbor,
                               const Tensor& table, const Tensor& couplings, at::IntArrayRef paths,
                               at::IntArrayRef outputs, at::ArrayRef<double> grid,
                               bool with_features) {
  return work(gradients,
              {features.vec(), distances, harmonics, rows, centers, neighbors, neighbor_rows,
               by_neighbor, table, couplings, paths.vec(), outputs.vec(), grid.vec()},
              with_features);
}

// The operators, called with a structure.
Messages call_convolution(const ConvolutionArguments& of);
Gradients call_convolution_backward(at::TensorList gradients, const ConvolutionArguments& of,
                                    bool with_features);

// Everything but the outputs; all tensors contiguous.
template <typename T>
Convolution<T> convolution_of(const ConvolutionArguments& given, const Plan& plan) {
  Convolution<T> made{};
  made.paths = plan.paths.data();
  made.n_paths = static_cast<int>(plan.paths.size());
  made.n_entries = static_cast<int>(given.couplings.size(1));
  made.n_harmonics = static_cast<int>(given.couplings.size(0));
  made.n_coefficients = static_cast<int>(plan.n_coefficients);
  made.grid = plan.grid;
  made.n_rows = plan.n_rows;
  for (size_t k = 0; k < given.features.size(); ++k) {
    made.features[k] = given.features[k].const_data_ptr<T>();
    made.widths_in[k] = static_cast<int>(given.features[k].size(2));
  }
  for (size_t k = 0; k < plan.outputs.size(); ++k) {
    made.widths_out[k] = static_cast<int>(plan.outputs[k].channels);
  }
  made.distances = given.distances.const_data_ptr<T>();
  made.harmonics = given.harmonics.const_data_ptr<T>();
  const auto index = [](const Tensor& tensor) {
    return reinterpret_cast<const Index*>(tensor.const_data_ptr<int64_t>());
  };
  made.rows = index(given.rows);
  made.centers = index(given.centers);
  made.neighbors = index(given.neighbors);
  made.neighbor_rows = index(given.neighbor_rows);
  made.by_neighbor = index(given.by_neighbor);
  made.table = given.table.const_data_ptr<T>();
  made.couplings = given.couplings.const_data_ptr<T>();
  return made;
}

}  // namespace openmm_pqeq
