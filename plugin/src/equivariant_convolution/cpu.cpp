// equivariant_convolution on the CPU: threads over atoms, and the kernels for the instruction set
// that the processor has.
#include "equivariant_convolution/cpu_kernel.h"
#include "instruction_sets.h"

#include "equivariant_convolution/on_device.h"
#include "parallel.h"

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
  if (has_x86_64_v4()) return {x86_64_v4::forward<T>, x86_64_v4::backward<T>};
  if (has_x86_64_v3()) return {x86_64_v3::forward<T>, x86_64_v3::backward<T>};
#endif
  return {any_cpu::forward<T>, any_cpu::backward<T>};
}

template <typename T, typename Kernel>
void over_atoms(Kernel kernel, const Convolution<T>& work, const Plan& plan) {
  parallel_for(0, plan.n_atoms, kGrain,
               [&](int64_t begin, int64_t end) { kernel(work, begin, end); });
}

struct Cpu {
  explicit Cpu(at::Device) {}

  template <typename T>
  void forward(const Convolution<T>& work, const Plan& plan) const {
    over_atoms(kernels<T>().forward, work, plan);
  }
  template <typename T>
  void backward(const Convolution<T>& work, const Plan& plan) const {
    over_atoms(kernels<T>().backward, work, plan);
  }
};

}  // namespace
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, CPU, library) {
  library.impl("equivariant_convolution",
               openmm_pqeq::convolution<openmm_pqeq::forward_on<openmm_pqeq::Cpu>>);
  library.impl("equivariant_convolution_backward",
               openmm_pqeq::convolution_backward<openmm_pqeq::backward_on<openmm_pqeq::Cpu>>);
}
