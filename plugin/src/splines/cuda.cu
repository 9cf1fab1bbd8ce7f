// mesh_put, mesh_read and mesh_read_bend on NVIDIA GPUs: sorting of the points, and launches.
// Nothing waits for the device.
#include "splines/cuda_kernel.cuh"

#include "splines/on_device.h"

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

namespace openmm_pqeq {
namespace {

unsigned blocks_of(int64_t n, int64_t each) { return static_cast<unsigned>((n + each - 1) / each); }

// Orders that PQEq uses are compiled for themselves, all others together.
#define PQEQ_LAUNCH(order, kernel, blocks, ...)                                     \
  [&] {                                                                             \
    const auto stream = c10::cuda::getCurrentCUDAStream();                          \
    switch (order) {                                                                \
      case 8: kernel(8)<<<blocks, kMeshThreads, 0, stream>>>(__VA_ARGS__); break;   \
      case 10: kernel(10)<<<blocks, kMeshThreads, 0, stream>>>(__VA_ARGS__); break; \
      case 12: kernel(12)<<<blocks, kMeshThreads, 0, stream>>>(__VA_ARGS__); break; \
      default: kernel(0)<<<blocks, kMeshThreads, 0, stream>>>(__VA_ARGS__);         \
    }                                                                               \
    C10_CUDA_KERNEL_LAUNCH_CHECK();                                                 \
  }()
#define PQEQ_WEIGH(P) weigh_kernel<T, P>
#define PQEQ_READ(P) read_kernel<T, P, false>
#define PQEQ_READ_BEND(P) read_kernel<T, P, true>

template <typename T, int TILE>
void put_planes(const Put<T>& work, int64_t n_planes) {
  const auto kernel =
      work.moved != nullptr ? put_kernel<T, TILE, true> : put_kernel<T, TILE, false>;
  kernel<<<static_cast<unsigned>(n_planes), TILE * TILE, 0, c10::cuda::getCurrentCUDAStream()>>>(
      work);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

struct CudaMesh {
  const c10::cuda::CUDAGuard guard;

  explicit CudaMesh(at::Device device) : guard(device) {}

  ByPlane by_plane(const Tensor& u, const Tensor& channel, int64_t n_x, int64_t n_planes) const {
    const Tensor plane = channel * n_x + u.select(1, 0).floor().to(at::kLong).remainder(n_x);
    const auto sorted = plane.sort(/*stable=*/true, /*dim=*/0, /*descending=*/false);
    return {std::get<1>(sorted),
            at::searchsorted(std::get<0>(sorted), at::arange(n_planes + 1, channel.options()))};
  }

  template <typename T>
  void put(const Put<T>& work, int64_t n, int64_t n_planes) const {
    if (n == 0) return;
    PQEQ_LAUNCH(work.lattice.order, PQEQ_WEIGH, blocks_of(3 * n, kMeshThreads), work, n);
    if (work.lattice.order <= 8) {
      put_planes<T, 8>(work, n_planes);
    } else {
      put_planes<T, 16>(work, n_planes);
    }
  }

  template <typename T>
  void read(const Read<T>& work, int64_t n) const {
    if (n > 0) PQEQ_LAUNCH(work.lattice.order, PQEQ_READ, blocks_of(n, kReaders), work, n);
  }

  template <typename T>
  void read_bend(const Read<T>& work, int64_t n) const {
    if (n > 0) PQEQ_LAUNCH(work.lattice.order, PQEQ_READ_BEND, blocks_of(n, kReaders), work, n);
  }
};

}  // namespace
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, CUDA, library) {
  library.impl("mesh_put", openmm_pqeq::mesh_put_on<openmm_pqeq::CudaMesh>);
  library.impl("mesh_read", openmm_pqeq::mesh_read_on<openmm_pqeq::CudaMesh>);
  library.impl("mesh_read_bend", openmm_pqeq::mesh_read_bend_on<openmm_pqeq::CudaMesh>);
}
