// Kernels that show what the emulation finds: each adds up 0 to n − 1 in a block of n threads.
#include "launch.cuh"

namespace openmm_pqeq {
namespace {

constexpr int kMost = 256;

// Every thread puts its number into shared memory, and the first one adds them up.
__global__ void with_barrier(int64_t* to) {
  PQEQ_SHARED(int64_t, numbers, kMost);
  numbers[threadIdx.x] = threadIdx.x;
  __syncthreads();
  if (threadIdx.x > 0) return;
  *to = 0;
  for (unsigned k = 0; k < blockDim.x; ++k) *to += numbers[k];
}

__global__ void without_barrier(int64_t* to) {
  PQEQ_SHARED(int64_t, numbers, kMost);
  numbers[threadIdx.x] = threadIdx.x;
  if (threadIdx.x > 0) return;
  *to = 0;
  for (unsigned k = 0; k < blockDim.x; ++k) *to += numbers[k];
}

// An operation of each warp is no barrier of the block.
__global__ void with_warps_alone(int64_t* to) {
  PQEQ_SHARED(int64_t, numbers, kMost);
  numbers[threadIdx.x] = threadIdx.x;
  __syncwarp();
  if (threadIdx.x > 0) return;
  *to = 0;
  for (unsigned k = 0; k < blockDim.x; ++k) *to += numbers[k];
}

__global__ void barrier_for_some(int64_t* to) {
  if (threadIdx.x % 2 == 0) __syncthreads();
  *to = 0;
}

__global__ void lanes_that_have_ended(int64_t* to) {
  if (threadIdx.x >= 20) return;
  *to = __shfl_xor_sync(0xffffffffu, static_cast<int64_t>(threadIdx.x), 1);
}

// Lanes that are not in the mask give what nobody should read.
__global__ void lane_outside_the_mask(int64_t* to) {
  if (threadIdx.x % 32 >= 16) return;
  *to = __shfl_sync(0xffffu, static_cast<int64_t>(threadIdx.x), 20);
}

__global__ void over_warps(int64_t* to) {
  long long mine = threadIdx.x;
  for (int step = 16; step > 0; step /= 2) mine += __shfl_down_sync(0xffffffffu, mine, step);
  if (threadIdx.x % 32 == 0) atomicAdd(reinterpret_cast<unsigned long long*>(to), mine);
}

int64_t example(c10::string_view name, int64_t threads) {
  const at::Tensor sum = at::zeros({1}, at::kLong);
  const auto kernel = name == "with_barrier"            ? with_barrier
                      : name == "without_barrier"       ? without_barrier
                      : name == "with_warps_alone"      ? with_warps_alone
                      : name == "barrier_for_some"      ? barrier_for_some
                      : name == "lanes_that_have_ended" ? lanes_that_have_ended
                      : name == "lane_outside_the_mask" ? lane_outside_the_mask
                                                        : over_warps;
  launch(kernel, 1, static_cast<int>(threads), 0, sum.data_ptr<int64_t>());
  return sum.item<int64_t>();
}

}  // namespace
}  // namespace openmm_pqeq

TORCH_LIBRARY_FRAGMENT(openmm_pqeq_emulated, library) {
  library.def("example(str name, int threads) -> int", openmm_pqeq::example);
}
