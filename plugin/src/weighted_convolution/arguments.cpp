// Arguments of weighted_convolution: from the schema's list to what kernels take.
#include "weighted_convolution/arguments.h"

#include <torch/library.h>

namespace openmm_pqeq {
namespace weighted {
namespace {

std::vector<Path> paths_of(const std::vector<int64_t>& numbers) {
  TORCH_CHECK_VALUE(numbers.size() % kWeightedPathFields == 0, "paths: expected ",
                    kWeightedPathFields, " integers per path, got ", numbers.size());
  std::vector<Path> paths;
  for (size_t first = 0; first < numbers.size(); first += kWeightedPathFields) {
    const auto at = [&](size_t field) { return static_cast<int>(numbers[first + field]); };
    paths.push_back({at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8)});
  }
  return paths;
}

void check_path(const Path& path, const Arguments& given) {
  const int64_t n_inputs = static_cast<int64_t>(given.features.size());
  const int64_t n_outputs = static_cast<int64_t>(given.n_outputs());
  TORCH_CHECK_VALUE(
      path.input >= 0 && path.input < n_inputs && path.output >= 0 && path.output < n_outputs,
      "paths: a path from input ", path.input, " to output ", path.output, ", but there are ",
      n_inputs, " and ", n_outputs);
  TORCH_CHECK_VALUE(path.rows_in >= 1 && path.rows_in <= kMaxRows && path.rows_out >= 1 &&
                        path.rows_out <= kMaxRows,
                    "paths: expected 1 to ", kMaxRows, " rows, got ", path.rows_in, " and ",
                    path.rows_out);
  const Tensor& input = given.features[path.input];
  check(shaped(input, {given.n_atoms(), path.rows_in, path.channels}), "features", input, "(",
        given.n_atoms(), ", ", path.rows_in, ", ", path.channels, ")");
  const int64_t rows_out = given.outputs[2 * path.output];
  const int64_t channels_out = given.outputs[2 * path.output + 1];
  TORCH_CHECK_VALUE(rows_out == path.rows_out && path.output_channel >= 0 &&
                        path.output_channel + path.channels <= channels_out,
                    "outputs: a path does not fit into output ", path.output);
  TORCH_CHECK_VALUE(path.weight >= 0 && path.weight + path.channels <= given.weights.size(1),
                    "weights: too few columns for a path");
  const bool number = path.n_entries == 1 && path.rows_in == path.rows_out;
  TORCH_CHECK_VALUE((number || path.n_entries == path.rows_in * path.rows_out) && path.entry >= 0 &&
                        path.entry + path.n_entries <= given.matrices.size(1),
                    "matrices: the columns of a path do not fit");
}

void check_pairs(const Arguments& given) {
  const int64_t n_pairs = given.neighbors.size(0);
  check_tensor("neighbors", given.neighbors, at::kLong, {n_pairs});

  check_tensor("rows", given.rows, at::kLong, {given.n_atoms() + 1});

  for (const Tensor& numbers : {given.weights, given.matrices}) {
    check(numbers.dim() == 2 && numbers.size(0) == n_pairs, "weights, matrices", numbers, "(",
          n_pairs, ", columns)");
  }
}

// As `like` in shape, dtype and device.
void check_alike(const char* name, const Tensor& tensor, const Tensor& like) {
  check_tensor(name, tensor, like.scalar_type(), like.sizes(), like.device());
}

// Every column belongs to a path: what no path writes would be left as it was.
void check_whole(const std::vector<Path>& paths, const Arguments& given) {
  int64_t weights = 0;
  std::vector<int64_t> channels(given.n_outputs(), 0);
  for (const Path& path : paths) {
    weights += path.channels;
    channels[path.output] += path.channels;
  }
  bool whole = weights == given.weights.size(1);
  for (size_t k = 0; k < channels.size(); ++k) {
    whole = whole && channels[k] == given.outputs[2 * k + 1];
  }
  TORCH_CHECK_VALUE(whole, "paths: expected each weight and each channel of the outputs in one");
}

}  // namespace

Arguments Arguments::contiguous() const {
  Arguments made = *this;
  for (Tensor& feature : made.features) feature = feature.contiguous();
  for (Tensor* tensor : {&made.weights, &made.matrices, &made.rows, &made.neighbors}) {
    *tensor = tensor->contiguous();
  }
  return made;
}

Arguments Arguments::of(Tensors other_features, Tensor other_weights, Tensor other_matrices) const {
  Arguments made = *this;
  made.features = std::move(other_features);
  made.weights = std::move(other_weights);
  made.matrices = std::move(other_matrices);
  return made;
}

Tensors Arguments::empty_outputs() const {
  Tensors made;
  for (size_t k = 0; k < n_outputs(); ++k) {
    made.push_back(at::empty({n_atoms(), outputs[2 * k], outputs[2 * k + 1]}, weights.options()));
  }
  return made;
}

Tensor Arguments::zero_output(size_t k) const {
  return at::zeros({n_atoms(), outputs[2 * k], outputs[2 * k + 1]}, weights.options());
}

std::vector<Path> checked(const Arguments& given) {
  TORCH_CHECK_VALUE(given.features.size() <= kMaxBlocks, "features: expected at most ", kMaxBlocks,
                    ", got ", given.features.size());
  TORCH_CHECK_VALUE(given.n_outputs() <= kMaxBlocks && given.outputs.size() % 2 == 0,
                    "outputs: expected two integers for each of at most ", kMaxBlocks, ", got ",
                    given.outputs.size());
  TORCH_CHECK_VALUE(given.rows.dim() == 1 && given.rows.size(0) >= 1,
                    "rows: expected (n_atoms + 1,), got ", given.rows.sizes());
  TORCH_CHECK_VALUE(given.neighbors.dim() == 1, "neighbors: expected (n_pairs,), got ",
                    given.neighbors.sizes());
  check_pairs(given);
  Tensors numbers{given.weights, given.matrices};
  numbers.insert(numbers.end(), given.features.begin(), given.features.end());
  for (const Tensor& tensor : numbers) {
    check(floating(tensor) && tensor.scalar_type() == given.weights.scalar_type(),
          "weighted_convolution", tensor, "all numbers as the weights, float32 or float64");
  }
  const std::vector<Path> paths = paths_of(given.paths);
  for (const Path& path : paths) check_path(path, given);
  check_whole(paths, given);
  return paths;
}

void check_gradients(at::TensorList gradients, const Arguments& given) {
  TORCH_CHECK_VALUE(gradients.size() == given.n_outputs(),
                    "gradients: expected one for each of the ", given.n_outputs(), " outputs, got ",
                    gradients.size());
  for (size_t k = 0; k < gradients.size(); ++k) {
    check_tensor("gradients", gradients[k], given.weights.scalar_type(),
                 {given.n_atoms(), given.outputs[2 * k], given.outputs[2 * k + 1]});
  }
}

void check_tangents(const Tangents& tangents, const Arguments& given) {
  TORCH_CHECK_VALUE(tangents.features.size() == given.features.size(),
                    "feature_tangents: expected one for each of the ", given.features.size(),
                    " features, got ", tangents.features.size());
  for (size_t k = 0; k < given.features.size(); ++k) {
    check_alike("feature_tangents", tangents.features[k], given.features[k]);
  }
  check_alike("weight_tangents", tangents.weights, given.weights);
  check_alike("matrix_tangents", tangents.matrices, given.matrices);
}

Tensors call_convolution(const Arguments& of) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("openmm_pqeq::weighted_convolution", "")
                             .typed<decltype(convolution<nullptr>)>();
  return op.call(of.features, of.weights, of.matrices, of.rows, of.neighbors, of.paths, of.outputs);
}

Gradients call_backward(at::TensorList gradients, const Arguments& of, bool with_features,
                        bool with_matrices) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("openmm_pqeq::weighted_convolution_backward", "")
                             .typed<decltype(convolution_backward<nullptr>)>();
  return op.call(gradients, of.features, of.weights, of.matrices, of.rows, of.neighbors, of.paths,
                 of.outputs, with_features, with_matrices);
}

SecondGradients call_double_backward(at::TensorList gradients, const Arguments& of,
                                     const Tangents& tangents, bool with_features,
                                     bool with_matrices) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("openmm_pqeq::weighted_convolution_double_backward", "")
          .typed<decltype(convolution_double_backward<nullptr>)>();
  return op.call(gradients, of.features, of.weights, of.matrices, of.rows, of.neighbors, of.paths,
                 of.outputs, tangents.features, tangents.weights, tangents.matrices, with_features,
                 with_matrices);
}

}  // namespace weighted
}  // namespace openmm_pqeq
