// splines_spread, splines_interpolate and splines_interpolate_hessian on NVIDIA GPUs: sorting of
// the points, and launches. Nothing waits for the device.
#include "splines/cuda_kernel.cuh"

#include "launch.cuh"
#include "splines/on_device.h"

namespace openmm_pqeq {
namespace {

// Orders that PQEq uses are compiled for themselves, all others together.
#define PQEQ_LAUNCH(order, kernel, blocks, ...)                                 \
  [&] {                                                                         \
    switch (order) {                                                            \
      case 8: launch(kernel(8), blocks, kMeshThreads, 0, __VA_ARGS__); break;   \
      case 10: launch(kernel(10), blocks, kMeshThreads, 0, __VA_ARGS__); break; \
      case 12: launch(kernel(12), blocks, kMeshThreads, 0, __VA_ARGS__); break; \
      default: launch(kernel(0), blocks, kMeshThreads, 0, __VA_ARGS__);         \
    }                                                                           \
  }()
#define PQEQ_WEIGH(P) weigh_kernel<T, P>
#define PQEQ_INTERPOLATE(P) interpolate_kernel<T, P, false>
#define PQEQ_INTERPOLATE_HESSIAN(P) interpolate_kernel<T, P, true>

template <typename T, int TILE>
void spread_planes(const Spread<T>& work, int64_t n_planes) {
  const auto kernel =
      work.dipoles != nullptr ? spread_kernel<T, TILE, true> : spread_kernel<T, TILE, false>;
  launch(kernel, n_planes, TILE * TILE, 0, work);
}

struct CudaSplines {
  const DeviceGuard guard;

  explicit CudaSplines(at::Device device) : guard(device) {}

  ByPlane by_plane(const Tensor& u, const Tensor& channel, int64_t n_x, int64_t n_planes) const {
    const Tensor plane = channel * n_x + u.select(1, 0).floor().to(at::kLong).remainder(n_x);
    const auto sorted = plane.sort(/*stable=*/true, /*dim=*/0, /*descending=*/false);
    return {std::get<1>(sorted),
            at::searchsorted(std::get<0>(sorted), at::arange(n_planes + 1, channel.options()))};
  }

  template <typename T>
  void spread(const Spread<T>& work, int64_t n, int64_t n_planes) const {
    if (n == 0) return;
    PQEQ_LAUNCH(work.lattice.order, PQEQ_WEIGH, blocks_of(3 * n, kMeshThreads), work, n);
    if (work.lattice.order <= 8) {
      spread_planes<T, 8>(work, n_planes);
    } else {
      spread_planes<T, 16>(work, n_planes);
    }
  }

  template <typename T>
  void interpolate(const Interpolation<T>& work, int64_t n) const {
    if (n > 0)
      PQEQ_LAUNCH(work.lattice.order, PQEQ_INTERPOLATE, blocks_of(n, kPointsOfBlock), work, n);
  }

  template <typename T>
  void interpolate_hessian(const Interpolation<T>& work, int64_t n) const {
    if (n > 0)
      PQEQ_LAUNCH(work.lattice.order, PQEQ_INTERPOLATE_HESSIAN, blocks_of(n, kPointsOfBlock), work,
                  n);
  }
};

}  // namespace
}  // namespace openmm_pqeq

PQEQ_LIBRARY_OF_CUDA_KERNELS(library) {
  library.impl("splines_spread", openmm_pqeq::splines_spread_on<openmm_pqeq::CudaSplines>);
  library.impl("splines_interpolate",
               openmm_pqeq::splines_interpolate_on<openmm_pqeq::CudaSplines>);
  library.impl("splines_interpolate_hessian",
               openmm_pqeq::splines_interpolate_hessian_on<openmm_pqeq::CudaSplines>);
}
