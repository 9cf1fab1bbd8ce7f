#include "equivariant_convolution/arguments.h"

namespace openmm_pqeq {
namespace {

constexpr int kGridFields = 8;

std::vector<Path> paths_of(at::IntArrayRef numbers) {
  TORCH_CHECK_VALUE(numbers.size() % kPathFields == 0, "paths: expected ", kPathFields,
                    " integers per path, got ", numbers.size());
  std::vector<Path> paths;
  for (size_t k = 0; k < numbers.size(); k += kPathFields) {
    const auto at = [&](size_t field) { return static_cast<int>(numbers[k + field]); };
    paths.push_back({at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8), at(9)});
  }
  return paths;
}

void check_path(const Path& path, at::TensorList features, at::IntArrayRef outputs,
                int64_t n_chunks, const Tensor& couplings) {
  const int64_t n_inputs = static_cast<int64_t>(features.size()),
                n_outputs = static_cast<int64_t>(outputs.size()) / 2;
  TORCH_CHECK_VALUE(
      path.input >= 0 && path.input < n_inputs && path.output >= 0 && path.output < n_outputs,
      "paths: a path from input ", path.input, " to output ", path.output, ", but there are ",
      n_inputs, " and ", n_outputs);
  const Tensor& input = features[path.input];
  TORCH_CHECK_VALUE(input.size(1) == path.rows_in && input.size(2) == path.chunks * kLanes,
                    "features: input ", path.input, " must be (n_atoms, ", path.rows_in, ", ",
                    path.chunks * kLanes, "), got ", input.sizes());
  TORCH_CHECK_VALUE(outputs[2 * path.output] == path.rows_out && path.output_chunk >= 0 &&
                        (path.output_chunk + path.chunks) * kLanes <= outputs[2 * path.output + 1],
                    "outputs: a path does not fit into output ", path.output);
  TORCH_CHECK_VALUE(path.table_chunk >= 0 && path.table_chunk + path.chunks <= n_chunks,
                    "table: too small for a path");
  TORCH_CHECK_VALUE(path.entry >= 0 &&
                        path.entry + path.rows_in * path.rows_out <= couplings.size(1) &&
                        path.harmonic >= 0 && path.harmonic + path.n_harmonics <= couplings.size(0),
                    "couplings: too small for a path");
}

}  // namespace

Checked check(at::TensorList features, const Geometry& geometry, const Tensor& table,
              const Tensor& couplings, at::IntArrayRef paths, at::IntArrayRef outputs,
              at::ArrayRef<double> grid) {
  TORCH_CHECK_VALUE(grid.size() == kGridFields, "grid: expected ", kGridFields, " numbers, got ",
                    grid.size());
  TORCH_CHECK_VALUE(
      features.size() <= kMaxBlocks && outputs.size() <= 2 * kMaxBlocks && outputs.size() % 2 == 0,
      "features, outputs: expected at most ", kMaxBlocks, " of each");
  const Grid where{grid[0], grid[1], grid[2], grid[3], grid[4], grid[5], grid[6], grid[7]};
  Checked checked{geometry.rows.size(0) - 1,
                  static_cast<int64_t>(where.inner_rows + where.outer_rows), 0, paths_of(paths),
                  where};
  int64_t n_chunks = 0;
  for (const Path& path : checked.paths) n_chunks += path.chunks;
  const int64_t values = checked.n_rows * n_chunks * kLanes;
  checked.n_coefficients = values > 0 ? table.numel() / values : 6;
  TORCH_CHECK_VALUE((checked.n_coefficients == 6 || checked.n_coefficients == 8) &&
                        checked.n_coefficients * values == table.numel(),
                    "table: expected polynomials with 6 or 8 coefficients, got ", table.numel(),
                    " numbers for ", values, " weights");
  const int64_t n_edges = geometry.distances.size(0);
  TORCH_CHECK_VALUE(geometry.harmonics.dim() == 2 && geometry.harmonics.size(0) == n_edges &&
                        geometry.harmonics.size(1) == couplings.size(0),
                    "harmonics: expected (", n_edges, ", ", couplings.size(0), "), got ",
                    geometry.harmonics.sizes());
  for (const Tensor& tensor : {geometry.centers, geometry.neighbors, geometry.by_neighbor}) {
    TORCH_CHECK_VALUE(
        tensor.scalar_type() == at::kLong && tensor.dim() == 1 && tensor.size(0) == n_edges,
        "centers, neighbors, by_neighbor: expected int64 of ", n_edges, " pairs, got ",
        tensor.scalar_type(), " ", tensor.sizes());
    TORCH_CHECK_VALUE(tensor.device() == table.device(),
                      "centers, neighbors, by_neighbor: expected them on ", table.device(),
                      " with the table, got ", tensor.device());
  }
  for (const Tensor& tensor : {geometry.rows, geometry.neighbor_rows}) {
    TORCH_CHECK_VALUE(tensor.scalar_type() == at::kLong && tensor.dim() == 1 &&
                          tensor.size(0) == checked.n_atoms + 1,
                      "rows, neighbor_rows: expected int64 of ", checked.n_atoms + 1,
                      " values, got ", tensor.scalar_type(), " ", tensor.sizes());
    TORCH_CHECK_VALUE(tensor.device() == table.device(), "rows, neighbor_rows: expected them on ",
                      table.device(), " with the table, got ", tensor.device());
  }
  std::vector<Tensor> numbers{geometry.distances, geometry.harmonics, couplings};
  for (const Tensor& feature : features) {
    TORCH_CHECK_VALUE(feature.dim() == 3 && feature.size(0) == checked.n_atoms,
                      "features: expected (", checked.n_atoms, ", 2l+1, channels), got ",
                      feature.sizes());
    numbers.push_back(feature);
  }
  for (const Tensor& tensor : numbers) {
    TORCH_CHECK_VALUE(
        tensor.scalar_type() == table.scalar_type() && tensor.device() == table.device(),
        "equivariant_convolution: expected all numbers as the table, ", table.scalar_type(), " on ",
        table.device(), ", got ", tensor.scalar_type(), " on ", tensor.device());
  }
  for (const Path& path : checked.paths) check_path(path, features, outputs, n_chunks, couplings);
  return checked;
}

}  // namespace openmm_pqeq
