// mesh_put, mesh_read and mesh_read_bend on the CPU: threads over planes of the mesh where it is written, over points where it is read.
//
// Points are sorted by the plane that they lie in, so that every plane has its few points at hand. Nothing is added by two threads, and
// sums are always in the same order: results do not depend on the number of threads.
#include "instruction_sets.h"
#include "mesh_kernel.h"

#include "../mesh.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <cmath>

namespace openmm_pqeq {
namespace {

// Points per task: large enough that starting a thread does not show.
constexpr int64_t kGrain = 64;

template <typename T>
struct MeshKernels {
  void (*weigh)(const Put<T>&, int64_t, int64_t);
  void (*put)(const Put<T>&, int64_t, int64_t);
  void (*read)(const Read<T>&, int64_t, int64_t);
  void (*read_bend)(const Read<T>&, int64_t, int64_t);
};

template <typename T>
MeshKernels<T> mesh_kernels() {
#if defined(PQEQ_X86_LEVELS)
  if (has_x86_64_v4()) return {x86_64_v4::weigh<T>, x86_64_v4::put<T>, x86_64_v4::read<T>, x86_64_v4::read_bend<T>};
  if (has_x86_64_v3()) return {x86_64_v3::weigh<T>, x86_64_v3::put<T>, x86_64_v3::read<T>, x86_64_v3::read_bend<T>};
#endif
  return {any_cpu::weigh<T>, any_cpu::put<T>, any_cpu::read<T>, any_cpu::read_bend<T>};
}

Lattice lattice(at::IntArrayRef size, int64_t order) {
  return {{size[0], size[1], size[2]}, static_cast<int>(order)};
}

// Points in the order of the planes of all channels, and where each plane's begin.
template <typename T>
void sort_by_plane(const T* u, const int64_t* channel, int64_t n, int64_t n_x, std::vector<int64_t>& buckets, std::vector<int64_t>& sorted) {
  std::vector<int64_t> plane(n);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t rest = static_cast<int64_t>(std::floor(u[3 * i])) % n_x;
    plane[i] = channel[i] * n_x + (rest < 0 ? rest + n_x : rest);
    ++buckets[plane[i] + 1];
  }
  for (size_t k = 1; k < buckets.size(); ++k) buckets[k] += buckets[k - 1];
  std::vector<int64_t> next(buckets.begin(), buckets.end() - 1);
  for (int64_t i = 0; i < n; ++i) sorted[next[plane[i]]++] = i;
}

Tensor mesh_put_cpu(
    const Tensor& u_in, const Tensor& channel_in, const Tensor& values_in, const std::optional<Tensor>& moved_in, int64_t channels,
    at::IntArrayRef size, int64_t order) {
  check_points(u_in, channel_in, channels, size, order);
  const bool dipoles = moved_in.has_value();
  check_charges(u_in, values_in, moved_in);
  const Tensor u = u_in.contiguous(), channel = channel_in.contiguous(), values = values_in.contiguous();
  const Tensor moved = dipoles ? moved_in->contiguous() : Tensor();
  const int64_t n = u.size(0), n_planes = channels * size[0];
  const Tensor mesh = at::zeros({channels, size[0], size[1], size[2]}, u.options());
  const Tensor weights = at::empty({n, dipoles ? 6 : 3, order}, u.options());
  AT_DISPATCH_FLOATING_TYPES(u.scalar_type(), "mesh_put", [&] {
    std::vector<int64_t> buckets(n_planes + 1, 0), sorted(n), corners(2 * n);
    const scalar_t* const at_u = u.const_data_ptr<scalar_t>();
    sort_by_plane(at_u, channel.const_data_ptr<int64_t>(), n, size[0], buckets, sorted);
    const Put<scalar_t> work{lattice(size, order),
                             at_u,
                             values.const_data_ptr<scalar_t>(),
                             dipoles ? moved.const_data_ptr<scalar_t>() : nullptr,
                             sorted.data(),
                             buckets.data(),
                             weights.data_ptr<scalar_t>(),
                             corners.data(),
                             mesh.data_ptr<scalar_t>()};
    const auto kernels = mesh_kernels<scalar_t>();
    at::parallel_for(0, n, kGrain, [&](int64_t begin, int64_t end) { kernels.weigh(work, begin, end); });
    at::parallel_for(0, n_planes, 1, [&](int64_t begin, int64_t end) { kernels.put(work, begin, end); });
  });
  return mesh;
}

template <typename Kernel>
void read_with(const Tensor& field, const Tensor& u, const Tensor& channel, int64_t order, Tensor* values, Tensor* slopes, Tensor* bends, Kernel kernel) {
  check_field(field, u, channel, order);
  const Tensor all = field.contiguous(), at_u = u.contiguous(), at_channel = channel.contiguous();
  AT_DISPATCH_FLOATING_TYPES(u.scalar_type(), "mesh_read", [&] {
    const Read<scalar_t> work{lattice(field.sizes().slice(1), order),
                              at_u.const_data_ptr<scalar_t>(),
                              all.const_data_ptr<scalar_t>(),
                              at_channel.const_data_ptr<int64_t>(),
                              values != nullptr ? values->data_ptr<scalar_t>() : nullptr,
                              slopes != nullptr ? slopes->data_ptr<scalar_t>() : nullptr,
                              bends != nullptr ? bends->data_ptr<scalar_t>() : nullptr};
    const auto function = kernel(mesh_kernels<scalar_t>());
    at::parallel_for(0, u.size(0), kGrain, [&](int64_t begin, int64_t end) { function(work, begin, end); });
  });
}

std::tuple<Tensor, Tensor> mesh_read_cpu(const Tensor& field, const Tensor& u, const Tensor& channel, int64_t order) {
  Tensor values = at::empty({u.size(0)}, u.options()), slopes = at::empty({u.size(0), 3}, u.options());
  read_with(field, u, channel, order, &values, &slopes, nullptr, [](const auto& kernels) { return kernels.read; });
  return {values, slopes};
}

Tensor mesh_read_bend_cpu(const Tensor& field, const Tensor& u, const Tensor& channel, int64_t order) {
  Tensor bends = at::empty({u.size(0), 3, 3}, u.options());
  read_with(field, u, channel, order, nullptr, nullptr, &bends, [](const auto& kernels) { return kernels.read_bend; });
  return bends;
}

}  // namespace
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, CPU, library) {
  library.impl("mesh_put", openmm_pqeq::mesh_put_cpu);
  library.impl("mesh_read", openmm_pqeq::mesh_read_cpu);
  library.impl("mesh_read_bend", openmm_pqeq::mesh_read_bend_cpu);
}
