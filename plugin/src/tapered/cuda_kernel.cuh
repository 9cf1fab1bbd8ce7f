// Sums over pairs of the tapered interaction on NVIDIA GPUs: a thread for each pair.
//
// A pair adds to two atoms, and so do many threads at once: sums are whole multiples of a unit
// (whole_sums.cuh), which the largest term decides; that is looked for first.
#pragma once

#include "tapered/formulae.h"
#include "whole_sums.cuh"

namespace openmm_pqeq {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kTotals = 10;  // of a block: slope in the cell, energy

__device__ inline int64_t pair_of_thread() {
  return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
}

// ---- terms: of a pair, what it adds to its center and to its neighbor

template <typename T>
struct Terms {
  TaperedWork<T> work;
  PairIndices pairs() const { return {work.n_pairs, work.centers, work.neighbors}; }
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
  PairMatrix<T> matrix;
  PairIndices pairs() const { return matrix.pairs; }
  __device__ Ends<double> operator()(int64_t p) const {
    const double value = matrix.values[p];
    return {value * matrix.x[matrix.pairs.neighbors[p]], value * matrix.x[matrix.pairs.centers[p]]};
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
__global__ void __launch_bounds__(kThreads) largest_kernel(PairIndices pairs, Of of, Sum* largest) {
  const int64_t p = pair_of_thread();
  Sum most = 0;
  if (p < pairs.n) {
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
    sum_kernel(PairIndices pairs, Of of, const double* unit, Sum* sums) {
  const int64_t mine = pair_of_thread(), p = mine < pairs.n ? mine : pairs.n - 1;
  const double there = mine < pairs.n ? 1.0 / *unit : 0.0;
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

__global__ void __launch_bounds__(kThreads) near_kernel(TaperedList list, int64_t* near) {
  const int64_t p = pair_of_thread();
  if (p >= list.pairs.n) return;
  near[p] = is_near(list, vector_of(list, p)) ? 1 : 0;
}

// up_to[p]: how many of the pairs up to and with p are near.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    take_kernel(TaperedList list, const int64_t* up_to, int32_t* centers, int32_t* neighbors,
                int8_t* shifts, T* vectors) {
  const int64_t p = pair_of_thread();
  if (p >= list.pairs.n || up_to[p] == (p > 0 ? up_to[p - 1] : 0)) return;
  const int64_t at = up_to[p] - 1;
  centers[at] = list.pairs.centers[p];
  neighbors[at] = list.pairs.neighbors[p];
  const Three<double> d = vector_of(list, p);
  PQEQ_UNROLL
  for (int a = 0; a < 3; ++a) {
    shifts[3 * at + a] = list.shifts[3 * p + a];
    vectors[3 * at + a] = static_cast<T>(component(d, a));
  }
}

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
    radials_kernel(Terms<T> of, TaperedWidths<T> widths, T* radials) {
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

}  // namespace openmm_pqeq
