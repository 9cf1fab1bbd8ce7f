// Sums over pairs of the tapered interaction (formulae.h).
//
// Pairs come with their centers ascending, so what belongs to a center is added up in registers and
// written once.
//
// CMake compiles this file once per instruction set, PQEQ_LEVEL being the name of each. It includes
// no library with inline functions: the linker would keep one copy of them for all, perhaps that
// with instructions which the processor does not have.
#include "tapered/cpu_kernel.h"

#include "tapered/formulae.h"

#ifndef PQEQ_LEVEL
#define PQEQ_LEVEL any_cpu
#endif

namespace openmm_pqeq {
namespace PQEQ_LEVEL {
namespace {

template <typename T>
inline void add(double* to, Three<T> value) {
  to[0] += value.x;
  to[1] += value.y;
  to[2] += value.z;
}
template <typename T>
inline Three<double> in_double(Three<T> value) {
  return {value.x, value.y, value.z};
}

// Calls each(pair, i, j, atom i, atom j, sum of the center) for pairs begin to end, and done(i,
// sum) after the last pair of a center.
template <typename T, typename Sum, typename Each, typename Done>
inline void over_pairs(const TaperedWork<T>& work, int64_t begin, int64_t end, Each each,
                       Done done) {
  int64_t p = begin;
  while (p < end) {
    const int32_t i = work.centers[p];
    const TaperedAtom<T>& center = work.atoms[i];
    Sum sum{};
    for (; p < end && work.centers[p] == i; ++p) {
      const int32_t j = work.neighbors[p];
      each(p, j, center, work.atoms[j], sum);
    }
    done(i, sum);
  }
}

}  // namespace

template <typename T>
void measure(const TaperedWork<T>& work, Separation which, const int64_t* kind, const T* gamma,
             int64_t n_kinds, int64_t begin, int64_t end, T* __restrict distance,
             T* __restrict scaled, T* __restrict exponent) {
  const bool neighbor = which == Separation::u || which == Separation::w,
             center = which == Separation::v || which == Separation::w;
  for (int64_t p = begin; p < end; ++p) {
    const int32_t i = work.centers[p], j = work.neighbors[p];
    Three<T> r = three(work.vectors + 3 * p);
    if (neighbor) r = r + three(work.atoms[j].s);
    if (center) r = r - three(work.atoms[i].s);
    distance[p - begin] = dot(r, r);
    scaled[p - begin] = gamma[kind[i] * n_kinds + kind[j]];
  }
  for (int64_t k = 0; k < end - begin; ++k) {
    const T square = distance[k], width = scaled[k];
    distance[k] = sizeof(T) == 8 ? static_cast<T>(__builtin_sqrt(square))
                                 : static_cast<T>(__builtin_sqrtf(square));
    scaled[k] = width * distance[k];
    exponent[k] = -width * width * square;
  }
}

template <typename T>
void taper_radials(const T* __restrict distance, const T* __restrict erf, const T* __restrict exp,
                   const T* __restrict gamma, T cutoff, int64_t n, T* __restrict f,
                   T* __restrict f1, T* __restrict f2) {
  for (int64_t k = 0; k < n; ++k) {
    const TaperedRadial<T> at = tapered_radial(distance[k], erf[k], exp[k], gamma[k], cutoff);
    f[k] = at.value;
    f1[k] = at.first;
    f2[k] = at.second;
  }
}

template <typename T>
void potential(const TaperedWork<T>& work, int64_t begin, int64_t end, double* sums) {
  over_pairs<T, double>(
      work, begin, end,
      [&](int64_t p, int32_t j, const TaperedAtom<T>& i, const TaperedAtom<T>& n, double& sum) {
        const Ends<T> ends = tapered_potential(work, p, i, n);
        sum += ends.center;
        sums[j] += ends.neighbor;
      },
      [&](int32_t i, double sum) { sums[i] += sum; });
}

template <typename T>
void field(const TaperedWork<T>& work, int64_t begin, int64_t end, double* sums) {
  over_pairs<T, Three<double>>(
      work, begin, end,
      [&](int64_t p, int32_t j, const TaperedAtom<T>& i, const TaperedAtom<T>& n,
          Three<double>& sum) {
        const Ends<Three<T>> ends = tapered_field(work, p, i, n);
        sum = sum + in_double(ends.center);
        add(sums + 3 * j, ends.neighbor);
      },
      [&](int32_t i, Three<double> sum) { add(sums + 3 * i, sum); });
}

template <typename T>
void potential_change(const TaperedWork<T>& work, int64_t begin, int64_t end, double* sums) {
  over_pairs<T, double>(
      work, begin, end,
      [&](int64_t p, int32_t j, const TaperedAtom<T>& i, const TaperedAtom<T>& n, double& sum) {
        const Ends<T> ends = tapered_potential_change(work, p, i, n);
        sum += ends.center;
        sums[j] += ends.neighbor;
      },
      [&](int32_t i, double sum) { sums[i] += sum; });
}

template <typename T>
void field_change(const TaperedWork<T>& work, int64_t begin, int64_t end, double* sums) {
  over_pairs<T, Three<double>>(
      work, begin, end,
      [&](int64_t p, int32_t j, const TaperedAtom<T>& i, const TaperedAtom<T>& n,
          Three<double>& sum) {
        const Ends<Three<T>> ends = tapered_field_change(work, p, i, n);
        sum = sum + in_double(ends.center);
        add(sums + 3 * j, ends.neighbor);
      },
      [&](int32_t i, Three<double> sum) { add(sums + 3 * i, sum); });
}

template <typename T>
void forces(const TaperedWork<T>& work, int64_t n_atoms, int64_t begin, int64_t end, double* sums) {
  double energy = 0.0, cell[9] = {};
  over_pairs<T, Three<double>>(
      work, begin, end,
      [&](int64_t p, int32_t j, const TaperedAtom<T>& i, const TaperedAtom<T>& n,
          Three<double>& sum) {
        energy += tapered_energy(work, p, i, n);
        const Three<double> found = in_double(tapered_slope(work, p, i, n));
        sum = sum - found;
        add(sums + 3 * j, found);
        const int8_t* const shift = work.shifts + 3 * p;
        if ((shift[0] | shift[1] | shift[2]) != 0) {
          for (int a = 0; a < 3; ++a) add(cell + 3 * a, static_cast<double>(shift[a]) * found);
        }
      },
      [&](int32_t i, Three<double> sum) { add(sums + 3 * i, sum); });
  for (int k = 0; k < 9; ++k) sums[3 * n_atoms + k] += cell[k];
  sums[3 * n_atoms + 9] += energy;
}

template <typename T>
void matrix_product(const int32_t* centers, const int32_t* neighbors, const T* values,
                    const double* x, int64_t begin, int64_t end, double* sums) {
  int64_t p = begin;
  while (p < end) {
    const int32_t i = centers[p];
    const double own = x[i];
    double sum = 0.0;
    for (; p < end && centers[p] == i; ++p) {
      const int32_t j = neighbors[p];
      const double value = values[p];
      sum += value * x[j];
      sums[j] += value * own;
    }
    sums[i] += sum;
  }
}

#define PQEQ_TAPERED(T)                                                                           \
  template void measure<T>(const TaperedWork<T>&, Separation, const int64_t*, const T*, int64_t,  \
                           int64_t, int64_t, T*, T*, T*);                                         \
  template void taper_radials<T>(const T*, const T*, const T*, const T*, T, int64_t, T*, T*, T*); \
  template void potential<T>(const TaperedWork<T>&, int64_t, int64_t, double*);                   \
  template void field<T>(const TaperedWork<T>&, int64_t, int64_t, double*);                       \
  template void potential_change<T>(const TaperedWork<T>&, int64_t, int64_t, double*);            \
  template void field_change<T>(const TaperedWork<T>&, int64_t, int64_t, double*);                \
  template void forces<T>(const TaperedWork<T>&, int64_t, int64_t, int64_t, double*);             \
  template void matrix_product<T>(const int32_t*, const int32_t*, const T*, const double*,        \
                                  int64_t, int64_t, double*);
PQEQ_TAPERED(float)
PQEQ_TAPERED(double)

}  // namespace PQEQ_LEVEL
}  // namespace openmm_pqeq
