// From the arguments of the operators equivariant_convolution and equivariant_convolution_backward
// to a Convolution, checked.
#pragma once

#include "equivariant_convolution/work.h"

#include <ATen/ATen.h>

#include <vector>

namespace openmm_pqeq {

using at::Tensor;

struct Geometry {
  const Tensor &distances, &harmonics, &rows, &centers, &neighbors, &neighbor_rows, &by_neighbor;
};

// The arguments as numbers; refuses those which do not fit together.
struct Checked {
  int64_t n_atoms, n_rows, n_coefficients;
  std::vector<Path> paths;
  Grid grid;
};

Checked check(at::TensorList features, const Geometry& geometry, const Tensor& table,
              const Tensor& couplings, at::IntArrayRef paths, at::IntArrayRef outputs,
              at::ArrayRef<double> grid);

// Everything but the outputs; all tensors contiguous.
template <typename T>
Convolution<T> convolution(const Checked& checked, at::TensorList features,
                           const Geometry& geometry, const Tensor& table, const Tensor& couplings,
                           at::IntArrayRef outputs) {
  Convolution<T> made{};
  made.paths = checked.paths.data();
  made.n_paths = static_cast<int>(checked.paths.size());
  made.n_entries = static_cast<int>(couplings.size(1));
  made.n_harmonics = static_cast<int>(couplings.size(0));
  made.n_coefficients = static_cast<int>(checked.n_coefficients);
  made.grid = checked.grid;
  made.n_rows = checked.n_rows;
  for (size_t k = 0; k < features.size(); ++k) {
    made.features[k] = features[k].const_data_ptr<T>();
    made.widths_in[k] = static_cast<int>(features[k].size(2));
  }
  for (size_t k = 0; 2 * k < outputs.size(); ++k)
    made.widths_out[k] = static_cast<int>(outputs[2 * k + 1]);
  made.distances = geometry.distances.const_data_ptr<T>();
  made.harmonics = geometry.harmonics.const_data_ptr<T>();
  const auto index = [](const Tensor& tensor) {
    return reinterpret_cast<const Index*>(tensor.const_data_ptr<int64_t>());
  };
  made.rows = index(geometry.rows);
  made.centers = index(geometry.centers);
  made.neighbors = index(geometry.neighbors);
  made.neighbor_rows = index(geometry.neighbor_rows);
  made.by_neighbor = index(geometry.by_neighbor);
  made.table = table.const_data_ptr<T>();
  made.couplings = couplings.const_data_ptr<T>();
  return made;
}

}  // namespace openmm_pqeq
