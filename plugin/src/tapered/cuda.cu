// The tapered pair sum on NVIDIA GPUs: a thread for each pair.
//
// A pair adds to two atoms, and so do many threads at once: sums are whole multiples of a unit
// (whole_sums.cuh), 2⁻⁴⁸ of the largest term, which is looked for first. 32,000 pairs of an atom
// fit, and where a term is not finite, no sum is. Nothing waits for the device but tapered_pairs,
// once, for the number of pairs.
#include "tapered/arguments.h"
#include "tapered/formulae.h"
#include "whole_sums.cuh"

#include <ATen/Dispatch.h>

#include <tuple>

namespace openmm_pqeq {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr double kUnit = 1.0 / 281474976710656.0;  // 2⁻⁴⁸
constexpr int kTotals = 10;                        // of a block: slope in the cell, energy

struct Indices {
  int64_t n_pairs;
  const int32_t *centers, *neighbors;
};

__device__ inline int64_t pair_of_thread() {
  return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
}

// ---- terms: of a pair, what it adds to its center and to its neighbor

template <typename T>
struct Terms {
  TaperedWork<T> work;
  __device__ const TaperedAtom<T>& center(int64_t p) const { return work.atoms[work.centers[p]]; }
  __device__ const TaperedAtom<T>& neighbor(int64_t p) const {
    return work.atoms[work.neighbors[p]];
  }
};

#define PQEQ_TERMS(Name, formula, V)                                     \
  template <typename T>                                                  \
  struct Name : Terms<T> {                                               \
    __device__ Ends<V> operator()(int64_t p) const {                     \
      return formula(this->work, p, this->center(p), this->neighbor(p)); \
    }                                                                    \
  };
PQEQ_TERMS(Potential, tapered_potential, T)
PQEQ_TERMS(PotentialChange, tapered_potential_change, T)
PQEQ_TERMS(Field, tapered_field, Three<T>)
PQEQ_TERMS(FieldChange, tapered_field_change, Three<T>)

template <typename T>
struct Slopes : Terms<T> {
  __device__ Ends<Three<T>> operator()(int64_t p) const {
    const Three<T> slope = tapered_slope(this->work, p, this->center(p), this->neighbor(p));
    return {T(-1) * slope, slope};
  }
};

template <typename T>
struct MatrixProduct {
  const int32_t *centers, *neighbors;
  const T* values;
  const double* x;
  __device__ Ends<double> operator()(int64_t p) const {
    const double value = values[p];
    return {value * x[neighbors[p]], value * x[centers[p]]};
  }
};

constexpr int kOf(double) { return 1; }
template <typename T>
constexpr int kOf(Three<T>) {
  return 3;
}
__device__ inline double component(double value, int) { return value; }
template <typename T>
__device__ inline double component(Three<T> value, int k) {
  return k == 0 ? value.x : k == 1 ? value.y : value.z;
}

// ---- sums over pairs

// The bits of the largest magnitude of all terms: as whole numbers they are in the order of
// magnitudes, and those of NaN come last.
template <typename Of>
__global__ void __launch_bounds__(kThreads) largest_kernel(Indices pairs, Of of, Sum* largest) {
  const int64_t p = pair_of_thread();
  Sum most = 0;
  if (p < pairs.n_pairs) {
    const auto ends = of(p);
    for (int k = 0; k < kOf(ends.center); ++k) {
      for (const double term : {component(ends.center, k), component(ends.neighbor, k)}) {
        const Sum bits = static_cast<Sum>(__double_as_longlong(term)) & ~(1ull << 63);
        most = bits > most ? bits : most;
      }
    }
  }
  for (int step = 16; step > 0; step /= 2) {
    const Sum other = __shfl_xor_sync(kWholeWarp, most, step);
    most = other > most ? other : most;
  }
  if (threadIdx.x % 32 == 0) atomicMax(largest, most);
}

template <typename Of>
__global__ void __launch_bounds__(kThreads)
    sum_kernel(Indices pairs, Of of, const double* unit, Sum* sums) {
  const int64_t mine = pair_of_thread(), p = mine < pairs.n_pairs ? mine : pairs.n_pairs - 1;
  const double there = mine < pairs.n_pairs ? 1.0 / *unit : 0.0;
  const int i = pairs.centers[p], j = pairs.neighbors[p];
  const bool one_center = warp_agrees(i);
  const auto ends = of(p);
  const int size = kOf(ends.center);
  for (int k = 0; k < size; ++k) {
    add_together(sums + size * i + k, __double2ll_rn(component(ends.center, k) * there),
                 one_center);
    add(sums + size * j + k, __double2ll_rn(component(ends.neighbor, k) * there));
  }
}

// Slope in the cell and energy, added up over each block.
template <typename T>
__global__ void __launch_bounds__(kThreads) totals_kernel(Terms<T> of, double* totals) {
  PQEQ_SHARED(double, of_warps, kWarps* kTotals);
  const int64_t p = pair_of_thread();
  double mine[kTotals] = {};
  if (p < of.work.n_pairs) {
    const TaperedAtom<T>&i = of.center(p), &j = of.neighbor(p);
    const Three<T> slope = tapered_slope(of.work, p, i, j);
    PQEQ_UNROLL
    for (int k = 0; k < 9; ++k) mine[k] = of.work.shifts[3 * p + k / 3] * component(slope, k % 3);
    mine[9] = tapered_energy(of.work, p, i, j);
  }
  PQEQ_UNROLL
  for (int k = 0; k < kTotals; ++k) {
    for (int step = 16; step > 0; step /= 2) mine[k] += __shfl_down_sync(kWholeWarp, mine[k], step);
    if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32 * kTotals + k] = mine[k];
  }
  __syncthreads();
  if (threadIdx.x < kTotals) {
    double sum = 0.0;
    for (int warp = 0; warp < kWarps; ++warp) sum += of_warps[warp * kTotals + threadIdx.x];
    totals[static_cast<int64_t>(blockIdx.x) * kTotals + threadIdx.x] = sum;
  }
}

// ---- pairs within the cutoff, and radial functions

struct Kept {
  Indices pairs;
  const int8_t* shifts;
  const double *positions, *cell;
  double square;  // of the cutoff
};

__device__ inline Three<double> vector_of(const Kept& kept, int64_t p) {
  const int64_t i = kept.pairs.centers[p], j = kept.pairs.neighbors[p];
  double d[3];
  PQEQ_UNROLL
  for (int a = 0; a < 3; ++a) {
    d[a] = kept.positions[3 * j + a] - kept.positions[3 * i + a];
    PQEQ_UNROLL
    for (int b = 0; b < 3; ++b) d[a] += kept.shifts[3 * p + b] * kept.cell[3 * b + a];
  }
  return three(d);
}

__global__ void __launch_bounds__(kThreads) near_kernel(Kept kept, int64_t* near) {
  const int64_t p = pair_of_thread();
  if (p >= kept.pairs.n_pairs) return;
  const Three<double> d = vector_of(kept, p);
  near[p] = dot(d, d) < kept.square ? 1 : 0;
}

// up_to[p]: how many of the pairs up to and with p are near.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    take_kernel(Kept kept, const int64_t* up_to, int32_t* centers, int32_t* neighbors,
                int8_t* shifts, T* vectors) {
  const int64_t p = pair_of_thread();
  if (p >= kept.pairs.n_pairs || up_to[p] == (p > 0 ? up_to[p - 1] : 0)) return;
  const int64_t at = up_to[p] - 1;
  centers[at] = kept.pairs.centers[p];
  neighbors[at] = kept.pairs.neighbors[p];
  const Three<double> d = vector_of(kept, p);
  PQEQ_UNROLL
  for (int a = 0; a < 3; ++a) {
    shifts[3 * at + a] = kept.shifts[3 * p + a];
    vectors[3 * at + a] = static_cast<T>(component(d, a));
  }
}

template <typename T>
struct Widths {
  const int64_t* kind;
  const T* gamma;
  int64_t n_kinds;
  T cutoff;
};

template <typename T>
__device__ void write_radial(Three<T> separation, T width, T cutoff, T* to, int64_t step) {
  const T square = dot(separation, separation), r = sqrt(square);
  const TaperedRadial<T> at =
      tapered_radial(r, T(erf(width * r)), T(exp(-width * width * square)), width, cutoff);
  to[0] = at.value;
  to[step] = at.first;
  to[2 * step] = at.second;
}

template <typename T, bool MOVED>
__global__ void __launch_bounds__(kThreads)
    radials_kernel(Terms<T> of, Widths<T> widths, T* radials) {
  const int64_t p = pair_of_thread(), n = of.work.n_pairs;
  if (p >= n) return;
  const int64_t row = widths.kind[of.work.centers[p]] * widths.n_kinds;
  const T width = widths.gamma[row + widths.kind[of.work.neighbors[p]]];
  const Three<T> d = three(of.work.vectors + 3 * p);
  if (MOVED) {
    const Three<T> u = d + three(of.neighbor(p).s), on_center = three(of.center(p).s);
    write_radial(u, width, widths.cutoff, radials + p, n);
    write_radial(d - on_center, width, widths.cutoff, radials + 3 * n + p, n);
    write_radial(u - on_center, width, widths.cutoff, radials + 6 * n + p, n);
  } else {
    write_radial(d, width, widths.cutoff, radials + p, n);
  }
}

// ---- launches

// Sums of all terms, (n_atoms,) or (n_atoms, 3) float64.
template <typename Of>
Tensor summed(const Indices& pairs, const Of& of, at::IntArrayRef sizes, const Tensor& like) {
  const Tensor sums = zero_sums(sizes, like), bits = zero_sums({1}, like);
  const int64_t blocks = blocks_of(pairs.n_pairs, kThreads);
  launch(largest_kernel<Of>, blocks, kThreads, 0, pairs, of, sums_of(bits));
  const Tensor largest = bits.view(at::kDouble);
  const Tensor unit = at::where(largest == 0.0, at::ones_like(largest), largest) * kUnit;
  launch(sum_kernel<Of>, blocks, kThreads, 0, pairs, of, unit.const_data_ptr<double>(),
         sums_of(sums));
  return sums.to(at::kDouble) * unit;
}

// What kernels are called with, and the tensors that it points into.
template <typename T>
struct Bound {
  std::vector<Tensor> held;
  Terms<T> terms{};
  Indices pairs{};

  template <typename V>
  const V* data(const Tensor& tensor) {
    held.push_back(tensor.to(c10::CppTypeToScalarType<V>::value).contiguous());
    return held.back().template const_data_ptr<V>();
  }

  explicit Bound(const TaperedPairs& given) {
    TaperedWork<T>& work = terms.work;
    work.centers = data<int32_t>(given.centers);
    work.neighbors = data<int32_t>(given.neighbors);
    work.vectors = data<T>(given.vectors);
    work.n_pairs = given.centers.size(0);
    pairs = {work.n_pairs, work.centers, work.neighbors};
  }

  void set_radials(const TaperedRadials& radials) {
    terms.work.at_cores = data<T>(radials.at_cores);
    terms.work.at_shells = data<T>(radials.at_shells);
    terms.work.at_rest = radials.at_shells.size(0) == 3;
  }

  // The members of TaperedAtom side by side.
  void set_atoms(const TaperedState& state, const TaperedChange& change) {
    static_assert(sizeof(TaperedAtom<T>) == 9 * sizeof(T));
    const Tensor& z = state.core_charge;
    const Tensor atoms = at::cat({z.unsqueeze(1), (z + state.charges).unsqueeze(1), state.shells,
                                  change.dq.unsqueeze(1), change.ds},
                                 1);
    terms.work.atoms = reinterpret_cast<const TaperedAtom<T>*>(data<T>(atoms));
  }
};

template <typename T>
Bound<T> bound(const TaperedPairs& pairs, const TaperedRadials& radials, const TaperedState& state,
               const TaperedChange& change) {
  Bound<T> made(pairs);
  made.set_radials(radials);
  made.set_atoms(state, change);
  return made;
}

TaperedChange none(const TaperedState& state) {
  return {at::zeros_like(state.charges), at::zeros_like(state.shells)};
}

// Potentials and fields, where they are asked for.
template <template <typename> class OnCharges, template <typename> class OnShells>
std::tuple<Tensor, Tensor> sums_of_both(const TaperedPairs& pairs, const TaperedRadials& radials,
                                        const TaperedState& state, const TaperedChange& change,
                                        bool with_potential, bool with_field) {
  const int64_t n = state.charges.size(0);
  Tensor potential = at::zeros({0}, state.charges.options()),
         field = at::zeros({0, 3}, state.charges.options());
  AT_DISPATCH_FLOATING_TYPES(pairs.vectors.scalar_type(), "tapered_gradient", [&] {
    const auto made = bound<scalar_t>(pairs, radials, state, change);
    const auto dtype = state.charges.scalar_type();
    if (with_potential)
      potential = summed(made.pairs, OnCharges<scalar_t>{made.terms}, {n}, state.charges).to(dtype);
    if (with_field)
      field = summed(made.pairs, OnShells<scalar_t>{made.terms}, {n, 3}, state.charges).to(dtype);
  });
  return {potential, field};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> tapered_pairs_cuda(
    const Tensor& positions_in, const Tensor& cell_in, const Tensor& centers_in,
    const Tensor& neighbors_in, const Tensor& shifts_in, double cutoff, bool float32) {
  const DeviceGuard guard(positions_in.device());
  check_kept_pairs(positions_in, cell_in, centers_in, neighbors_in, shifts_in);
  const Tensor positions = positions_in.to(at::kDouble).contiguous(),
               cell = cell_in.to(at::kDouble).contiguous();
  const Tensor centers = centers_in.contiguous(), neighbors = neighbors_in.contiguous(),
               shifts = shifts_in.contiguous();
  const int64_t n_pairs = centers.size(0), blocks = blocks_of(n_pairs, kThreads);
  const Kept kept{{n_pairs, centers.const_data_ptr<int32_t>(), neighbors.const_data_ptr<int32_t>()},
                  shifts.const_data_ptr<int8_t>(),
                  positions.const_data_ptr<double>(),
                  cell.const_data_ptr<double>(),
                  cutoff * cutoff};
  const Tensor near = at::empty({n_pairs}, centers.options().dtype(at::kLong));
  launch(near_kernel, blocks, kThreads, 0, kept, near.data_ptr<int64_t>());
  const Tensor up_to = near.cumsum(0);
  const int64_t n_near = n_pairs == 0 ? 0 : up_to[n_pairs - 1].item<int64_t>();
  const auto dtype = float32 ? at::kFloat : positions_in.scalar_type();
  const Tensor near_centers = at::empty({n_near}, centers.options()),
               near_neighbors = at::empty({n_near}, neighbors.options()),
               near_shifts = at::empty({n_near, 3}, shifts.options()),
               vectors = at::empty({n_near, 3}, positions.options().dtype(dtype));
  AT_DISPATCH_FLOATING_TYPES(dtype, "tapered_pairs", [&] {
    launch(take_kernel<scalar_t>, blocks, kThreads, 0, kept, up_to.const_data_ptr<int64_t>(),
           near_centers.data_ptr<int32_t>(), near_neighbors.data_ptr<int32_t>(),
           near_shifts.data_ptr<int8_t>(), vectors.data_ptr<scalar_t>());
  });
  return {near_centers, near_neighbors, near_shifts, vectors};
}

Tensor tapered_radials_cuda(const Tensor& centers, const Tensor& neighbors, const Tensor& vectors,
                            const Tensor& kind_in, const Tensor& gamma, double cutoff,
                            const std::optional<Tensor>& shells) {
  const DeviceGuard guard(vectors.device());
  const TaperedPairs pairs{centers, neighbors, vectors};
  check_pairs(pairs, kind_in.size(0));
  check_kinds(pairs, kind_in, gamma, shells);
  const int64_t n_pairs = centers.size(0), blocks = blocks_of(n_pairs, kThreads);
  const Tensor radials = at::empty({shells.has_value() ? 9 : 3, n_pairs}, vectors.options());
  AT_DISPATCH_FLOATING_TYPES(vectors.scalar_type(), "tapered_radials", [&] {
    Bound<scalar_t> made(pairs);
    const Widths<scalar_t> widths{made.template data<int64_t>(kind_in),
                                  made.template data<scalar_t>(gamma), gamma.size(0),
                                  static_cast<scalar_t>(cutoff)};
    scalar_t* const to = radials.data_ptr<scalar_t>();
    if (shells.has_value()) {
      const Tensor zeros = at::zeros({kind_in.size(0)}, shells->options());
      const TaperedState state{zeros, zeros, *shells};
      made.set_atoms(state, none(state));
      launch(radials_kernel<scalar_t, true>, blocks, kThreads, 0, made.terms, widths, to);
    } else {
      launch(radials_kernel<scalar_t, false>, blocks, kThreads, 0, made.terms, widths, to);
    }
  });
  return radials;
}

std::tuple<Tensor, Tensor> tapered_gradient_cuda(const Tensor& centers, const Tensor& neighbors,
                                                 const Tensor& vectors, const Tensor& at_cores,
                                                 const Tensor& at_shells, const Tensor& core_charge,
                                                 const Tensor& charges, const Tensor& shells,
                                                 bool with_potential, bool with_field) {
  const DeviceGuard guard(charges.device());
  const TaperedPairs pairs{centers, neighbors, vectors};
  const TaperedRadials radials{at_cores, at_shells};
  const TaperedState state{core_charge, charges, shells};
  check_sum(pairs, radials, state);
  return sums_of_both<Potential, Field>(pairs, radials, state, none(state), with_potential,
                                        with_field);
}

std::tuple<Tensor, Tensor> tapered_product_cuda(const Tensor& centers, const Tensor& neighbors,
                                                const Tensor& vectors, const Tensor& at_cores,
                                                const Tensor& at_shells, const Tensor& core_charge,
                                                const Tensor& charges, const Tensor& shells,
                                                const Tensor& dq, const Tensor& ds,
                                                bool with_potential, bool with_field) {
  const DeviceGuard guard(charges.device());
  const TaperedPairs pairs{centers, neighbors, vectors};
  const TaperedRadials radials{at_cores, at_shells};
  const TaperedState state{core_charge, charges, shells};
  const TaperedChange change{dq, ds};
  check_sum(pairs, radials, state);
  check_change(change, state);
  return sums_of_both<PotentialChange, FieldChange>(pairs, radials, state, change, with_potential,
                                                    with_field);
}

std::tuple<Tensor, Tensor, Tensor> tapered_forces_cuda(
    const Tensor& centers, const Tensor& neighbors, const Tensor& shifts_in, const Tensor& vectors,
    const Tensor& at_cores, const Tensor& at_shells, const Tensor& core_charge,
    const Tensor& charges, const Tensor& shells, const Tensor& dq, const Tensor& ds,
    double energy_weight) {
  const DeviceGuard guard(charges.device());
  const TaperedPairs pairs{centers, neighbors, vectors};
  const TaperedRadials radials{at_cores, at_shells};
  const TaperedState state{core_charge, charges, shells};
  const TaperedChange change{dq, ds};
  check_sum(pairs, radials, state);
  check_change(change, state);
  check_shifts(shifts_in, centers);
  const int64_t n = charges.size(0), blocks = blocks_of(centers.size(0), kThreads);
  const Tensor totals = at::empty({blocks, kTotals}, charges.options().dtype(at::kDouble));
  Tensor slopes;
  AT_DISPATCH_FLOATING_TYPES(vectors.scalar_type(), "tapered_forces", [&] {
    auto made = bound<scalar_t>(pairs, radials, state, change);
    made.terms.work.shifts = made.template data<int8_t>(shifts_in);
    made.terms.work.energy_weight = static_cast<scalar_t>(energy_weight);
    slopes = summed(made.pairs, Slopes<scalar_t>{made.terms}, {n, 3}, charges);
    launch(totals_kernel<scalar_t>, blocks, kThreads, 0, made.terms, totals.data_ptr<double>());
  });
  const auto dtype = charges.scalar_type();
  const Tensor total = totals.sum(0).to(dtype);
  return {total[9].clone(), slopes.to(dtype), total.narrow(0, 0, 9).view({3, 3}).clone()};
}

Tensor pair_matrix_product_cuda(const Tensor& centers, const Tensor& neighbors,
                                const Tensor& values_in, const Tensor& x_in) {
  const DeviceGuard guard(x_in.device());
  check_matrix(centers, neighbors, values_in, x_in);
  const Tensor of_center = centers.contiguous(), of_neighbor = neighbors.contiguous(),
               values = values_in.contiguous(), x = x_in.to(at::kDouble).contiguous();
  const Indices pairs{centers.size(0), of_center.const_data_ptr<int32_t>(),
                      of_neighbor.const_data_ptr<int32_t>()};
  Tensor product;
  AT_DISPATCH_FLOATING_TYPES(values.scalar_type(), "pair_matrix_product", [&] {
    const MatrixProduct<scalar_t> terms{pairs.centers, pairs.neighbors,
                                        values.const_data_ptr<scalar_t>(),
                                        x.const_data_ptr<double>()};
    product = summed(pairs, terms, {x.size(0)}, x);
  });
  return product.to(x_in.scalar_type());
}

}  // namespace
}  // namespace openmm_pqeq

PQEQ_LIBRARY_OF_CUDA_KERNELS(library) {
  library.impl("tapered_pairs", openmm_pqeq::tapered_pairs_cuda);
  library.impl("tapered_radials", openmm_pqeq::tapered_radials_cuda);
  library.impl("tapered_gradient", openmm_pqeq::tapered_gradient_cuda);
  library.impl("tapered_product", openmm_pqeq::tapered_product_cuda);
  library.impl("tapered_forces", openmm_pqeq::tapered_forces_cuda);
  library.impl("pair_matrix_product", openmm_pqeq::pair_matrix_product_cuda);
}
