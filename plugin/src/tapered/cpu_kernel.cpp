// Sums over pairs of the tapered interaction; the formulae are those of
// openmm_pqeq/pqeq/sweeps/tapered_reference.py.
//
//   E = Σ [ c_i c_j f(d) − c_i Z_j f(u) − Z_i c_j f(v) + Z_i Z_j f(w) ]
//   u = d + s_j,  v = d − s_i,  w = d + s_j − s_i
//
// Pairs come with their centers ascending, so what belongs to a center is added up in registers and
// written once.
//
// CMake compiles this file once per instruction set, PQEQ_LEVEL being the name of each. It includes
// no library with inline functions: the linker would keep one copy of them for all, perhaps that
// with instructions which the processor does not have.
#include "tapered/cpu_kernel.h"

#include "constants.h"

#ifndef PQEQ_LEVEL
#define PQEQ_LEVEL any_cpu
#endif

namespace openmm_pqeq {
namespace PQEQ_LEVEL {
namespace {

template <typename T>
struct Three {
  T x, y, z;
};
template <typename T>
inline Three<T> operator+(Three<T> a, Three<T> b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z};
}
template <typename T>
inline Three<T> operator-(Three<T> a, Three<T> b) {
  return {a.x - b.x, a.y - b.y, a.z - b.z};
}
template <typename T>
inline Three<T> operator*(T a, Three<T> b) {
  return {a * b.x, a * b.y, a * b.z};
}
template <typename T>
inline T dot(Three<T> a, Three<T> b) {
  return a.x * b.x + a.y * b.y + a.z * b.z;
}
template <typename T>
inline Three<T> three(const T* from) {
  return {from[0], from[1], from[2]};
}
template <typename T>
inline void add(double* to, Three<T> value) {
  to[0] += value.x;
  to[1] += value.y;
  to[2] += value.z;
}

// f, f1, f2 of one separation, and (f1 1 + f2 r rᵀ) times a vector.
template <typename T>
struct Bent {
  Three<T> r;
  T first, second;
  Three<T> operator()(Three<T> along) const { return first * along + (second * dot(r, along)) * r; }
};

// The three separations of pair `p` from a shell.
template <typename T>
struct Shells {
  Three<T> u, v, w;
  const T* rows;
  int64_t p, n, step;
  Shells(const TaperedWork<T>& work, int64_t pair, const TaperedAtom<T>& i, const TaperedAtom<T>& j)
      : rows(work.at_shells), p(pair), n(work.n_pairs), step(work.at_rest ? 0 : 3 * work.n_pairs) {
    const Three<T> d = three(work.vectors + 3 * pair);
    u = d + three(j.s);
    v = d - three(i.s);
    w = u - three(i.s);
  }
  T value(int which) const { return rows[which * step + p]; }
  T first(int which) const { return rows[which * step + n + p]; }
  T second(int which) const { return rows[which * step + 2 * n + p]; }
};

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
  const T per_cutoff = T(1) / cutoff;
  for (int64_t k = 0; k < n; ++k) {
    const T r = distance[k], inverse = T(1) / r, inverse_square = inverse * inverse,
            width = gamma[k];
    const T value = T(kCoulomb) * erf[k] * inverse;
    const T gauss = T(kCoulomb * kTwoOverSqrtPi) * width * exp[k];
    const T first = (gauss - value) * inverse_square;
    const T second = (T(-2) * width * width * gauss - T(3) * first) * inverse_square;
    const T x = r * per_cutoff, rest = x * (T(1) - x);
    const T taper = T(1) + x * x * x * x * (T(-35) + x * (T(84) + x * (T(-70) + x * T(20))));
    const T slope = T(-140) * rest * rest * rest * per_cutoff;
    const T bend = T(-420) * rest * rest * (T(1) - T(2) * x) * per_cutoff * per_cutoff;
    const T tapered = first * taper + value * slope * inverse;
    f[k] = value * taper;
    f1[k] = tapered;
    f2[k] = ((first + second * r * r) * taper + T(2) * first * r * slope + value * bend - tapered) *
            inverse_square;
  }
}

template <typename T>
void potential(const TaperedWork<T>& work, int64_t begin, int64_t end, double* sums) {
  const T *const at_u = work.at_shells, *const at_v = work.at_rest ? at_u : at_u + 3 * work.n_pairs;
  over_pairs<T, double>(
      work, begin, end,
      [&](int64_t p, int32_t j, const TaperedAtom<T>& i, const TaperedAtom<T>& n, double& sum) {
        const T f = work.at_cores[p];
        sum += n.c * f - n.z * at_u[p];
        sums[j] += i.c * f - i.z * at_v[p];
      },
      [&](int32_t i, double sum) { sums[i] += sum; });
}

template <typename T>
void field(const TaperedWork<T>& work, int64_t begin, int64_t end, double* sums) {
  over_pairs<T, Three<double>>(
      work, begin, end,
      [&](int64_t p, int32_t j, const TaperedAtom<T>& i, const TaperedAtom<T>& n,
          Three<double>& sum) {
        const Shells<T> at(work, p, i, n);
        const Three<T> between = (i.z * n.z * at.first(2)) * at.w;
        const Three<T> on_center = (i.z * n.c * at.first(1)) * at.v - between;
        sum = sum + Three<double>{on_center.x, on_center.y, on_center.z};
        add(sums + 3 * j, between - (i.c * n.z * at.first(0)) * at.u);
      },
      [&](int32_t i, Three<double> sum) { add(sums + 3 * i, sum); });
}

template <typename T>
void potential_change(const TaperedWork<T>& work, int64_t begin, int64_t end, double* sums) {
  over_pairs<T, double>(
      work, begin, end,
      [&](int64_t p, int32_t j, const TaperedAtom<T>& i, const TaperedAtom<T>& n, double& sum) {
        const Shells<T> at(work, p, i, n);
        const T f = work.at_cores[p];
        sum += n.p * f - n.z * at.first(0) * dot(at.u, three(n.t));
        sums[j] += i.p * f + i.z * at.first(1) * dot(at.v, three(i.t));
      },
      [&](int32_t i, double sum) { sums[i] += sum; });
}

template <typename T>
void field_change(const TaperedWork<T>& work, int64_t begin, int64_t end, double* sums) {
  over_pairs<T, Three<double>>(
      work, begin, end,
      [&](int64_t p, int32_t j, const TaperedAtom<T>& i, const TaperedAtom<T>& n,
          Three<double>& sum) {
        const Shells<T> at(work, p, i, n);
        const Bent<T> bent_u{at.u, at.first(0), at.second(0)},
            bent_v{at.v, at.first(1), at.second(1)}, bent_w{at.w, at.first(2), at.second(2)};
        const Three<T> on_i = three(i.t), on_j = three(n.t);
        const Three<T> between = (i.z * n.z) * bent_w(on_j - on_i);
        const Three<T> center =
            (i.z * n.p * bent_v.first) * at.v - (i.z * n.c) * bent_v(on_i) - between;
        sum = sum + Three<double>{center.x, center.y, center.z};
        add(sums + 3 * j, between - (i.p * n.z * bent_u.first) * at.u - (i.c * n.z) * bent_u(on_j));
      },
      [&](int32_t i, Three<double> sum) { add(sums + 3 * i, sum); });
}

template <typename T>
void forces(const TaperedWork<T>& work, int64_t n_atoms, int64_t begin, int64_t end, double* sums) {
  const T weight = work.energy_weight;
  double energy = 0.0, cell[9] = {};
  over_pairs<T, Three<double>>(
      work, begin, end,
      [&](int64_t p, int32_t j, const TaperedAtom<T>& i, const TaperedAtom<T>& n,
          Three<double>& sum) {
        const Shells<T> at(work, p, i, n);
        const T cc = i.c * n.c, cz = i.c * n.z, zc = i.z * n.c, zz = i.z * n.z;
        energy += cc * work.at_cores[p] - cz * at.value(0) - zc * at.value(1) + zz * at.value(2);
        const Bent<T> bent_u{at.u, at.first(0), at.second(0)},
            bent_v{at.v, at.first(1), at.second(1)}, bent_w{at.w, at.first(2), at.second(2)};
        const Three<T> on_i = three(i.t), on_j = three(n.t);
        Three<T> slope = ((weight * cc + i.p * n.c + i.c * n.p) * work.at_cores[work.n_pairs + p]) *
                         three(work.vectors + 3 * p);
        slope = slope - ((weight * cz + i.p * n.z) * bent_u.first) * at.u - cz * bent_u(on_j);
        slope = slope - ((weight * zc + i.z * n.p) * bent_v.first) * at.v + zc * bent_v(on_i);
        slope = slope + (weight * zz * bent_w.first) * at.w + zz * bent_w(on_j - on_i);
        const Three<double> found{slope.x, slope.y, slope.z};
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
