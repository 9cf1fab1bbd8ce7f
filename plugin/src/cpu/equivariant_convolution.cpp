// equivariant_convolution on the CPU: threads over atoms, and the kernels for the instruction set that the processor has.
#include "equivariant_convolution_kernel.h"

#include "../equivariant_convolution_arguments.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

namespace openmm_pqeq {
namespace {

// Atoms per task: the kernel works on blocks of several.
constexpr int64_t kGrain = 8;

template <typename T>
struct Kernels {
  void (*forward)(const Convolution<T>&, Index, Index);
  void (*backward)(const Convolution<T>&, Index, Index);
};

template <typename T>
Kernels<T> kernels() {
#if defined(PQEQ_X86_LEVELS)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw")) {
    return {x86_64_v4::forward<T>, x86_64_v4::backward<T>};
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return {x86_64_v3::forward<T>, x86_64_v3::backward<T>};
#endif
  return {any_cpu::forward<T>, any_cpu::backward<T>};
}

struct Contiguous {
  std::vector<Tensor> features;
  Tensor distances, harmonics, rows, centers, neighbors, neighbor_rows, by_neighbor, table, couplings;
  Geometry geometry() const { return {distances, harmonics, rows, centers, neighbors, neighbor_rows, by_neighbor}; }
};

std::vector<Tensor> contiguous(at::TensorList tensors) {
  std::vector<Tensor> made;
  for (const Tensor& tensor : tensors) made.push_back(tensor.contiguous());
  return made;
}

std::vector<Tensor> forward_cpu(
    at::TensorList features, const Tensor& distances, const Tensor& harmonics, const Tensor& rows, const Tensor& centers,
    const Tensor& neighbors, const Tensor& neighbor_rows, const Tensor& by_neighbor, const Tensor& table, const Tensor& couplings,
    at::IntArrayRef paths, at::IntArrayRef outputs, at::ArrayRef<double> grid) {
  const Checked checked =
      check(features, {distances, harmonics, rows, centers, neighbors, neighbor_rows, by_neighbor}, table, couplings, paths, outputs, grid);
  const Contiguous given{contiguous(features),    distances.contiguous(), harmonics.contiguous(),     rows.contiguous(),
                         centers.contiguous(),    neighbors.contiguous(), neighbor_rows.contiguous(), by_neighbor.contiguous(),
                         table.contiguous(),      couplings.contiguous()};
  std::vector<Tensor> messages;
  for (size_t k = 0; k + 1 < outputs.size(); k += 2) {
    messages.push_back(at::empty({checked.n_atoms, outputs[k], outputs[k + 1]}, table.options()));
  }
  AT_DISPATCH_FLOATING_TYPES(table.scalar_type(), "equivariant_convolution", [&] {
    auto work = convolution<scalar_t>(checked, given.features, given.geometry(), given.table, given.couplings, outputs);
    for (size_t k = 0; k < messages.size(); ++k) work.outputs[k] = messages[k].data_ptr<scalar_t>();
    const auto kernel = kernels<scalar_t>().forward;
    at::parallel_for(0, checked.n_atoms, kGrain, [&](int64_t begin, int64_t end) { kernel(work, begin, end); });
  });
  return messages;
}

std::tuple<std::vector<Tensor>, Tensor, Tensor> backward_cpu(
    at::TensorList gradients, at::TensorList features, const Tensor& distances, const Tensor& harmonics, const Tensor& rows,
    const Tensor& centers, const Tensor& neighbors, const Tensor& neighbor_rows, const Tensor& by_neighbor, const Tensor& table,
    const Tensor& couplings, at::IntArrayRef paths, at::IntArrayRef outputs, at::ArrayRef<double> grid, bool with_features) {
  const Checked checked =
      check(features, {distances, harmonics, rows, centers, neighbors, neighbor_rows, by_neighbor}, table, couplings, paths, outputs, grid);
  const Contiguous given{contiguous(features),    distances.contiguous(), harmonics.contiguous(),     rows.contiguous(),
                         centers.contiguous(),    neighbors.contiguous(), neighbor_rows.contiguous(), by_neighbor.contiguous(),
                         table.contiguous(),      couplings.contiguous()};
  const std::vector<Tensor> given_gradients = contiguous(gradients);
  TORCH_CHECK_VALUE(2 * gradients.size() == outputs.size(), "gradients: expected one per output");
  std::vector<Tensor> feature_gradients;
  for (const Tensor& feature : given.features) {
    if (with_features) feature_gradients.push_back(at::zeros_like(feature));
  }
  const Tensor distance_gradients = at::zeros_like(given.distances), harmonic_gradients = at::zeros_like(given.harmonics);
  AT_DISPATCH_FLOATING_TYPES(table.scalar_type(), "equivariant_convolution_backward", [&] {
    auto work = convolution<scalar_t>(checked, given.features, given.geometry(), given.table, given.couplings, outputs);
    for (size_t k = 0; k < given_gradients.size(); ++k) work.gradients[k] = given_gradients[k].const_data_ptr<scalar_t>();
    for (size_t k = 0; k < feature_gradients.size(); ++k) work.feature_gradients[k] = feature_gradients[k].data_ptr<scalar_t>();
    work.distance_gradients = distance_gradients.data_ptr<scalar_t>();
    work.harmonic_gradients = harmonic_gradients.data_ptr<scalar_t>();
    const auto kernel = kernels<scalar_t>().backward;
    at::parallel_for(0, checked.n_atoms, kGrain, [&](int64_t begin, int64_t end) { kernel(work, begin, end); });
  });
  return {feature_gradients, distance_gradients, harmonic_gradients};
}

}  // namespace
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, CPU, library) {
  library.impl("equivariant_convolution", openmm_pqeq::forward_cpu);
  library.impl("equivariant_convolution_backward", openmm_pqeq::backward_cpu);
}
