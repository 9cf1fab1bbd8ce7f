// How kernels are started on NVIDIA GPUs, and what they are registered as. The file of this name in
// plugin/emulation does it on the CPU: kernels use what both have.
#pragma once

#include <ATen/ATen.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#define PQEQ_LIBRARY_OF_CUDA_KERNELS(library) TORCH_LIBRARY_IMPL(openmm_pqeq, CUDA, library)

// Memory that the threads of a block share: an array of known length, or as many bytes as the
// launch says.
#define PQEQ_SHARED(T, name, count) __shared__ T name[count]
#define PQEQ_SHARED_BYTES(name)        \
  extern __shared__ double of_block[]; \
  char* const name = reinterpret_cast<char*>(of_block)

namespace openmm_pqeq {

using DeviceGuard = c10::cuda::CUDAGuard;

// How many blocks of `each` are needed for n.
inline int64_t blocks_of(int64_t n, int64_t each) { return (n + each - 1) / each; }

// Starts a kernel on torch's stream, with `shared` bytes of memory for each block; nothing waits.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), int64_t blocks, int threads, size_t shared,
            const Arguments&... arguments) {
  if (blocks == 0) return;
  TORCH_CHECK(blocks < (int64_t(1) << 31), "expected fewer than 2^31 blocks, got ", blocks);
  kernel<<<static_cast<unsigned>(blocks), threads, shared, c10::cuda::getCurrentCUDAStream()>>>(
      arguments...);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace openmm_pqeq
