// The tapered pair sum on the CPU: erf and exp by torch's vectorized kernels, loops over pairs in
// cpu_kernel.cpp.
//
// There are as many parts of the pairs as threads, with sums of their own which are added up in the
// order of the parts: results depend on the number of threads to rounding, and on nothing else.
#include "instruction_sets.h"
#include "tapered/cpu_kernel.h"

#include "parallel.h"
#include "tapered/formulae.h"
#include "tapered/on_device.h"

#include <torch/library.h>

#include <algorithm>

namespace openmm_pqeq {
namespace {

// Pairs per task: large enough that starting a thread does not show. Pairs per block: their
// distances fit the first-level cache.
constexpr int64_t kGrain = 16384, kBlock = 1024;

#define PQEQ_TAPERED_KERNELS(level)                                       \
  {level::measure<T>, level::taper_radials<T>,    level::potential<T>,    \
   level::field<T>,   level::potential_change<T>, level::field_change<T>, \
   level::forces<T>,  level::matrix_product<T>}

template <typename T>
struct TaperedKernels {
  decltype(&any_cpu::measure<T>) measure;
  decltype(&any_cpu::taper_radials<T>) taper_radials;
  decltype(&any_cpu::potential<T>) potential, field, potential_change, field_change;
  decltype(&any_cpu::forces<T>) forces;
  decltype(&any_cpu::matrix_product<T>) matrix_product;

  static TaperedKernels best() {
#if defined(PQEQ_X86_LEVELS)
    if (has_x86_64_v4()) return PQEQ_TAPERED_KERNELS(x86_64_v4);
    if (has_x86_64_v3()) return PQEQ_TAPERED_KERNELS(x86_64_v3);
#endif
    return PQEQ_TAPERED_KERNELS(any_cpu);
  }
};

// Sums of `size` numbers over tasks(begin, end, sums), in float64.
template <typename Task>
Tensor summed(int64_t n_pairs, int64_t size, Task task) {
  const int64_t most = n_pairs <= kGrain ? 1 : crew_threads();
  const Tensor sums = at::zeros({most, size}, at::kDouble);
  double* const all = sums.data_ptr<double>();
  parallel_for(0, most, 1, [&](int64_t first, int64_t last) {
    for (int64_t part = first; part < last; ++part)
      task(part * n_pairs / most, (part + 1) * n_pairs / most, all + part * size);
  });
  return most == 1 ? sums[0] : sums.sum(0);
}

template <typename T, typename Kernel>
Tensor summed(const TaperedWork<T>& work, Kernel kernel, const Tensor& like) {
  const auto task = [&](int64_t begin, int64_t end, double* sums) {
    kernel(work, begin, end, sums);
  };
  return summed(work.n_pairs, like.numel(), task).view(like.sizes());
}

struct CpuTapered {
  explicit CpuTapered(at::Device) {}

  // Each task writes from where it begins, and what it has found is moved together afterwards.
  template <typename T>
  NearPairs near_pairs(const TaperedList& list) const {
    const int64_t n_pairs = list.pairs.n;
    const Tensor centers = at::empty({n_pairs}, at::kInt), neighbors = at::empty_like(centers),
                 shifts = at::empty({n_pairs, 3}, at::kChar),
                 vectors = at::empty({n_pairs, 3}, c10::CppTypeToScalarType<T>::value);
    int32_t *const i = centers.data_ptr<int32_t>(), *const j = neighbors.data_ptr<int32_t>();
    int8_t* const shift = shifts.data_ptr<int8_t>();
    T* const out = vectors.data_ptr<T>();
    const int64_t most = n_pairs <= kGrain ? 1 : crew_threads(),
                  share = (n_pairs + most - 1) / most;
    std::vector<std::pair<int64_t, int64_t>> found(most);
    parallel_for(0, most, 1, [&](int64_t first, int64_t last) {
      for (int64_t task = first; task < last; ++task) {
        const int64_t begin = std::min(task * share, n_pairs),
                      end = std::min(begin + share, n_pairs);
        int64_t at = begin;
        for (int64_t p = begin; p < end; ++p) {
          const Three<double> d = vector_of(list, p);
          if (!is_near(list, d)) continue;
          i[at] = list.pairs.centers[p];
          j[at] = list.pairs.neighbors[p];
          std::copy_n(list.shifts + 3 * p, 3, shift + 3 * at);
          out[3 * at] = static_cast<T>(d.x);
          out[3 * at + 1] = static_cast<T>(d.y);
          out[3 * at + 2] = static_cast<T>(d.z);
          ++at;
        }
        found[task] = {begin, at};
      }
    });
    int64_t kept = 0;
    for (const auto& [begin, end] : found) {
      if (begin != kept) {
        std::copy(i + begin, i + end, i + kept);
        std::copy(j + begin, j + end, j + kept);
        std::copy(shift + 3 * begin, shift + 3 * end, shift + 3 * kept);
        std::copy(out + 3 * begin, out + 3 * end, out + 3 * kept);
      }
      kept += end - begin;
    }
    return {centers.narrow(0, 0, kept), neighbors.narrow(0, 0, kept), shifts.narrow(0, 0, kept),
            vectors.narrow(0, 0, kept)};
  }

  template <typename T>
  void radials(const TaperedWork<T>& work, const TaperedWidths<T>& widths, bool moved,
               T* to) const {
    const int64_t n_pairs = work.n_pairs;
    const auto kernels = TaperedKernels<T>::best();
    std::vector<Separation> wanted{Separation::d};
    if (moved) wanted = {Separation::u, Separation::v, Separation::w};
    parallel_for(0, n_pairs, kGrain, [&](int64_t begin, int64_t end) {
      const at::NoGradGuard no_grad;
      const Tensor scaled = at::ones({kBlock}, c10::CppTypeToScalarType<T>::value);
      Tensor erf = at::empty_like(scaled), exp = at::zeros_like(scaled);
      T* const x = scaled.data_ptr<T>();
      std::vector<T> distance(kBlock), width(kBlock);
      for (int64_t first = begin; first < end; first += kBlock) {
        const int64_t n = std::min(kBlock, end - first);
        for (size_t k = 0; k < wanted.size(); ++k) {
          T* const out = to + 3 * k * n_pairs + first;
          kernels.measure(work, wanted[k], widths.kind, widths.gamma, widths.n_kinds, first,
                          first + n, distance.data(), x, exp.data_ptr<T>());
          at::erf_out(erf, scaled);
          exp.exp_();
          for (int64_t p = 0; p < n; ++p) width[p] = x[p] / distance[p];
          kernels.taper_radials(distance.data(), erf.const_data_ptr<T>(), exp.const_data_ptr<T>(),
                                width.data(), widths.cutoff, n, out, out + n_pairs,
                                out + 2 * n_pairs);
        }
      }
    });
  }

  template <typename T>
  Tensor potential(const TaperedWork<T>& work, const Tensor& like) const {
    return summed(work, TaperedKernels<T>::best().potential, like);
  }
  template <typename T>
  Tensor field(const TaperedWork<T>& work, const Tensor& like) const {
    return summed(work, TaperedKernels<T>::best().field, like);
  }
  template <typename T>
  Tensor potential_change(const TaperedWork<T>& work, const Tensor& like) const {
    return summed(work, TaperedKernels<T>::best().potential_change, like);
  }
  template <typename T>
  Tensor field_change(const TaperedWork<T>& work, const Tensor& like) const {
    return summed(work, TaperedKernels<T>::best().field_change, like);
  }

  template <typename T>
  SlopesAndTotals forces(const TaperedWork<T>& work, const Tensor& like) const {
    const auto kernel = TaperedKernels<T>::best().forces;
    const int64_t n_atoms = like.size(0), n = 3 * n_atoms;
    const Tensor sums = summed(work.n_pairs, n + 10, [&](int64_t begin, int64_t end, double* own) {
      kernel(work, n_atoms, begin, end, own);
    });
    return {sums.narrow(0, 0, n).view({n_atoms, 3}).clone(), sums.narrow(0, n, 10)};
  }

  template <typename T>
  Tensor matrix_product(const PairMatrix<T>& matrix, const Tensor& like) const {
    const auto kernel = TaperedKernels<T>::best().matrix_product;
    return summed(matrix.pairs.n, like.numel(), [&](int64_t begin, int64_t end, double* own) {
      kernel(matrix.pairs.centers, matrix.pairs.neighbors, matrix.values, matrix.x, begin, end,
             own);
    });
  }
};

}  // namespace
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, CPU, library) {
  openmm_pqeq::implement_tapered<openmm_pqeq::CpuTapered>(library);
}
