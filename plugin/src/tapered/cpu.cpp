// The tapered pair sum on the CPU: erf and exp by torch's vectorized kernels, loops over pairs in
// cpu_kernel.cpp.
//
// Every thread has sums of its own, which are added up in the order of the threads: results depend
// on the number of threads to rounding, and on nothing else.
#include "instruction_sets.h"
#include "tapered/cpu_kernel.h"

#include "tapered/arguments.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
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
  const int64_t most = n_pairs <= kGrain ? 1 : at::get_num_threads();
  const Tensor sums = at::zeros({most, size}, at::kDouble);
  double* const all = sums.data_ptr<double>();
  at::parallel_for(0, n_pairs, kGrain, [&](int64_t begin, int64_t end) {
    task(begin, end, all + (most == 1 ? 0 : at::get_thread_num()) * size);
  });
  return most == 1 ? sums[0] : sums.sum(0);
}

// What kernels are called with, and the tensors that it points into.
template <typename T>
struct Bound {
  std::vector<Tensor> held;
  std::vector<TaperedAtom<T>> atoms;
  TaperedWork<T> work{};

  const T* data(const Tensor& tensor) {
    held.push_back(tensor.to(c10::CppTypeToScalarType<T>::value).contiguous());
    return held.back().template const_data_ptr<T>();
  }

  Bound(const TaperedPairs& pairs, int64_t n_atoms) : atoms(n_atoms) {
    held = {pairs.centers.contiguous(), pairs.neighbors.contiguous()};
    work.centers = held[0].const_data_ptr<int32_t>();
    work.neighbors = held[1].const_data_ptr<int32_t>();
    work.vectors = data(pairs.vectors);
    work.n_pairs = pairs.centers.size(0);
    work.atoms = atoms.data();
  }

  void set_radials(const TaperedRadials& radials) {
    work.at_cores = data(radials.at_cores);
    work.at_shells = data(radials.at_shells);
    work.at_rest = radials.at_shells.size(0) == 3;
  }

  void set_shells(const Tensor& shells) {
    const T* const s = data(shells);
    for (size_t i = 0; i < atoms.size(); ++i) std::copy(s + 3 * i, s + 3 * i + 3, atoms[i].s);
  }

  void set_charges(const Tensor& core_charge, const Tensor& charges) {
    const T *const z = data(core_charge), *const c = data(core_charge + charges);
    for (size_t i = 0; i < atoms.size(); ++i) {
      atoms[i].z = z[i];
      atoms[i].c = c[i];
    }
  }

  void set_change(const TaperedChange& change) {
    const T *const p = data(change.dq), *const t = data(change.ds);
    for (size_t i = 0; i < atoms.size(); ++i) {
      atoms[i].p = p[i];
      std::copy(t + 3 * i, t + 3 * i + 3, atoms[i].t);
    }
  }
};

template <typename T>
Bound<T> bound(const TaperedPairs& pairs, const TaperedRadials& radials,
               const TaperedState& state) {
  Bound<T> made(pairs, state.charges.size(0));
  made.set_radials(radials);
  made.set_charges(state.core_charge, state.charges);
  made.set_shells(state.shells);
  return made;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> tapered_pairs_cpu(
    const Tensor& positions_in, const Tensor& cell_in, const Tensor& centers_in,
    const Tensor& neighbors_in, const Tensor& shifts_in, double cutoff, bool float32) {
  check_kept_pairs(positions_in, cell_in, centers_in, neighbors_in, shifts_in);
  const Tensor positions = positions_in.to(at::kDouble).contiguous(),
               box = cell_in.to(at::kDouble).contiguous();
  const Tensor centers = centers_in.contiguous(), neighbors = neighbors_in.contiguous(),
               shifts = shifts_in.contiguous();
  const int64_t n_pairs = centers.size(0);
  const auto dtype = float32 ? at::kFloat : positions_in.scalar_type();
  Tensor vectors = at::empty({n_pairs, 3}, dtype);
  Tensor near_centers = at::empty_like(centers), near_neighbors = at::empty_like(neighbors),
         near_shifts = at::empty_like(shifts);
  const double* const r = positions.const_data_ptr<double>();
  const double* const cell = box.const_data_ptr<double>();
  const int32_t *const i = centers.const_data_ptr<int32_t>(), *const j =
                                                                  neighbors
                                                                      .const_data_ptr<int32_t>();
  const int8_t* const shift = shifts.const_data_ptr<int8_t>();
  // each task writes from where it begins, and what it has found is moved together afterwards
  const int64_t most = n_pairs <= kGrain ? 1 : at::get_num_threads(),
                share = (n_pairs + most - 1) / most;
  std::vector<std::pair<int64_t, int64_t>> found(most);
  AT_DISPATCH_FLOATING_TYPES(dtype, "tapered_pairs", [&] {
    scalar_t* const out = vectors.data_ptr<scalar_t>();
    int32_t *const out_i = near_centers.data_ptr<int32_t>(), *const out_j =
                                                                 near_neighbors.data_ptr<int32_t>();
    int8_t* const out_shift = near_shifts.data_ptr<int8_t>();
    at::parallel_for(0, static_cast<int64_t>(found.size()), 1, [&](int64_t first, int64_t last) {
      for (int64_t task = first; task < last; ++task) {
        const int64_t begin = std::min(task * share, n_pairs),
                      end = std::min(begin + share, n_pairs);
        int64_t at = begin;
        for (int64_t p = begin; p < end; ++p) {
          double d[3];
          for (int a = 0; a < 3; ++a) {
            d[a] = r[3 * j[p] + a] - r[3 * i[p] + a] + shift[3 * p] * cell[a] +
                   shift[3 * p + 1] * cell[3 + a] + shift[3 * p + 2] * cell[6 + a];
          }
          if (d[0] * d[0] + d[1] * d[1] + d[2] * d[2] >= cutoff * cutoff) continue;
          out_i[at] = i[p];
          out_j[at] = j[p];
          for (int a = 0; a < 3; ++a) {
            out[3 * at + a] = static_cast<scalar_t>(d[a]);
            out_shift[3 * at + a] = shift[3 * p + a];
          }
          ++at;
        }
        found[task] = {begin, at};
      }
    });
    int64_t kept = 0;
    for (const auto& [begin, end] : found) {
      if (begin == kept) {
        kept = end;
        continue;
      }
      std::copy(out_i + begin, out_i + end, out_i + kept);
      std::copy(out_j + begin, out_j + end, out_j + kept);
      std::copy(out + 3 * begin, out + 3 * end, out + 3 * kept);
      std::copy(out_shift + 3 * begin, out_shift + 3 * end, out_shift + 3 * kept);
      kept += end - begin;
    }
    near_centers = near_centers.narrow(0, 0, kept);
    near_neighbors = near_neighbors.narrow(0, 0, kept);
    near_shifts = near_shifts.narrow(0, 0, kept);
    vectors = vectors.narrow(0, 0, kept);
  });
  return {near_centers, near_neighbors, near_shifts, vectors};
}

Tensor tapered_radials_cpu(const Tensor& centers, const Tensor& neighbors, const Tensor& vectors,
                           const Tensor& kind_in, const Tensor& gamma_in, double cutoff,
                           const std::optional<Tensor>& shells) {
  const TaperedPairs pairs{centers, neighbors, vectors};
  check_pairs(pairs, kind_in.size(0));
  check_kinds(pairs, kind_in, gamma_in, shells);
  const int64_t n_pairs = centers.size(0);
  const Tensor kind = kind_in.contiguous();
  const Tensor radials = at::empty({shells.has_value() ? 9 : 3, n_pairs}, vectors.options());
  AT_DISPATCH_FLOATING_TYPES(vectors.scalar_type(), "tapered_radials", [&] {
    Bound<scalar_t> bound(pairs, kind.size(0));
    if (shells.has_value()) bound.set_shells(*shells);
    const scalar_t* const gamma = bound.data(gamma_in);
    const auto kernels = TaperedKernels<scalar_t>::best();
    std::vector<Separation> wanted{Separation::d};
    if (shells.has_value()) wanted = {Separation::u, Separation::v, Separation::w};
    at::parallel_for(0, n_pairs, kGrain, [&](int64_t begin, int64_t end) {
      const at::NoGradGuard no_grad;
      Tensor scaled = at::ones({kBlock}, vectors.options()), erf = at::empty_like(scaled),
             exp = at::zeros_like(scaled);
      std::vector<scalar_t> distance(kBlock), width(kBlock);
      for (int64_t first = begin; first < end; first += kBlock) {
        const int64_t n = std::min(kBlock, end - first);
        for (size_t k = 0; k < wanted.size(); ++k) {
          scalar_t *const out = radials.data_ptr<scalar_t>() + 3 * k * n_pairs + first,
                          *const x = scaled.data_ptr<scalar_t>();
          kernels.measure(bound.work, wanted[k], kind.const_data_ptr<int64_t>(), gamma,
                          gamma_in.size(0), first, first + n, distance.data(), x,
                          exp.data_ptr<scalar_t>());
          at::erf_out(erf, scaled);
          exp.exp_();
          for (int64_t p = 0; p < n; ++p) width[p] = x[p] / distance[p];
          kernels.taper_radials(distance.data(), erf.const_data_ptr<scalar_t>(),
                                exp.const_data_ptr<scalar_t>(), width.data(),
                                static_cast<scalar_t>(cutoff), n, out, out + n_pairs,
                                out + 2 * n_pairs);
        }
      }
    });
  });
  return radials;
}

std::tuple<Tensor, Tensor> tapered_gradient_cpu(const Tensor& centers, const Tensor& neighbors,
                                                const Tensor& vectors, const Tensor& at_cores,
                                                const Tensor& at_shells, const Tensor& core_charge,
                                                const Tensor& charges, const Tensor& shells,
                                                bool with_potential, bool with_field) {
  const TaperedPairs pairs{centers, neighbors, vectors};
  const TaperedRadials radials{at_cores, at_shells};
  const TaperedState state{core_charge, charges, shells};
  check_sum(pairs, radials, state);
  const int64_t n = charges.size(0);
  const auto dtype = charges.scalar_type();
  Tensor potential = at::zeros({0}, charges.options()),
         field = at::zeros({0, 3}, charges.options());
  AT_DISPATCH_FLOATING_TYPES(vectors.scalar_type(), "tapered_gradient", [&] {
    const auto made = bound<scalar_t>(pairs, radials, state);
    const auto kernels = TaperedKernels<scalar_t>::best();
    const auto with = [&](auto kernel) {
      return [&made, kernel](int64_t begin, int64_t end, double* sums) {
        kernel(made.work, begin, end, sums);
      };
    };
    if (with_potential) potential = summed(made.work.n_pairs, n, with(kernels.potential)).to(dtype);
    if (with_field) {
      field = summed(made.work.n_pairs, 3 * n, with(kernels.field)).view({n, 3}).to(dtype);
    }
  });
  return {potential, field};
}

std::tuple<Tensor, Tensor> tapered_product_cpu(const Tensor& centers, const Tensor& neighbors,
                                               const Tensor& vectors, const Tensor& at_cores,
                                               const Tensor& at_shells, const Tensor& core_charge,
                                               const Tensor& charges, const Tensor& shells,
                                               const Tensor& dq, const Tensor& ds,
                                               bool with_potential, bool with_field) {
  const TaperedPairs pairs{centers, neighbors, vectors};
  const TaperedRadials radials{at_cores, at_shells};
  const TaperedState state{core_charge, charges, shells};
  const TaperedChange change{dq, ds};
  check_sum(pairs, radials, state);
  check_change(change, state);
  const int64_t n = charges.size(0);
  const auto dtype = charges.scalar_type();
  Tensor potential = at::zeros({0}, charges.options()),
         field = at::zeros({0, 3}, charges.options());
  AT_DISPATCH_FLOATING_TYPES(vectors.scalar_type(), "tapered_product", [&] {
    auto made = bound<scalar_t>(pairs, radials, state);
    made.set_change(change);
    const auto kernels = TaperedKernels<scalar_t>::best();
    const auto with = [&](auto kernel) {
      return [&made, kernel](int64_t begin, int64_t end, double* sums) {
        kernel(made.work, begin, end, sums);
      };
    };
    if (with_potential)
      potential = summed(made.work.n_pairs, n, with(kernels.potential_change)).to(dtype);
    if (with_field) {
      field = summed(made.work.n_pairs, 3 * n, with(kernels.field_change)).view({n, 3}).to(dtype);
    }
  });
  return {potential, field};
}

std::tuple<Tensor, Tensor, Tensor> tapered_forces_cpu(
    const Tensor& centers, const Tensor& neighbors, const Tensor& shifts_in, const Tensor& vectors,
    const Tensor& at_cores, const Tensor& at_shells, const Tensor& core_charge,
    const Tensor& charges, const Tensor& shells, const Tensor& dq, const Tensor& ds,
    double energy_weight) {
  const TaperedPairs pairs{centers, neighbors, vectors};
  const TaperedRadials radials{at_cores, at_shells};
  const TaperedState state{core_charge, charges, shells};
  const TaperedChange change{dq, ds};
  check_sum(pairs, radials, state);
  check_change(change, state);
  check_shifts(shifts_in, centers);
  const int64_t n = charges.size(0);
  const Tensor shifts = shifts_in.contiguous();
  Tensor sums;
  AT_DISPATCH_FLOATING_TYPES(vectors.scalar_type(), "tapered_forces", [&] {
    auto made = bound<scalar_t>(pairs, radials, state);
    made.set_change(change);
    made.work.shifts = shifts.const_data_ptr<int8_t>();
    made.work.energy_weight = static_cast<scalar_t>(energy_weight);
    const auto kernel = TaperedKernels<scalar_t>::best().forces;
    sums = summed(made.work.n_pairs, 3 * n + 10, [&](int64_t begin, int64_t end, double* own) {
             kernel(made.work, n, begin, end, own);
           }).to(charges.scalar_type());
  });
  return {sums[3 * n + 9].clone(), sums.slice(0, 0, 3 * n).view({n, 3}).clone(),
          sums.slice(0, 3 * n, 3 * n + 9).view({3, 3}).clone()};
}

Tensor pair_matrix_product_cpu(const Tensor& centers_in, const Tensor& neighbors_in,
                               const Tensor& values_in, const Tensor& x_in) {
  check_matrix(centers_in, neighbors_in, values_in, x_in);
  const Tensor centers = centers_in.contiguous(), neighbors = neighbors_in.contiguous(),
               values = values_in.contiguous();
  const Tensor x = x_in.to(at::kDouble).contiguous();
  Tensor product;
  AT_DISPATCH_FLOATING_TYPES(values.scalar_type(), "pair_matrix_product", [&] {
    const auto kernel = TaperedKernels<scalar_t>::best().matrix_product;
    product = summed(centers.size(0), x.size(0), [&](int64_t begin, int64_t end, double* sums) {
      kernel(centers.const_data_ptr<int32_t>(), neighbors.const_data_ptr<int32_t>(),
             values.const_data_ptr<scalar_t>(), x.const_data_ptr<double>(), begin, end, sums);
    });
  });
  return product.to(x_in.scalar_type());
}

}  // namespace
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, CPU, library) {
  library.impl("tapered_pairs", openmm_pqeq::tapered_pairs_cpu);
  library.impl("tapered_radials", openmm_pqeq::tapered_radials_cpu);
  library.impl("tapered_gradient", openmm_pqeq::tapered_gradient_cpu);
  library.impl("tapered_product", openmm_pqeq::tapered_product_cpu);
  library.impl("tapered_forces", openmm_pqeq::tapered_forces_cpu);
  library.impl("pair_matrix_product", openmm_pqeq::pair_matrix_product_cpu);
}
