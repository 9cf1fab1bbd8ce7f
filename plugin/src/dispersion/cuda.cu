// dispersion on NVIDIA GPUs: a thread per pair.
//
// A pair adds to two atoms, and so do many threads at once: sums are whole multiples of 2⁻⁴⁰
// (whole_sums.cuh). Pairs are sorted by centre: most warps have one, and add to it once.
#include "dispersion/arguments.h"
#include "dispersion/formulae.h"
#include "whole_sums.cuh"

#include <ATen/Dispatch.h>

namespace openmm_pqeq {
namespace {

using Index = int64_t;

constexpr int kThreads = 256;
constexpr double kUnits =
    1099511627776.0;  // 2⁴⁰ in an eV, an eV/Å or a neighbour: up to 8e6 of them fit

__device__ inline long long units(double value) { return __double2ll_rn(value * kUnits); }

// A pair: its atoms, r_ij in Å, and whether the thread has one at all (else all that it adds is
// zero).
template <typename T>
struct Pair {
  Index center, neighbor, structure;
  int kind_of_center, kind_of_neighbor;
  double vector[3], shift[3];
  T r, inverse;
  bool there, one_center;
};

template <typename T>
__device__ Pair<T> pair_of_thread(const DispersionPairs<T>& of) {
  const Index mine = static_cast<Index>(blockIdx.x) * kThreads + threadIdx.x,
              p = mine < of.n_pairs ? mine : of.n_pairs - 1;
  Pair<T> pair;
  pair.there = mine < of.n_pairs;
  pair.center = of.centers[p];
  pair.neighbor = of.neighbors[p];
  pair.structure = of.batch[pair.center];
  pair.kind_of_center = of.kinds[pair.center];
  pair.kind_of_neighbor = of.kinds[pair.neighbor];
  pair.one_center = warp_agrees(static_cast<int>(pair.center));
  for (int a = 0; a < 3; ++a) pair.shift[a] = static_cast<double>(of.shifts[3 * p + a]);
  const double* cell =
      of.offsets + pair.structure * 3 * 256 * 4 + 129 * 4;  // once each lattice vector
  T square = T(0);
  for (int b = 0; b < 3; ++b) {
    const double offset = pair.shift[0] * cell[b] + pair.shift[1] * cell[256 * 4 + b] +
                          pair.shift[2] * cell[512 * 4 + b];
    pair.vector[b] =
        of.positions[4 * pair.neighbor + b] - of.positions[4 * pair.center + b] + offset;
    square += static_cast<T>(pair.vector[b]) * static_cast<T>(pair.vector[b]);
  }
  pair.r = sqrt(square);
  pair.inverse = T(1) / pair.r;
  return pair;
}

template <typename T>
__device__ PairConstants<T> constants(const DispersionPairs<T>& of, const Pair<T>& pair) {
  const Index step = of.n_kinds * of.n_kinds;
  const T* const data = of.constants + pair.kind_of_center * of.n_kinds + pair.kind_of_neighbor;
  return {data[0], data[step], data[2 * step], data[3 * step], data[4 * step]};
}

template <typename T>
__device__ Radial<T> product(Radial<T> a, Radial<T> b) {
  return {a.value * b.value, a.slope * b.value + a.value * b.slope};
}

template <typename T>
__device__ Radial<T> damped(const DispersionPairs<T>& of, const Pair<T>& pair) {
  const PairConstants<T> given = constants(of, pair);
  const Radial<T> inside = switched(pair.r, of.cutoff, of.inverse_width);
  if (!of.zero_damping) return product(rational_damped(pair.r, pair.inverse, given), inside);
  const T alp = static_cast<T>(of.alp), exponent = static_cast<T>(of.alp - 6.0);
  const T power6 = pow(pair.r * given.first, exponent),
          power8 = pow(pair.r * given.second, exponent);
  return product(zero_damped(pair.r, pair.inverse, given, power6, power8, alp), inside);
}

// C6 of the pair, and its derivatives in the two coordination numbers.
template <typename T>
struct C6 {
  T value, of_center, of_neighbor;
};

template <typename T>
__device__ C6<T> c6_of(const DispersionPairs<T>& of, const Pair<T>& pair) {
  const T* const w = of.weights + kWeights * pair.center;
  const T* const v = of.weights + kWeights * pair.neighbor;
  const T* table = of.c6 + (pair.kind_of_center * of.n_kinds + pair.kind_of_neighbor) *
                               kReferences * kReferences;
  C6<T> c6{T(0), T(0), T(0)};
  for (int a = 0; a < kReferences; ++a, table += kReferences) {
    T sum = T(0), slope = T(0);
    for (int b = 0; b < kReferences; ++b) {
      sum += table[b] * v[b];
      slope += table[b] * v[kWeights / 2 + b];
    }
    c6.value += w[a] * sum;
    c6.of_center += w[kWeights / 2 + a] * sum;
    c6.of_neighbor += w[a] * slope;
  }
  return c6;
}

// Adds to both ends, and to the cell, what a pair with ∂L/∂r = slope r gives.
template <typename T>
__device__ void add_slope(const Pair<T>& pair, T slope_over_r, Sum* sums, Sum* cell) {
  const double scale = pair.there ? static_cast<double>(slope_over_r) : 0.0;
  long long slopes[3];
  for (int b = 0; b < 3; ++b) {
    slopes[b] = units(pair.vector[b] * scale);
    add(sums + 4 * pair.neighbor + b, slopes[b]);
    add_together(sums + 4 * pair.center + b, -slopes[b], pair.one_center);
  }
  if (cell == nullptr) return;
  for (int a = 0; a < 3; ++a) {
    // one centre has one structure
    for (int b = 0; b < 3; ++b) {
      const long long part = static_cast<long long>(pair.shift[a]) * slopes[b];
      add_together(cell + 9 * pair.structure + 3 * a + b, part, pair.one_center);
    }
  }
}

template <typename T>
__global__ void count_kernel(DispersionPairs<T> of, Sum* sums) {
  const Pair<T> pair = pair_of_thread(of);
  const Radial<T> count = counted(pair.inverse, constants(of, pair).radius),
                  inside = switched(pair.r, of.cn_cutoff, of.inverse_width);
  const long long added = pair.there ? units(count.value * inside.value) : 0;
  add(sums + pair.neighbor, added);
  add_together(sums + pair.center, added, pair.one_center);
}

template <typename T>
__global__ void energy_kernel(DispersionPairs<T> of, Sum* sums) {
  const Pair<T> pair = pair_of_thread(of);
  const long long added =
      pair.there ? units(T(-0.5) * c6_of(of, pair).value * damped(of, pair).value) : 0;
  add(sums + pair.neighbor, added);
  add_together(sums + pair.center, added, pair.one_center);
}

template <typename T>
__global__ void slope_kernel(DispersionPairs<T> of, Sum* sums, Sum* cell) {
  const Pair<T> pair = pair_of_thread(of);
  const Radial<T> radial = damped(of, pair);
  const C6<T> c6 = c6_of(of, pair);
  const T factor =
      static_cast<T>(-0.5 * (of.cotangents[pair.center] + of.cotangents[pair.neighbor]));
  add_slope(pair, factor * c6.value * radial.slope * pair.inverse, sums, cell);
  add(sums + 4 * pair.neighbor + 3, pair.there ? units(factor * c6.of_neighbor * radial.value) : 0);
  add_together(sums + 4 * pair.center + 3,
               pair.there ? units(factor * c6.of_center * radial.value) : 0, pair.one_center);
}

template <typename T>
__global__ void chain_kernel(DispersionPairs<T> of, Sum* sums, Sum* cell) {
  const Pair<T> pair = pair_of_thread(of);
  const Radial<T> count = product(counted(pair.inverse, constants(of, pair).radius),
                                  switched(pair.r, of.cn_cutoff, of.inverse_width));
  const T factor = static_cast<T>(of.chain[pair.center] + of.chain[pair.neighbor]);
  add_slope(pair, factor * count.slope * pair.inverse, sums, cell);
}

// A thread for each pair.
template <typename T, typename... Parameters, typename... Arguments>
void over_pairs(void (*kernel)(Parameters...), const DispersionPairs<T>& pairs,
                Arguments... arguments) {
  launch(kernel, blocks_of(pairs.n_pairs, kThreads), kThreads, 0, pairs, arguments...);
}

Tensor numbers(const Tensor& sums) { return sums.to(at::kDouble) / kUnits; }

Both dispersion_cuda(const DispersionArguments& given) {
  const DeviceGuard guard(given.positions.device());
  check(given);
  const Dispersion work = prepared(given);
  const Tensor counts = zero_sums({given.positions.size(0)}, given.positions),
               sums = zero_sums({given.positions.size(0)}, given.positions);
  Tensor coordination_numbers;
  AT_DISPATCH_FLOATING_TYPES(given.c6.scalar_type(), "dispersion", [&] {
    auto pairs = dispersion_pairs<scalar_t>(work, given);
    over_pairs(count_kernel<scalar_t>, pairs, sums_of(counts));
    coordination_numbers = numbers(counts);
    const Tensor weights = dispersion_weights(given, coordination_numbers);
    pairs.weights = weights.const_data_ptr<scalar_t>();
    over_pairs(energy_kernel<scalar_t>, pairs, sums_of(sums));
  });
  return {numbers(sums).to(given.positions.scalar_type()),
          coordination_numbers.to(given.positions.scalar_type())};
}

Both dispersion_backward_cuda(const Tensor& gradients, const Tensor& coordination_numbers,
                              const DispersionArguments& given, bool with_cell) {
  const DeviceGuard guard(given.positions.device());
  check(given);
  check_atoms(given, gradients, coordination_numbers);
  const Dispersion work = prepared(given);
  const int64_t n_structures = given.cell.size(0);
  const Tensor sums = zero_sums({given.positions.size(0), 4}, given.positions),
               cell_sums = zero_sums({n_structures, 9}, given.positions);
  // The largest cotangent becomes 1, so that whatever unit it is in the sums fit; and where one is
  // not finite, no slope is.
  const Tensor magnitudes =
      at::cat({gradients.detach().to(at::kDouble).abs(), at::zeros({1}, work.positions.options())});
  const Tensor most = magnitudes.max(), largest = at::where(most == 0.0, at::ones_like(most), most);
  const Tensor cotangents = (gradients.to(at::kDouble) / largest).contiguous();
  const Tensor weights = dispersion_weights(given, coordination_numbers);
  Sum* const at_cell = with_cell ? sums_of(cell_sums) : nullptr;
  AT_DISPATCH_FLOATING_TYPES(given.c6.scalar_type(), "dispersion_backward", [&] {
    auto pairs = dispersion_pairs<scalar_t>(work, given);
    pairs.weights = weights.const_data_ptr<scalar_t>();
    pairs.cotangents = cotangents.const_data_ptr<double>();
    over_pairs(slope_kernel<scalar_t>, pairs, sums_of(sums), at_cell);
    const Tensor chain = numbers(sums.select(1, 3)).contiguous();
    pairs.chain = chain.const_data_ptr<double>();
    over_pairs(chain_kernel<scalar_t>, pairs, sums_of(sums), at_cell);
  });
  const Tensor slopes = numbers(sums.narrow(1, 0, 3)) * largest,
               of_cell = numbers(cell_sums) * largest;
  return {slopes.to(given.positions.scalar_type()).contiguous(),
          of_cell.view({n_structures, 3, 3}).to(given.cell.scalar_type())};
}

}  // namespace
}  // namespace openmm_pqeq

PQEQ_LIBRARY_OF_CUDA_KERNELS(library) {
  library.impl("dispersion", openmm_pqeq::dispersion<openmm_pqeq::dispersion_cuda>);
  library.impl("dispersion_backward",
               openmm_pqeq::dispersion_backward<openmm_pqeq::dispersion_backward_cuda>);
}
