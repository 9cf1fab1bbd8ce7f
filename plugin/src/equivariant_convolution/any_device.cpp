// equivariant_convolution in torch's own operations, for devices without kernels of their own: path
// by path, a block of pairs at a time, so that memory does not grow with their number.
#include "equivariant_convolution/arguments.h"

#include <torch/library.h>

namespace openmm_pqeq {
namespace {

using at::indexing::Slice;

constexpr int64_t kPairs = 16384;

// Interval of the table and place in it, for distances (n,); the derivative of the place with
// respect to the distance.
std::tuple<Tensor, Tensor, Tensor> locate(const Tensor& distances, const Grid& grid) {
  const Tensor r = distances.to(at::kDouble);
  const Tensor u = r / (r + grid.softening);
  const Tensor outside = u >= grid.onset;
  const auto either = [&](double outer, double inner) {
    return at::where(outside, at::full_like(r, outer), at::full_like(r, inner));
  };
  const Tensor scale = either(grid.outer_scale, grid.inner_scale);
  const Tensor place = at::where(outside, u - grid.onset, u - grid.first) * scale;
  const Tensor last = either(grid.outer_rows - 1.0, grid.inner_rows - 1.0);
  const Tensor interval = at::minimum(place.floor().clamp_min(0.0), last);
  const Tensor row = at::where(outside, interval + grid.inner_rows, interval).to(at::kLong);
  return {row, (place - interval).to(distances.scalar_type()),
          (scale * grid.softening / at::square(r + grid.softening)).to(distances.scalar_type())};
}

struct Weights {
  Tensor value, slope;  // (n_pairs, 1, channels)
};

// What the pairs of a block have in common for all paths.
struct Block {
  Tensor centers, neighbors, row, t, t_slope, inside, matrices;
};

Block block_of(const ConvolutionArguments& of, const Grid& grid, int64_t begin, int64_t end) {
  const Slice pairs(begin, end);
  const Tensor distances = of.distances.index({pairs});
  const auto [row, t, t_slope] = locate(distances, grid);
  const Tensor inside = (distances < grid.cutoff).to(distances.scalar_type());
  return {of.centers.index({pairs}),
          of.neighbors.index({pairs}),
          row,
          t,
          t_slope,
          inside,
          of.harmonics.index({pairs}).matmul(of.couplings)};
}

Weights weights_of(const Block& block, const Tensor& table, const Path& path, const Plan& plan) {
  const int64_t n_rows = plan.n_rows, n_coefficients = plan.n_coefficients;
  const int64_t begin = path.table_chunk * n_rows * n_coefficients * kLanes;
  const int64_t size = n_rows * path.chunks * n_coefficients * kLanes;
  const Tensor own =
      table.index({Slice(begin, begin + size)}).view({n_rows, path.chunks, n_coefficients, kLanes});
  const Tensor c = own.index_select(0, block.row);
  const Tensor t = block.t.view({-1, 1, 1});
  Tensor value = c.select(2, n_coefficients - 1);
  Tensor slope = at::zeros_like(value);
  for (int64_t k = n_coefficients - 2; k >= 0; --k) {
    slope = slope * t + value;
    value = value * t + c.select(2, k);
  }
  const Tensor inside = block.inside.view({-1, 1, 1});
  return {(value * inside).flatten(1).unsqueeze(1),
          (slope * inside * block.t_slope.view({-1, 1, 1})).flatten(1).unsqueeze(1)};
}

Slice entries_of(const Path& path) {
  return Slice(path.entry, path.entry + path.rows_in * path.rows_out);
}

Tensor matrix_of(const Block& block, const Path& path) {
  const Tensor entries = block.matrices.index({Slice(), entries_of(path)});
  return entries.reshape({-1, path.rows_in, path.rows_out});
}

Slice channels_of(const Path& path) {
  return Slice(path.output_chunk * kLanes, (path.output_chunk + path.chunks) * kLanes);
}

Messages convolution_any_device(const ConvolutionArguments& given) {
  const Plan plan = checked(given);
  const int64_t n_pairs = given.distances.size(0);
  Messages messages;
  for (const Output& output : plan.outputs) {
    messages.push_back(
        at::zeros({plan.n_atoms, output.rows, output.channels}, given.table.options()));
  }
  for (int64_t begin = 0; begin < n_pairs; begin += kPairs) {
    const Block block = block_of(given, plan.grid, begin, std::min(begin + kPairs, n_pairs));
    for (const Path& path : plan.paths) {
      const Weights weights = weights_of(block, given.table, path, plan);
      const Tensor x = given.features[path.input].index_select(0, block.neighbors);
      const Tensor message = at::bmm(matrix_of(block, path).transpose(1, 2), x * weights.value);
      messages[path.output]
          .index({Slice(), Slice(), channels_of(path)})
          .index_add_(0, block.centers, message);
    }
  }
  return messages;
}

Gradients convolution_backward_any_device(at::TensorList gradients,
                                          const ConvolutionArguments& given, bool with_features) {
  const Plan plan = checked(given);
  const int64_t n_pairs = given.distances.size(0);
  std::vector<Tensor> feature_gradients;
  for (const Tensor& feature : given.features) {
    if (with_features) feature_gradients.push_back(at::zeros_like(feature));
  }
  Tensor distance_gradient = at::zeros_like(given.distances);
  Tensor harmonic_gradient = at::zeros_like(given.harmonics);
  for (int64_t begin = 0; begin < n_pairs; begin += kPairs) {
    const Slice pairs(begin, std::min(begin + kPairs, n_pairs));
    const Block block = block_of(given, plan.grid, begin, std::min(begin + kPairs, n_pairs));
    for (const Path& path : plan.paths) {
      const Weights weights = weights_of(block, given.table, path, plan);
      const Tensor x = given.features[path.input].index_select(0, block.neighbors);
      const Tensor g = gradients[path.output]
                           .index({Slice(), Slice(), channels_of(path)})
                           .index_select(0, block.centers);
      const Tensor t = at::bmm(matrix_of(block, path), g);
      if (with_features) {
        feature_gradients[path.input].index_add_(0, block.neighbors, t * weights.value);
      }
      distance_gradient.index({pairs}).add_((x * t * weights.slope).sum({1, 2}));
      const Tensor entries = at::bmm(x * weights.value, g.transpose(1, 2)).flatten(1);
      const Tensor couplings = given.couplings.index({Slice(), entries_of(path)});
      harmonic_gradient.index({pairs}).add_(entries.matmul(couplings.t()));
    }
  }
  return {feature_gradients, distance_gradient, harmonic_gradient};
}

}  // namespace
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, CompositeExplicitAutograd, library) {
  using namespace openmm_pqeq;
  library.impl("equivariant_convolution", convolution<convolution_any_device>);
  library.impl("equivariant_convolution_backward",
               convolution_backward<convolution_backward_any_device>);
}
