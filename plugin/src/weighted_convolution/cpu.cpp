// weighted_convolution and its gradients on the CPU: threads over atoms, and the kernels for the
// instruction set that the processor has.
#include "instruction_sets.h"
#include "weighted_convolution/cpu_kernel.h"

#include "parallel.h"
#include "weighted_convolution/arguments.h"

#include <ATen/Dispatch.h>
#include <torch/library.h>

namespace openmm_pqeq {
namespace weighted {
namespace {

constexpr int64_t kGrain = 4;  // atoms per task
constexpr int64_t kParts = 8;  // of all atoms, whatever the number of threads: sums have one order

template <typename T>
using Kernel = void (*)(const Convolution<T>&, Index, Index);

template <typename T>
Kernel<T> kernel() {
#if defined(PQEQ_X86_LEVELS)
  if (has_x86_64_v4()) return x86_64_v4::convolve<T>;
  if (has_x86_64_v3()) return x86_64_v3::convolve<T>;
#endif
  return any_cpu::convolve<T>;
}

Tensors contiguous(at::TensorList tensors) {
  Tensors made;
  for (const Tensor& tensor : tensors) made.push_back(tensor.contiguous());
  return made;
}

const Index* index(const Tensor& tensor) {
  return reinterpret_cast<const Index*>(tensor.const_data_ptr<int64_t>());
}

// Everything but what is written; all tensors contiguous.
template <typename T>
Convolution<T> work_of(const Arguments& given, const std::vector<Path>& paths) {
  Convolution<T> made{};
  made.paths = paths.data();
  made.n_paths = static_cast<int>(paths.size());
  made.n_weights = static_cast<int>(given.weights.size(1));
  made.n_entries = static_cast<int>(given.matrices.size(1));
  made.rows = index(given.rows);
  made.neighbors = index(given.neighbors);
  for (size_t k = 0; k < given.features.size(); ++k) {
    made.features[k].value = given.features[k].const_data_ptr<T>();
    made.widths_in[k] = static_cast<int>(given.features[k].size(2));
  }
  for (size_t k = 0; k < given.n_outputs(); ++k) {
    made.widths_out[k] = static_cast<int>(given.outputs[2 * k + 1]);
  }
  made.weights.value = given.weights.const_data_ptr<T>();
  made.matrices.value = given.matrices.const_data_ptr<T>();
  return made;
}

template <typename T>
void add_tangents(Convolution<T>& work, const Tangents& tangents) {
  for (size_t k = 0; k < tangents.features.size(); ++k) {
    work.features[k].tangent = tangents.features[k].const_data_ptr<T>();
  }
  work.weights.tangent = tangents.weights.const_data_ptr<T>();
  work.matrices.tangent = tangents.matrices.const_data_ptr<T>();
}

template <typename T>
void write_outputs(Convolution<T>& work, const Tensors& outputs) {
  for (size_t k = 0; k < outputs.size(); ++k) work.outputs[k] = outputs[k].data_ptr<T>();
}

// Derivatives by each part of the atoms: those in the features are (kParts, n_atoms, 2l+1,
// channels). Sums over channels start at zero.
Gradients gradients_in_parts(const Arguments& given, bool with_features, bool with_matrices) {
  Tensors features;
  for (const Tensor& feature : given.features) {
    if (!with_features) continue;
    std::vector<int64_t> sizes = feature.sizes().vec();
    sizes.insert(sizes.begin(), kParts);
    features.push_back(at::zeros(sizes, feature.options()));
  }
  return {
      features, at::empty_like(given.weights),
      with_matrices ? at::zeros_like(given.matrices) : at::empty({0}, given.matrices.options())};
}

Gradients summed(const Gradients& parts) {
  auto [features, weights, matrices] = parts;
  for (Tensor& feature : features) feature = feature.sum(0);
  return {features, weights, matrices};
}

template <typename T>
void run_part(Convolution<T> work, const Gradients& to, int64_t part, int64_t n_atoms) {
  const auto& [features, weights, matrices] = to;
  for (size_t k = 0; k < features.size(); ++k) {
    work.feature_gradients[k] = features[k].data_ptr<T>() + part * features[k].stride(0);
  }
  work.weight_gradients = weights.data_ptr<T>();
  work.matrix_gradients = matrices.dim() == 2 ? matrices.data_ptr<T>() : nullptr;
  kernel<T>()(work, n_atoms * part / kParts, n_atoms * (part + 1) / kParts);
}

template <typename T>
void run_in_parts(Convolution<T>& work, const Tensors& gradients, const Gradients& to,
                  int64_t n_atoms) {
  for (size_t k = 0; k < gradients.size(); ++k) {
    work.gradients[k] = gradients[k].const_data_ptr<T>();
  }
  parallel_for(0, kParts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) run_part(work, to, part, n_atoms);
  });
}

Tensors forward_on_cpu(const Arguments& arguments) {
  const std::vector<Path> paths = checked(arguments);
  const Arguments given = arguments.contiguous();
  const Tensors outputs = given.empty_outputs();
  AT_DISPATCH_FLOATING_TYPES(given.weights.scalar_type(), "weighted_convolution", [&] {
    auto work = work_of<scalar_t>(given, paths);
    write_outputs(work, outputs);
    parallel_for(0, given.n_atoms(), kGrain,
                 [&](int64_t begin, int64_t end) { kernel<scalar_t>()(work, begin, end); });
  });
  return outputs;
}

Gradients backward_on_cpu(at::TensorList output_gradients, const Arguments& arguments,
                          bool with_features, bool with_matrices) {
  const std::vector<Path> paths = checked(arguments);
  check_gradients(output_gradients, arguments);
  const Arguments given = arguments.contiguous();
  const Tensors gradients = contiguous(output_gradients);
  const Gradients made = gradients_in_parts(given, with_features, with_matrices);
  AT_DISPATCH_FLOATING_TYPES(given.weights.scalar_type(), "weighted_convolution_backward", [&] {
    auto work = work_of<scalar_t>(given, paths);
    run_in_parts(work, gradients, made, given.n_atoms());
  });
  return summed(made);
}

SecondGradients double_backward_on_cpu(at::TensorList output_gradients, const Arguments& arguments,
                                       const Tangents& changes, bool with_features,
                                       bool with_matrices) {
  const std::vector<Path> paths = checked(arguments);
  check_gradients(output_gradients, arguments);
  check_tangents(changes, arguments);
  const Arguments given = arguments.contiguous();
  const Tensors gradients = contiguous(output_gradients);
  const Tangents tangents{contiguous(changes.features), changes.weights.contiguous(),
                          changes.matrices.contiguous()};
  const Tensors outputs = given.empty_outputs();
  const Gradients made = gradients_in_parts(given, with_features, with_matrices);
  AT_DISPATCH_FLOATING_TYPES(given.weights.scalar_type(), "weighted_convolution_double_backward",
                             [&] {
                               auto work = work_of<scalar_t>(given, paths);
                               add_tangents(work, tangents);
                               write_outputs(work, outputs);
                               run_in_parts(work, gradients, made, given.n_atoms());
                             });
  const auto [features, weights, matrices] = summed(made);
  return {outputs, features, weights, matrices};
}

}  // namespace
}  // namespace weighted
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, CPU, library) {
  using namespace openmm_pqeq::weighted;
  library.impl("weighted_convolution", convolution<forward_on_cpu>);
  library.impl("weighted_convolution_backward", convolution_backward<backward_on_cpu>);
  library.impl("weighted_convolution_double_backward",
               convolution_double_backward<double_backward_on_cpu>);
}
