// CUDA kernels on the CPU, for tests where there is no GPU: the sources of plugin/src, compiled as
// C++ with this file in the place of plugin/cuda/launch.cuh.
//
// A block is as many fibers as it has threads. One runs at a time, until it comes to a barrier or
// has to wait for lanes of its warp. In which order they run between two barriers, and blocks one
// after another, is a setting (`order`): what depends on it lacks a barrier or an atomic operation.
// Shared memory is full of NaN when a block begins. RuntimeError where threads of a block wait for
// each other in vain, or an operation of a warp names lanes that have ended or are elsewhere; a GPU
// would hang there, or go on with anything.
//
// What it cannot show: errors of the device's own functions (expf, its contraction of products and
// sums), of streams, of tensors on two devices, limits of registers and memory, and speed. Nor what
// happens within an operation that is not atomic.
#pragma once

#include "block.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <math.h>
#include <torch/library.h>

#include <cstring>

#define __global__
#define __device__
#define __launch_bounds__(threads)

#define PQEQ_SHARED(T, name, count)                                    \
  static emulation::SharedMemory<sizeof(T) * (count)> bytes_of_##name; \
  T* const name = bytes_of_##name.template as<T>()
#define PQEQ_SHARED_BYTES(name) char* const name = emulation::block().shared_bytes()

// As openmm_pqeq_emulated::NAME, for tensors of the CPU, with the schema of openmm_pqeq::NAME.
#define PQEQ_LIBRARY_OF_CUDA_KERNELS(library)                   \
  static void register_emulated(openmm_pqeq::EmulatedLibrary&); \
  TORCH_LIBRARY_FRAGMENT(openmm_pqeq_emulated, fragment) {      \
    openmm_pqeq::EmulatedLibrary emulated{fragment};            \
    register_emulated(emulated);                                \
  }                                                             \
  static void register_emulated(openmm_pqeq::EmulatedLibrary& library)

namespace openmm_pqeq {

struct EmulatedLibrary {
  torch::Library& fragment;

  template <typename Function>
  void impl(const std::string& name, Function function) {
    const auto original =
        c10::Dispatcher::singleton().findSchemaOrThrow(("openmm_pqeq::" + name).c_str(), "");
    fragment.def(original.schema().cloneWithName("openmm_pqeq_emulated::" + name, ""));
    fragment.impl(name.c_str(), torch::dispatch(c10::DispatchKey::CPU, function));
  }
};

struct DeviceGuard {
  explicit DeviceGuard(at::Device) {}
};

inline int64_t blocks_of(int64_t n, int64_t each) { return (n + each - 1) / each; }

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), int64_t blocks, int threads, size_t shared,
            const Arguments&... arguments) {
  emulation::run(blocks, threads, shared, [&] { kernel(arguments...); });
}

}  // namespace openmm_pqeq

// Names of CUDA

struct ThreadPlace {
  unsigned x;
};
#define threadIdx (ThreadPlace{emulation::block().thread()})
#define blockIdx (ThreadPlace{emulation::block().index()})
#define blockDim (ThreadPlace{emulation::block().threads()})
#define gridDim (ThreadPlace{emulation::block().blocks()})

inline void __syncthreads() { emulation::block().barrier(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) {
  emulation::block().exchange(emulation::Operation::sync, mask, 0);
}

template <typename T>
T lane_value(emulation::Operation operation, unsigned mask, T value, int source) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  const emulation::Lanes& lanes = emulation::block().exchange(operation, mask, bits);
  std::memcpy(&value, &lanes.bits[source], sizeof(T));
  return value;
}

// The lane that a lane reads from, within its part of `width` lanes.
template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  const int lane = threadIdx.x % 32;
  return lane_value(emulation::Operation::shuffle, mask, value,
                    lane / width * width + source % width);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned step, int width = 32) {
  const int lane = threadIdx.x % 32, source = lane + static_cast<int>(step);
  return lane_value(emulation::Operation::shuffle, mask, value,
                    source / width == lane / width ? source : lane);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int with, int width = 32) {
  const int lane = threadIdx.x % 32, source = lane ^ with;
  return lane_value(emulation::Operation::shuffle, mask, value,
                    source / width <= lane / width ? source : lane);
}
inline int __all_sync(unsigned mask, int predicate) {
  const emulation::Lanes& lanes =
      emulation::block().exchange(emulation::Operation::vote, mask, predicate != 0);
  int all = 1;
  for (int lane = 0; lane < 32; ++lane) all &= (mask >> lane & 1) == 0 || lanes.bits[lane] != 0;
  return all;
}

inline unsigned long long atomicAdd(unsigned long long* to, unsigned long long value) {
  const unsigned long long before = *to;
  *to += value;
  return before;
}
inline unsigned long long atomicMax(unsigned long long* to, unsigned long long value) {
  const unsigned long long before = *to;
  *to = value > before ? value : before;
  return before;
}

// The nearest integer; what is none becomes that of the least one, as on the device.
inline long long __double2ll_rn(double value) {
  if (!(value > -9.2e18 && value < 9.2e18)) return static_cast<long long>(1ull << 63);
  return llrint(value);
}
inline long long __double_as_longlong(double value) {
  long long bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}
