// Sums that many threads add to, on NVIDIA GPUs: whole multiples of a unit, whose addition does not
// depend on the order, so that results are the same in every run.
#pragma once

#include "checks.h"
#include "launch.cuh"

namespace openmm_pqeq {

using Sum = unsigned long long;
constexpr unsigned kWholeWarp = 0xffffffffu;

inline Tensor zero_sums(at::IntArrayRef sizes, const Tensor& like) {
  return at::zeros(sizes, like.options().dtype(at::kLong));
}
inline Sum* sums_of(const Tensor& sums) { return reinterpret_cast<Sum*>(sums.data_ptr<int64_t>()); }

__device__ inline void add(Sum* to, long long value) {
  if (value != 0) atomicAdd(to, static_cast<Sum>(value));
}

// Adds what all threads of a warp have to where each of them says; at once where they agree.
__device__ inline void add_together(Sum* to, long long value, bool agree) {
  if (!agree) return add(to, value);
  for (int step = 16; step > 0; step /= 2) value += __shfl_down_sync(kWholeWarp, value, step);
  if (threadIdx.x % 32 == 0) add(to, value);
}

// Whether all threads of a warp have the same number, as the centers of sorted pairs mostly are.
__device__ inline bool warp_agrees(int number) {
  return __all_sync(kWholeWarp, __shfl_sync(kWholeWarp, number, 0) == number) != 0;
}

}  // namespace openmm_pqeq
