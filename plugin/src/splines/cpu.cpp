// splines_spread, splines_interpolate and splines_interpolate_hessian on the CPU: threads over
// planes of the mesh where it is written, over points where it is read.
//
// Points are sorted by the plane that they lie in, so that every plane has its few points at hand.
// Nothing is added by two threads, and sums are always in the same order: results do not depend on
// the number of threads.
#include "instruction_sets.h"
#include "splines/cpu_kernel.h"

#include "parallel.h"
#include "splines/formulae.h"
#include "splines/on_device.h"

#include <torch/library.h>

#include <vector>

namespace openmm_pqeq {
namespace {

// Points per task: large enough that starting a thread does not show.
constexpr int64_t kGrain = 64;

template <typename T>
struct SplineKernels {
  void (*weigh)(const Spread<T>&, int64_t, int64_t);
  void (*spread)(const Spread<T>&, int64_t, int64_t);
  void (*interpolate)(const Interpolation<T>&, int64_t, int64_t);
  void (*interpolate_hessian)(const Interpolation<T>&, int64_t, int64_t);
};

template <typename T>
SplineKernels<T> spline_kernels() {
#if defined(PQEQ_X86_LEVELS)
  if (has_x86_64_v4())
    return {x86_64_v4::weigh<T>, x86_64_v4::spread<T>, x86_64_v4::interpolate<T>,
            x86_64_v4::interpolate_hessian<T>};
  if (has_x86_64_v3())
    return {x86_64_v3::weigh<T>, x86_64_v3::spread<T>, x86_64_v3::interpolate<T>,
            x86_64_v3::interpolate_hessian<T>};
#endif
  return {any_cpu::weigh<T>, any_cpu::spread<T>, any_cpu::interpolate<T>,
          any_cpu::interpolate_hessian<T>};
}

// Sorts by counting; points keep their order within a plane.
template <typename T>
void sort_by_plane(const T* u, const int64_t* channel, int64_t n, int64_t n_x, int64_t n_planes,
                   int64_t* sorted, int64_t* buckets) {
  std::vector<int64_t> plane(n), next(n_planes + 1, 0);
  for (int64_t i = 0; i < n; ++i) {
    plane[i] = channel[i] * n_x + wrapped(floored(u[3 * i]), n_x);
    ++next[plane[i] + 1];
  }
  for (int64_t k = 0; k < n_planes; ++k) next[k + 1] += next[k];
  std::copy(next.begin(), next.end(), buckets);
  for (int64_t i = 0; i < n; ++i) sorted[next[plane[i]]++] = i;
}

struct CpuSplines {
  explicit CpuSplines(at::Device) {}

  ByPlane by_plane(const Tensor& u, const Tensor& channel, int64_t n_x, int64_t n_planes) const {
    const ByPlane made{at::empty({u.size(0)}, channel.options()),
                       at::empty({n_planes + 1}, channel.options())};
    AT_DISPATCH_FLOATING_TYPES(u.scalar_type(), "splines_spread", [&] {
      sort_by_plane(u.const_data_ptr<scalar_t>(), channel.const_data_ptr<int64_t>(), u.size(0), n_x,
                    n_planes, made.points.data_ptr<int64_t>(), made.buckets.data_ptr<int64_t>());
    });
    return made;
  }

  template <typename T>
  void spread(const Spread<T>& work, int64_t n, int64_t n_planes) const {
    const auto kernels = spline_kernels<T>();
    parallel_for(0, n, kGrain,
                 [&](int64_t begin, int64_t end) { kernels.weigh(work, begin, end); });
    parallel_for(0, n_planes, 1,
                 [&](int64_t begin, int64_t end) { kernels.spread(work, begin, end); });
  }

  template <typename T>
  void interpolate(const Interpolation<T>& work, int64_t n) const {
    const auto kernel = spline_kernels<T>().interpolate;
    parallel_for(0, n, kGrain, [&](int64_t begin, int64_t end) { kernel(work, begin, end); });
  }

  template <typename T>
  void interpolate_hessian(const Interpolation<T>& work, int64_t n) const {
    const auto kernel = spline_kernels<T>().interpolate_hessian;
    parallel_for(0, n, kGrain, [&](int64_t begin, int64_t end) { kernel(work, begin, end); });
  }
};

}  // namespace
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, CPU, library) {
  library.impl("splines_spread", openmm_pqeq::splines_spread_on<openmm_pqeq::CpuSplines>);
  library.impl("splines_interpolate", openmm_pqeq::splines_interpolate_on<openmm_pqeq::CpuSplines>);
  library.impl("splines_interpolate_hessian",
               openmm_pqeq::splines_interpolate_hessian_on<openmm_pqeq::CpuSplines>);
}
