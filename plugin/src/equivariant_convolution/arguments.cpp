// Arguments of equivariant_convolution: from the schema's list to what kernels take.
#include "equivariant_convolution/arguments.h"

#include <torch/library.h>

namespace openmm_pqeq {
namespace {

constexpr int kGridFields = 8;

std::vector<Path> paths_of(const std::vector<int64_t>& numbers) {
  TORCH_CHECK_VALUE(numbers.size() % kPathFields == 0, "paths: expected ", kPathFields,
                    " integers per path, got ", numbers.size());
  std::vector<Path> paths;
  for (size_t first = 0; first < numbers.size(); first += kPathFields) {
    const auto at = [&](size_t field) { return static_cast<int>(numbers[first + field]); };
    paths.push_back({at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8), at(9)});
  }
  return paths;
}

std::vector<Output> outputs_of(const std::vector<int64_t>& numbers) {
  TORCH_CHECK_VALUE(numbers.size() <= 2 * kMaxBlocks && numbers.size() % 2 == 0,
                    "outputs: expected two integers for each of at most ", kMaxBlocks, ", got ",
                    numbers.size());
  std::vector<Output> outputs;
  for (size_t k = 0; k < numbers.size(); k += 2) outputs.push_back({numbers[k], numbers[k + 1]});
  return outputs;
}

Grid grid_of(const std::vector<double>& numbers) {
  TORCH_CHECK_VALUE(numbers.size() == kGridFields, "grid: expected ", kGridFields, " numbers, got ",
                    numbers.size());
  return {numbers[0], numbers[1], numbers[2], numbers[3],
          numbers[4], numbers[5], numbers[6], numbers[7]};
}

int64_t chunks_of(const std::vector<Path>& paths) {
  int64_t n_chunks = 0;
  for (const Path& path : paths) n_chunks += path.chunks;
  return n_chunks;
}

void check_path(const Path& path, const ConvolutionArguments& given, const Plan& plan) {
  const int64_t n_inputs = static_cast<int64_t>(given.features.size());
  const int64_t n_outputs = static_cast<int64_t>(plan.outputs.size());
  TORCH_CHECK_VALUE(
      path.input >= 0 && path.input < n_inputs && path.output >= 0 && path.output < n_outputs,
      "paths: a path from input ", path.input, " to output ", path.output, ", but there are ",
      n_inputs, " and ", n_outputs);
  const Tensor& input = given.features[path.input];
  TORCH_CHECK_VALUE(input.size(1) == path.rows_in && input.size(2) == path.chunks * kLanes,
                    "features: input ", path.input, " must be (n_atoms, ", path.rows_in, ", ",
                    path.chunks * kLanes, "), got ", input.sizes());
  const Output& output = plan.outputs[path.output];
  TORCH_CHECK_VALUE(output.rows == path.rows_out && path.output_chunk >= 0 &&
                        (path.output_chunk + path.chunks) * kLanes <= output.channels,
                    "outputs: a path does not fit into output ", path.output);
  TORCH_CHECK_VALUE(
      path.table_chunk >= 0 && path.table_chunk + path.chunks <= chunks_of(plan.paths),
      "table: too small for a path");
  const Tensor& couplings = given.couplings;
  TORCH_CHECK_VALUE(path.entry >= 0 &&
                        path.entry + path.rows_in * path.rows_out <= couplings.size(1) &&
                        path.harmonic >= 0 && path.harmonic + path.n_harmonics <= couplings.size(0),
                    "couplings: too small for a path");
}

void check_pairs(const ConvolutionArguments& given, const Plan& plan) {
  const int64_t n_pairs = given.distances.size(0), n_harmonics = given.couplings.size(0);
  const at::Device device = given.table.device();
  check(shaped(given.harmonics, {n_pairs, n_harmonics}), "harmonics", given.harmonics, "(", n_pairs,
        ", ", n_harmonics, ")");
  for (const Tensor& index : {given.centers, given.neighbors, given.by_neighbor}) {
    check_tensor("centers, neighbors, by_neighbor", index, at::kLong, {n_pairs}, device);
  }
  for (const Tensor& begin : {given.rows, given.neighbor_rows}) {
    check_tensor("rows, neighbor_rows", begin, at::kLong, {plan.n_atoms + 1}, device);
  }
}

void check_numbers(const ConvolutionArguments& given, const Plan& plan) {
  std::vector<Tensor> numbers{given.distances, given.harmonics, given.couplings};
  for (const Tensor& feature : given.features) {
    check(feature.dim() == 3 && feature.size(0) == plan.n_atoms, "features", feature, "(",
          plan.n_atoms, ", 2l+1, channels)");
    numbers.push_back(feature);
  }
  const auto dtype = given.table.scalar_type();
  const at::Device device = given.table.device();
  for (const Tensor& tensor : numbers) {
    check(tensor.scalar_type() == dtype && tensor.device() == device, "equivariant_convolution",
          tensor, "all numbers as the table, ", name_of(dtype), " on ", device);
  }
}

}  // namespace

ConvolutionArguments ConvolutionArguments::contiguous() const {
  ConvolutionArguments made = *this;
  for (Tensor& feature : made.features) feature = feature.contiguous();
  for (Tensor* tensor :
       {&made.distances, &made.harmonics, &made.rows, &made.centers, &made.neighbors,
        &made.neighbor_rows, &made.by_neighbor, &made.table, &made.couplings}) {
    *tensor = tensor->contiguous();
  }
  return made;
}

Plan checked(const ConvolutionArguments& given) {
  TORCH_CHECK_VALUE(given.features.size() <= kMaxBlocks, "features: expected at most ", kMaxBlocks,
                    ", got ", given.features.size());
  const Grid grid = grid_of(given.grid);
  Plan plan{given.rows.size(0) - 1,
            static_cast<int64_t>(grid.inner_rows + grid.outer_rows),
            0,
            paths_of(given.paths),
            outputs_of(given.outputs),
            grid};
  const int64_t weights = plan.n_rows * chunks_of(plan.paths) * kLanes;
  const int64_t n_numbers = given.table.numel();
  plan.n_coefficients = weights > 0 ? n_numbers / weights : 6;
  TORCH_CHECK_VALUE((plan.n_coefficients == 6 || plan.n_coefficients == 8) &&
                        plan.n_coefficients * weights == n_numbers,
                    "table: expected polynomials with 6 or 8 coefficients, got ", n_numbers,
                    " numbers for ", weights, " weights");
  check_pairs(given, plan);
  check_numbers(given, plan);
  for (const Path& path : plan.paths) check_path(path, given, plan);
  return plan;
}

Messages call_convolution(const ConvolutionArguments& of) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("openmm_pqeq::equivariant_convolution", "")
                             .typed<decltype(convolution<nullptr>)>();
  return op.call(of.features, of.distances, of.harmonics, of.rows, of.centers, of.neighbors,
                 of.neighbor_rows, of.by_neighbor, of.table, of.couplings, of.paths, of.outputs,
                 of.grid);
}

Gradients call_convolution_backward(at::TensorList gradients, const ConvolutionArguments& of,
                                    bool with_features) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("openmm_pqeq::equivariant_convolution_backward", "")
                             .typed<decltype(convolution_backward<nullptr>)>();
  return op.call(gradients, of.features, of.distances, of.harmonics, of.rows, of.centers,
                 of.neighbors, of.neighbor_rows, of.by_neighbor, of.table, of.couplings, of.paths,
                 of.outputs, of.grid, with_features);
}

}  // namespace openmm_pqeq
