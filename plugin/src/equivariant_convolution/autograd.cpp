// Derivatives of equivariant_convolution, and its kernels in torch's own operations for devices
// without a kernel file. The formulae are in equivariant_convolution/work.h.
#include "equivariant_convolution/arguments.h"
#include "once_differentiable.h"

#include <torch/library.h>

namespace openmm_pqeq {
namespace {

using at::indexing::Slice;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// ---- any device: path by path, a block of pairs at a time, so that memory does not grow with
// their number

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

Block block_of(const Geometry& of, const Tensor& couplings, const Grid& grid, int64_t begin,
               int64_t end) {
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
          of.harmonics.index({pairs}).matmul(couplings)};
}

Weights weights_of(const Block& block, const Tensor& table, const Path& path, int64_t n_rows,
                   int64_t n_coefficients) {
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

Tensor matrix_of(const Block& block, const Path& path) {
  const Slice entries(path.entry, path.entry + path.rows_in * path.rows_out);
  return block.matrices.index({Slice(), entries}).reshape({-1, path.rows_in, path.rows_out});
}

Slice channels_of(const Path& path) {
  return Slice(path.output_chunk * kLanes, (path.output_chunk + path.chunks) * kLanes);
}

std::vector<Tensor> convolution_any_device(at::TensorList features, const Tensor& distances,
                                           const Tensor& harmonics, const Tensor& rows,
                                           const Tensor& centers, const Tensor& neighbors,
                                           const Tensor& neighbor_rows, const Tensor& by_neighbor,
                                           const Tensor& table, const Tensor& couplings,
                                           at::IntArrayRef paths, at::IntArrayRef outputs,
                                           at::ArrayRef<double> grid) {
  const Geometry geometry{distances, harmonics,     rows,       centers,
                          neighbors, neighbor_rows, by_neighbor};
  const Checked checked = check(features, geometry, table, couplings, paths, outputs, grid);
  std::vector<Tensor> messages;
  for (size_t k = 0; k + 1 < outputs.size(); k += 2) {
    messages.push_back(at::zeros({checked.n_atoms, outputs[k], outputs[k + 1]}, table.options()));
  }
  for (int64_t begin = 0; begin < distances.size(0); begin += kPairs) {
    const Block block = block_of(geometry, couplings, checked.grid, begin,
                                 std::min(begin + kPairs, distances.size(0)));
    for (const Path& path : checked.paths) {
      const Weights weights =
          weights_of(block, table, path, checked.n_rows, checked.n_coefficients);
      const Tensor weighted = features[path.input].index_select(0, block.neighbors) * weights.value;
      const Tensor message = at::bmm(matrix_of(block, path).transpose(1, 2), weighted);
      messages[path.output]
          .index({Slice(), Slice(), channels_of(path)})
          .index_add_(0, block.centers, message);
    }
  }
  return messages;
}

std::tuple<std::vector<Tensor>, Tensor, Tensor> convolution_backward_any_device(
    at::TensorList gradients, at::TensorList features, const Tensor& distances,
    const Tensor& harmonics, const Tensor& rows, const Tensor& centers, const Tensor& neighbors,
    const Tensor& neighbor_rows, const Tensor& by_neighbor, const Tensor& table,
    const Tensor& couplings, at::IntArrayRef paths, at::IntArrayRef outputs,
    at::ArrayRef<double> grid, bool with_features) {
  const Geometry geometry{distances, harmonics,     rows,       centers,
                          neighbors, neighbor_rows, by_neighbor};
  const Checked checked = check(features, geometry, table, couplings, paths, outputs, grid);
  std::vector<Tensor> feature_gradients;
  for (const Tensor& feature : features) {
    if (with_features) feature_gradients.push_back(at::zeros_like(feature));
  }
  Tensor distance_gradient = at::zeros_like(distances),
         harmonic_gradient = at::zeros_like(harmonics);
  for (int64_t begin = 0; begin < distances.size(0); begin += kPairs) {
    const int64_t end = std::min(begin + kPairs, distances.size(0));
    const Block block = block_of(geometry, couplings, checked.grid, begin, end);
    const Slice pairs(begin, end);
    for (const Path& path : checked.paths) {
      const Weights weights =
          weights_of(block, table, path, checked.n_rows, checked.n_coefficients);
      const Tensor x = features[path.input].index_select(0, block.neighbors);
      const Tensor g = gradients[path.output]
                           .index({Slice(), Slice(), channels_of(path)})
                           .index_select(0, block.centers);
      const Tensor t = at::bmm(matrix_of(block, path), g);
      if (with_features)
        feature_gradients[path.input].index_add_(0, block.neighbors, t * weights.value);
      distance_gradient.index({pairs}).add_((x * t * weights.slope).sum({1, 2}));
      const Tensor entries = at::bmm(x * weights.value, g.transpose(1, 2)).flatten(1);
      const Tensor own =
          couplings.index({Slice(), Slice(path.entry, path.entry + path.rows_in * path.rows_out)});
      harmonic_gradient.index({pairs}).add_(entries.matmul(own.t()));
    }
  }
  return {feature_gradients, distance_gradient, harmonic_gradient};
}

// ---- autograd

// Everything that has no derivative.
struct Constants {
  Tensor rows, centers, neighbors, neighbor_rows, by_neighbor, table, couplings;
  std::vector<int64_t> paths, outputs;
  std::vector<double> grid;
};

std::vector<Tensor> forward_of(at::TensorList features, const Tensor& distances,
                               const Tensor& harmonics, const Constants& of) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("openmm_pqeq::equivariant_convolution", "")
                             .typed<decltype(convolution_any_device)>();
  return op.call(features, distances, harmonics, of.rows, of.centers, of.neighbors,
                 of.neighbor_rows, of.by_neighbor, of.table, of.couplings, of.paths, of.outputs,
                 of.grid);
}

std::tuple<std::vector<Tensor>, Tensor, Tensor> backward_of(
    at::TensorList gradients, at::TensorList features, const Tensor& distances,
    const Tensor& harmonics, const Constants& of, bool with_features) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("openmm_pqeq::equivariant_convolution_backward", "")
                             .typed<decltype(convolution_backward_any_device)>();
  return op.call(gradients, features, distances, harmonics, of.rows, of.centers, of.neighbors,
                 of.neighbor_rows, of.by_neighbor, of.table, of.couplings, of.paths, of.outputs,
                 of.grid, with_features);
}

class EquivariantConvolution : public torch::autograd::Function<EquivariantConvolution> {
 public:
  // inputs: distances, harmonics, then the features
  static variable_list forward(AutogradContext* context, at::TensorList inputs,
                               const std::shared_ptr<Constants>& constants) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    variable_list saved = inputs.vec();
    const Constants& of = *constants;
    saved.insert(saved.end(), {of.rows, of.centers, of.neighbors, of.neighbor_rows, of.by_neighbor,
                               of.table, of.couplings});
    context->save_for_backward(saved);
    context->saved_data["paths"] = of.paths;
    context->saved_data["outputs"] = of.outputs;
    context->saved_data["grid"] = of.grid;
    return forward_of(inputs.slice(2), inputs[0], inputs[1], of);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const size_t n_inputs = saved.size() - 7;
    const Tensor* rest = saved.data() + n_inputs;
    const Constants of{rest[0],
                       rest[1],
                       rest[2],
                       rest[3],
                       rest[4],
                       rest[5],
                       rest[6],
                       context->saved_data["paths"].toIntVector(),
                       context->saved_data["outputs"].toIntVector(),
                       context->saved_data["grid"].toDoubleVector()};
    for (size_t k = 0; k < gradients.size(); ++k) {
      const int64_t n_atoms = of.rows.size(0) - 1;
      gradients[k] =
          gradients[k].defined()
              ? gradients[k].contiguous()
              : at::zeros({n_atoms, of.outputs[2 * k], of.outputs[2 * k + 1]}, of.table.options());
    }
    bool with_features = false;
    for (size_t k = 2; k < n_inputs; ++k)
      with_features = with_features || context->needs_input_grad(k);
    variable_list found(n_inputs);
    {
      at::AutoDispatchBelowADInplaceOrView below_autograd;
      const at::TensorList inputs(saved.data(), n_inputs);
      auto [features, distances, harmonics] =
          backward_of(gradients, inputs.slice(2), saved[0], saved[1], of, with_features);
      found[0] = distances;
      found[1] = harmonics;
      std::copy(features.begin(), features.end(), found.begin() + 2);
    }
    if (at::GradMode::is_enabled()) {
      variable_list depends_on(saved.begin(), saved.begin() + n_inputs);
      depends_on.insert(depends_on.end(), gradients.begin(), gradients.end());
      const size_t n_found = with_features ? n_inputs : 2;
      const variable_list plain(found.begin(), found.begin() + n_found);
      const variable_list refusing =
          once_differentiable("equivariant_convolution", depends_on, plain);
      std::copy(refusing.begin(), refusing.end(), found.begin());
    }
    found.push_back(Tensor());  // the constants
    return found;
  }
};

std::vector<Tensor> convolution_autograd(at::TensorList features, const Tensor& distances,
                                         const Tensor& harmonics, const Tensor& rows,
                                         const Tensor& centers, const Tensor& neighbors,
                                         const Tensor& neighbor_rows, const Tensor& by_neighbor,
                                         const Tensor& table, const Tensor& couplings,
                                         at::IntArrayRef paths, at::IntArrayRef outputs,
                                         at::ArrayRef<double> grid) {
  TORCH_CHECK(!table.requires_grad() && !couplings.requires_grad(),
              "equivariant_convolution: expected table and couplings without gradients, got ones "
              "that require them; train the"
              " potential from before compile_for_inference()");
  const auto constants = std::make_shared<Constants>(
      Constants{rows, centers, neighbors, neighbor_rows, by_neighbor, table, couplings, paths.vec(),
                outputs.vec(), grid.vec()});
  variable_list inputs{distances, harmonics};
  inputs.insert(inputs.end(), features.begin(), features.end());
  return EquivariantConvolution::apply(at::TensorList(inputs), constants);
}

}  // namespace
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, CompositeExplicitAutograd, library) {
  library.impl("equivariant_convolution", openmm_pqeq::convolution_any_device);
  library.impl("equivariant_convolution_backward", openmm_pqeq::convolution_backward_any_device);
}

TORCH_LIBRARY_IMPL(openmm_pqeq, Autograd, library) {
  library.impl("equivariant_convolution", openmm_pqeq::convolution_autograd);
}
