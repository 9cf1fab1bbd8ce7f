// D3 for a range of pairs, in blocks of pairs that share their centre.
//
// Vectors between atoms are formed in double, pair after pair. What depends on the distance is
// computed in loops over the block that the compiler turns into vectors; what is added to
// neighbours is added in double, pair after pair.
//
// CMake compiles this file once per instruction set, PQEQ_LEVEL being the name of each. It includes
// no library with inline functions: the linker would keep one copy of them for all, perhaps that
// with instructions which the processor does not have.
#include "dispersion/cpu_kernel.h"
#include "vectors.h"

#include "dispersion/formulae.h"

namespace openmm_pqeq {
namespace PQEQ_LEVEL {
namespace {

constexpr int kBlock = 128;  // pairs
constexpr int kLanes =
    16;  // blocks are filled up to whole vectors with pairs that count for nothing
constexpr int kReferences = 5, kWeights = 16, kDerivatives = 8;

typedef double Four __attribute__((vector_size(32), aligned(8), may_alias));

inline Four four(const double* from) { return *reinterpret_cast<const Four*>(from); }
inline void add_four(double* to, Four value) { *reinterpret_cast<Four*>(to) += value; }

inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }
inline float power(float x, float exponent) { return __builtin_powf(x, exponent); }
inline double power(double x, double exponent) { return __builtin_pow(x, exponent); }

template <typename T>
struct alignas(64) Block {
  double vectors[4 * kBlock];  // r_ij and a zero, Å
  T r[kBlock], inverse[kBlock];
  int32_t kinds[kBlock];
  int n, whole;  // pairs, and with those that fill up the last vector
  Index center, first;
  const int32_t* neighbors;
};

// The block that begins with a pair, of at most kBlock with the same centre.
template <typename T>
inline void fill(const DispersionPairs<T>& of, Index first, Index end, Block<T>& block) {
  const Index center = of.centers[first], limit = end - first < kBlock ? end - first : kBlock;
  const int32_t* const centers = of.centers + first;
  const int32_t* const neighbors = of.neighbors + first;
  const int8_t* shift = of.shifts + 3 * first;
  const double* const offsets = of.offsets + of.batch[center] * 3 * 256 * 4 + 128 * 4;
  const Four origin = four(of.positions + 4 * center);
  int n = 0;
  for (; n < limit && centers[n] == center; ++n, shift += 3) {
    const Four offset = four(offsets + 4 * shift[0]) + four(offsets + 4 * (256 + shift[1])) +
                        four(offsets + 4 * (512 + shift[2]));
    *reinterpret_cast<Four*>(block.vectors + 4 * n) =
        four(of.positions + 4 * neighbors[n]) - origin + offset;
    block.kinds[n] = of.kinds[neighbors[n]];
  }
  block.n = n;
  block.whole = (n + kLanes - 1) / kLanes * kLanes;
  for (; n < block.whole; ++n) {
    *reinterpret_cast<Four*>(block.vectors + 4 * n) = Four{1.0, 0.0, 0.0, 0.0};
    block.kinds[n] = 0;
  }
  block.center = center;
  block.first = first;
  block.neighbors = neighbors;
  const double* const vectors = block.vectors;
  for (int q = 0; q < block.whole; ++q) {
    const T x = static_cast<T>(vectors[4 * q]), y = static_cast<T>(vectors[4 * q + 1]),
            z = static_cast<T>(vectors[4 * q + 2]);
    const T r = root(x * x + y * y + z * z);
    block.r[q] = r;
    block.inverse[q] = T(1) / r;
  }
}

// Constants of the pairs of a kind with every other.
template <typename T>
struct Row {
  const T* data;
  Index n, step;
  Row(const DispersionPairs<T>& of, Index kind)
      : data(of.constants + kind * of.n_kinds), step(of.n_kinds * of.n_kinds) {}
  inline T radius(int32_t kind) const { return data[kind]; }
  inline PairConstants<T> operator[](int32_t kind) const {
    return {data[kind], data[step + kind], data[2 * step + kind], data[3 * step + kind],
            data[4 * step + kind]};
  }
};

// x^exponent of a whole block: by squaring where the exponent is a small whole number.
template <typename T>
inline void powers(T* __restrict x, T* __restrict made, int n, double exponent) {
  const int whole = exponent >= 0.0 && exponent <= 64.0 ? static_cast<int>(exponent) : -1;
  if (static_cast<double>(whole) != exponent) {
    for (int q = 0; q < n; ++q) made[q] = power(x[q], static_cast<T>(exponent));
    return;
  }
  for (int q = 0; q < n; ++q) made[q] = T(1);
  for (int rest = whole; rest > 0; rest >>= 1) {
    if (rest & 1) {
      for (int q = 0; q < n; ++q) made[q] *= x[q];
    }
    for (int q = 0; q < n; ++q) x[q] *= x[q];
  }
}

// damped(r) switch(r) of a block, and the derivative.
template <typename T>
inline void damp_block(const DispersionPairs<T>& of, const Block<T>& block, const Row<T>& row,
                       T* __restrict value, T* __restrict slope) {
  const int n = block.whole;
  const T *const r = block.r, *const inverse = block.inverse;
  const int32_t* const kinds = block.kinds;
  if (of.zero_damping) {
    alignas(64) T x[kBlock], power6[kBlock], power8[kBlock];
    for (int q = 0; q < n; ++q) x[q] = r[q] * row[kinds[q]].first;
    powers(x, power6, n, of.alp - 6.0);
    for (int q = 0; q < n; ++q) x[q] = r[q] * row[kinds[q]].second;
    powers(x, power8, n, of.alp - 6.0);
    const T alp = static_cast<T>(of.alp);
    for (int q = 0; q < n; ++q) {
      const Radial<T> pair =
          zero_damped(r[q], inverse[q], row[kinds[q]], power6[q], power8[q], alp);
      const Radial<T> inside = switched(r[q], of.cutoff, of.inverse_width);
      value[q] = pair.value * inside.value;
      slope[q] = pair.slope * inside.value + pair.value * inside.slope;
    }
  } else {
    for (int q = 0; q < n; ++q) {
      const Radial<T> pair = rational_damped(r[q], inverse[q], row[kinds[q]]);
      const Radial<T> inside = switched(r[q], of.cutoff, of.inverse_width);
      value[q] = pair.value * inside.value;
      slope[q] = pair.slope * inside.value + pair.value * inside.slope;
    }
  }
}

// count(r) switch(r) of a block, and the derivative.
template <typename T>
inline void count_block(const DispersionPairs<T>& of, const Block<T>& block, const Row<T>& row,
                        T* __restrict value, T* __restrict slope) {
  const T *const r = block.r, *const inverse = block.inverse;
  const int32_t* const kinds = block.kinds;
  for (int q = 0; q < block.whole; ++q) {
    const Radial<T> pair = counted(inverse[q], row.radius(kinds[q]));
    const Radial<T> inside = switched(r[q], of.cn_cutoff, of.inverse_width);
    value[q] = pair.value * inside.value;
    slope[q] = pair.slope * inside.value + pair.value * inside.slope;
  }
}

// Σ_a w_a C6_ab of a centre with every kind, and the same with the derivative of w_a: kWeights
// numbers for each kind.
template <typename T>
inline void half_c6(const DispersionPairs<T>& of, Index center, T* made) {
  const T* const weights = of.weights + kWeights * center;
  const T* c6 = of.c6 + of.kinds[center] * of.n_kinds * kReferences * kReferences;
  for (Index kind = 0; kind < of.n_kinds;
       ++kind, made += kWeights, c6 += kReferences * kReferences) {
    for (int b = 0; b < kWeights; ++b) made[b] = T(0);
    for (int a = 0; a < kReferences; ++a) {
      for (int b = 0; b < kReferences; ++b) {
        made[b] += weights[a] * c6[kReferences * a + b];
        made[kDerivatives + b] += weights[kDerivatives + a] * c6[kReferences * a + b];
      }
    }
  }
}

template <typename T>
inline T dot(const T* a, const T* b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3] + a[4] * b[4];
}

template <typename T>
inline double summed(const T* __restrict values, int n) {
  double sum = 0.0;
#pragma omp simd reduction(+ : sum)
  for (int q = 0; q < n; ++q) sum += static_cast<double>(values[q]);
  return sum;
}

// Memory for half_c6 of a centre, which blocks with the same centre share.
template <typename T>
struct Centers {
  T* half;
  Index last = -1;
  explicit Centers(Index n_kinds) : half(new T[kWeights * (n_kinds > 0 ? n_kinds : 1)]) {}
  ~Centers() { delete[] half; }
  Centers(const Centers&) = delete;
  Centers& operator=(const Centers&) = delete;
  inline void at(const DispersionPairs<T>& of, Index center) {
    if (center != last) half_c6(of, center, half);
    last = center;
  }
};

// Adds to both ends, and to the cell, what a block with ∂L/∂r = slope r gives; `fourth`, where
// there is one, is added at neighbours.
template <typename T>
inline void add_slopes(const DispersionPairs<T>& of, const Block<T>& block, const T* slope_over_r,
                       const T* fourth, double of_center, double* sums, double* cell) {
  Four own{};
  for (int q = 0; q < block.n; ++q) {
    const double scale = static_cast<double>(slope_over_r[q]);
    Four slope = four(block.vectors + 4 * q) * scale;
    own -= slope;
    if (fourth != nullptr) slope[3] = static_cast<double>(fourth[q]);
    add_four(sums + 4 * block.neighbors[q], slope);
  }
  own[3] = of_center;
  add_four(sums + 4 * block.center, own);
  if (cell == nullptr) return;
  double* const rows = cell + 9 * of.batch[block.center];
  const int8_t* shift = of.shifts + 3 * block.first;
  Four row[3] = {};
  for (int q = 0; q < block.n; ++q, shift += 3) {
    const Four slope = four(block.vectors + 4 * q) * static_cast<double>(slope_over_r[q]);
    for (int a = 0; a < 3; ++a) row[a] += slope * static_cast<double>(shift[a]);
  }
  for (int a = 0; a < 3; ++a) {
    for (int b = 0; b < 3; ++b) rows[3 * a + b] += row[a][b];
  }
}

}  // namespace

template <typename T>
void dispersion_counts(const DispersionPairs<T>& of, Index begin, Index end, double* sums) {
  Block<T> block;
  alignas(64) T count[kBlock], slope[kBlock];
  for (Index first = begin; first < end; first += block.n) {
    fill(of, first, end, block);
    count_block(of, block, Row<T>(of, of.kinds[block.center]), count, slope);
    for (int q = 0; q < block.n; ++q) sums[block.neighbors[q]] += static_cast<double>(count[q]);
    sums[block.center] += summed(count, block.n);
  }
}

template <typename T>
void dispersion_energies(const DispersionPairs<T>& of, Index begin, Index end, double* sums) {
  Block<T> block;
  Centers<T> centers(of.n_kinds);
  alignas(64) T energy[kBlock], slope[kBlock];
  for (Index first = begin; first < end; first += block.n) {
    fill(of, first, end, block);
    centers.at(of, block.center);
    damp_block(of, block, Row<T>(of, of.kinds[block.center]), energy, slope);
    for (int q = 0; q < block.n; ++q) {
      const T c6 =
          dot(centers.half + kWeights * block.kinds[q], of.weights + kWeights * block.neighbors[q]);
      energy[q] *= T(-0.5) * c6;
      sums[block.neighbors[q]] += static_cast<double>(energy[q]);
    }
    sums[block.center] += summed(energy, block.n);
  }
}

template <typename T>
void dispersion_slopes(const DispersionPairs<T>& of, Index begin, Index end, double* sums,
                       double* cell) {
  Block<T> block;
  Centers<T> centers(of.n_kinds);
  alignas(64) T value[kBlock], slope[kBlock], of_center[kBlock], of_neighbor[kBlock];
  for (Index first = begin; first < end; first += block.n) {
    fill(of, first, end, block);
    centers.at(of, block.center);
    damp_block(of, block, Row<T>(of, of.kinds[block.center]), value, slope);
    const double own = of.cotangents[block.center];
    for (int q = 0; q < block.n; ++q) {
      const T* const half = centers.half + kWeights * block.kinds[q];
      const T* const weights = of.weights + kWeights * block.neighbors[q];
      const T factor = static_cast<T>(-0.5 * (own + of.cotangents[block.neighbors[q]]));
      slope[q] *= factor * dot(half, weights) * block.inverse[q];
      of_center[q] = factor * dot(half + kDerivatives, weights) * value[q];
      of_neighbor[q] = factor * dot(half, weights + kDerivatives) * value[q];
    }
    add_slopes(of, block, slope, of_neighbor, summed(of_center, block.n), sums, cell);
  }
}

template <typename T>
void dispersion_chain(const DispersionPairs<T>& of, Index begin, Index end, double* sums,
                      double* cell) {
  Block<T> block;
  alignas(64) T count[kBlock], slope[kBlock];
  for (Index first = begin; first < end; first += block.n) {
    fill(of, first, end, block);
    count_block(of, block, Row<T>(of, of.kinds[block.center]), count, slope);
    const double own = of.chain[block.center];
    for (int q = 0; q < block.n; ++q)
      slope[q] *= static_cast<T>(own + of.chain[block.neighbors[q]]) * block.inverse[q];
    add_slopes(of, block, slope, static_cast<const T*>(nullptr), 0.0, sums, cell);
  }
}

#define PQEQ_INSTANTIATE_DISPERSION(T)                                                           \
  template void dispersion_counts<T>(const DispersionPairs<T>&, Index, Index, double*);          \
  template void dispersion_energies<T>(const DispersionPairs<T>&, Index, Index, double*);        \
  template void dispersion_slopes<T>(const DispersionPairs<T>&, Index, Index, double*, double*); \
  template void dispersion_chain<T>(const DispersionPairs<T>&, Index, Index, double*, double*);

PQEQ_INSTANTIATE_DISPERSION(float)
PQEQ_INSTANTIATE_DISPERSION(double)

}  // namespace PQEQ_LEVEL
}  // namespace openmm_pqeq
