// dispersion on the CPU: threads over ranges of pairs, and the kernels for the instruction set that
// the processor has.
//
// A pair adds to two atoms. Each range has sums of its own, and the number of ranges depends on
// that of the pairs alone, so that results do not depend on the number of threads.
#include "dispersion/cpu_kernel.h"
#include "instruction_sets.h"

#include "dispersion/arguments.h"
#include "parallel.h"

#include <ATen/Dispatch.h>
#include <torch/library.h>

#include <algorithm>

namespace openmm_pqeq {
namespace {

constexpr int64_t kMostRanges = 32;
constexpr int64_t kLeastPairs = 4096;  // of a range

template <typename T>
struct DispersionKernels {
  void (*counts)(const DispersionPairs<T>&, Index, Index, double*);
  void (*energies)(const DispersionPairs<T>&, Index, Index, double*);
  void (*slopes)(const DispersionPairs<T>&, Index, Index, double*, double*);
  void (*chain)(const DispersionPairs<T>&, Index, Index, double*, double*);
};

#define PQEQ_KERNELS(level)                                                                 \
  {level::dispersion_counts<T>, level::dispersion_energies<T>, level::dispersion_slopes<T>, \
   level::dispersion_chain<T>}

template <typename T>
DispersionKernels<T> dispersion_kernels() {
#if defined(PQEQ_X86_LEVELS)
  if (has_x86_64_v4()) return PQEQ_KERNELS(x86_64_v4);
  if (has_x86_64_v3()) return PQEQ_KERNELS(x86_64_v3);
#endif
  return PQEQ_KERNELS(any_cpu);
}

int64_t ranges(int64_t n_pairs) {
  return std::clamp(n_pairs / kLeastPairs, int64_t(1), kMostRanges);
}

// Calls work(begin, end, range) for the ranges of pairs.
template <typename Work>
void for_ranges(int64_t n_pairs, const Work& work) {
  const int64_t n = ranges(n_pairs);
  parallel_for(0, n, 1, [&](int64_t first, int64_t last) {
    for (int64_t range = first; range < last; ++range)
      work(range * n_pairs / n, (range + 1) * n_pairs / n, range);
  });
}

Both dispersion_cpu(const DispersionArguments& given) {
  check(given);
  const Dispersion work = prepared(given);
  const int64_t n_pairs = given.centers.size(0), n_atoms = given.positions.size(0);
  const Tensor sums = at::zeros({ranges(n_pairs), n_atoms}, work.positions.options());
  double* const at_sums = sums.data_ptr<double>();
  Tensor coordination_numbers, energies;
  AT_DISPATCH_FLOATING_TYPES(given.c6.scalar_type(), "dispersion", [&] {
    const auto kernels = dispersion_kernels<scalar_t>();
    auto pairs = dispersion_pairs<scalar_t>(work, given);
    for_ranges(n_pairs, [&](int64_t begin, int64_t end, int64_t range) {
      kernels.counts(pairs, begin, end, at_sums + range * n_atoms);
    });
    coordination_numbers = sums.sum(0);
    sums.zero_();
    const Tensor weights = dispersion_weights(given, coordination_numbers);
    pairs.weights = weights.const_data_ptr<scalar_t>();
    for_ranges(n_pairs, [&](int64_t begin, int64_t end, int64_t range) {
      kernels.energies(pairs, begin, end, at_sums + range * n_atoms);
    });
    energies = sums.sum(0);
  });
  return {energies.to(given.positions.scalar_type()),
          coordination_numbers.to(given.positions.scalar_type())};
}

Both dispersion_backward_cpu(const Tensor& gradients, const Tensor& coordination_numbers,
                             const DispersionArguments& given, bool with_cell) {
  check(given);
  check_atoms(given, gradients, coordination_numbers);
  const Dispersion work = prepared(given);
  const int64_t n_pairs = given.centers.size(0), n = ranges(n_pairs);
  const int64_t n_atoms = given.positions.size(0), n_structures = given.cell.size(0);
  const Tensor sums = at::zeros({n, n_atoms, 4}, work.positions.options());
  const Tensor cell_sums = at::zeros({n, n_structures, 9}, work.positions.options());
  const Tensor cotangents = gradients.to(at::kDouble).contiguous(),
               weights = dispersion_weights(given, coordination_numbers);
  double* const at_sums = sums.data_ptr<double>();
  double* const at_cell = with_cell ? cell_sums.data_ptr<double>() : nullptr;
  const auto own_sums = [&](int64_t range) { return at_sums + range * n_atoms * 4; };
  const auto own_cell = [&](int64_t range) {
    return with_cell ? at_cell + range * n_structures * 9 : nullptr;
  };
  AT_DISPATCH_FLOATING_TYPES(given.c6.scalar_type(), "dispersion_backward", [&] {
    const auto kernels = dispersion_kernels<scalar_t>();
    auto pairs = dispersion_pairs<scalar_t>(work, given);
    pairs.weights = weights.const_data_ptr<scalar_t>();
    pairs.cotangents = cotangents.const_data_ptr<double>();
    for_ranges(n_pairs, [&](int64_t begin, int64_t end, int64_t range) {
      kernels.slopes(pairs, begin, end, own_sums(range), own_cell(range));
    });
    const Tensor chain = sums.select(2, 3).sum(0);
    pairs.chain = chain.const_data_ptr<double>();
    for_ranges(n_pairs, [&](int64_t begin, int64_t end, int64_t range) {
      kernels.chain(pairs, begin, end, own_sums(range), own_cell(range));
    });
  });
  return {sums.sum(0).narrow(1, 0, 3).to(given.positions.scalar_type()).contiguous(),
          cell_sums.sum(0).view({n_structures, 3, 3}).to(given.cell.scalar_type())};
}

}  // namespace
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, CPU, library) {
  library.impl("dispersion", openmm_pqeq::dispersion<openmm_pqeq::dispersion_cpu>);
  library.impl("dispersion_backward",
               openmm_pqeq::dispersion_backward<openmm_pqeq::dispersion_backward_cpu>);
}
