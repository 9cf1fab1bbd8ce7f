// The tapered interaction of one pair and its derivatives, for kernels on every device; the
// formulae are those of openmm_pqeq/pqeq/sweeps/tapered_reference.py.
//
//   E = c_i c_j f(d) − c_i Z_j f(u) − Z_i c_j f(v) + Z_i Z_j f(w)
//   u = d + s_j,  v = d − s_i,  w = d + s_j − s_i
#pragma once

#include "constants.h"
#include "formula.h"
#include "tapered/work.h"

namespace openmm_pqeq {

template <typename T>
struct Three {
  T x, y, z;
};
template <typename T>
PQEQ_FORMULA Three<T> operator+(Three<T> a, Three<T> b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z};
}
template <typename T>
PQEQ_FORMULA Three<T> operator-(Three<T> a, Three<T> b) {
  return {a.x - b.x, a.y - b.y, a.z - b.z};
}
template <typename T>
PQEQ_FORMULA Three<T> operator*(T a, Three<T> b) {
  return {a * b.x, a * b.y, a * b.z};
}
template <typename T>
PQEQ_FORMULA T dot(Three<T> a, Three<T> b) {
  return a.x * b.x + a.y * b.y + a.z * b.z;
}
template <typename T>
PQEQ_FORMULA Three<T> three(const T* from) {
  return {from[0], from[1], from[2]};
}

// d of a pair of a list, and whether that is within the cutoff. What is not a number counts as
// within, so that it shows in the sums.
PQEQ_FORMULA Three<double> vector_of(const TaperedList& list, int64_t p) {
  const int64_t i = list.pairs.centers[p], j = list.pairs.neighbors[p];
  double d[3];
  PQEQ_UNROLL
  for (int a = 0; a < 3; ++a) {
    d[a] = list.positions[3 * j + a] - list.positions[3 * i + a];
    PQEQ_UNROLL
    for (int b = 0; b < 3; ++b) d[a] += list.shifts[3 * p + b] * list.cell[3 * b + a];
  }
  return three(d);
}
PQEQ_FORMULA bool is_near(const TaperedList& list, Three<double> d) {
  return !(dot(d, d) >= list.square);
}

// A radial function of a separation: f, f1 = f'/r and f2 = (f'' − f1)/r².
template <typename T>
struct TaperedRadial {
  T value, first, second;
};

// k_e erf(γr)/r with the taper, from erf(γr) and exp(−γ²r²).
template <typename T>
PQEQ_FORMULA TaperedRadial<T> tapered_radial(T r, T erf, T exp, T gamma, T cutoff) {
  const T per_cutoff = T(1) / cutoff, inverse = T(1) / r, inverse_square = inverse * inverse;
  const T value = T(kCoulomb) * erf * inverse;
  const T gauss = T(kCoulomb * kTwoOverSqrtPi) * gamma * exp;
  const T first = (gauss - value) * inverse_square;
  const T second = (T(-2) * gamma * gamma * gauss - T(3) * first) * inverse_square;
  const T x = r * per_cutoff, rest = x * (T(1) - x);
  const T taper = T(1) + x * x * x * x * (T(-35) + x * (T(84) + x * (T(-70) + x * T(20))));
  const T slope = T(-140) * rest * rest * rest * per_cutoff;
  const T bend = T(-420) * rest * rest * (T(1) - T(2) * x) * per_cutoff * per_cutoff;
  const T tapered = first * taper + value * slope * inverse;
  return {value * taper, tapered,
          ((first + second * r * r) * taper + T(2) * first * r * slope + value * bend - tapered) *
              inverse_square};
}

enum : int { kU, kV, kW };

// The three separations of a pair from a shell, u, v and w, and where their radial functions are.
template <typename T>
struct Shells {
  Three<T> at[3];
  const T* rows;
  int64_t n, step;
};

template <typename T>
PQEQ_FORMULA Shells<T> shells_of(const TaperedWork<T>& work, int64_t p, const TaperedAtom<T>& i,
                                 const TaperedAtom<T>& j) {
  const Three<T> d = three(work.vectors + 3 * p), u = d + three(j.s);
  return {{u, d - three(i.s), u - three(i.s)},
          work.at_shells + p,
          work.n_pairs,
          work.at_rest ? 0 : 3 * work.n_pairs};
}
template <typename T>
PQEQ_FORMULA T value_at(const Shells<T>& shells, int which) {
  return shells.rows[which * shells.step];
}
template <typename T>
PQEQ_FORMULA T first_at(const Shells<T>& shells, int which) {
  return shells.rows[which * shells.step + shells.n];
}
// (f1 1 + f2 r rᵀ) times a vector
template <typename T>
PQEQ_FORMULA Three<T> bent_at(const Shells<T>& shells, int which, Three<T> along) {
  const Three<T> r = shells.at[which];
  const T second = shells.rows[which * shells.step + 2 * shells.n];
  return first_at(shells, which) * along + (second * dot(r, along)) * r;
}

// What a pair gives to its two atoms.
template <typename V>
struct Ends {
  V center, neighbor;
};

// ∂E/∂q
template <typename T>
PQEQ_FORMULA Ends<T> tapered_potential(const TaperedWork<T>& work, int64_t p,
                                       const TaperedAtom<T>& i, const TaperedAtom<T>& j) {
  const T *const at_u = work.at_shells, *const at_v = work.at_rest ? at_u : at_u + 3 * work.n_pairs;
  const T f = work.at_cores[p];
  return {j.c * f - j.z * at_u[p], i.c * f - i.z * at_v[p]};
}

// ∂E/∂s
template <typename T>
PQEQ_FORMULA Ends<Three<T>> tapered_field(const TaperedWork<T>& work, int64_t p,
                                          const TaperedAtom<T>& i, const TaperedAtom<T>& j) {
  const Shells<T> shells = shells_of(work, p, i, j);
  const Three<T> between = (i.z * j.z * first_at(shells, kW)) * shells.at[kW];
  return {(i.z * j.c * first_at(shells, kV)) * shells.at[kV] - between,
          between - (i.c * j.z * first_at(shells, kU)) * shells.at[kU]};
}

// How ∂E/∂q changes along (dq, ds)
template <typename T>
PQEQ_FORMULA Ends<T> tapered_potential_change(const TaperedWork<T>& work, int64_t p,
                                              const TaperedAtom<T>& i, const TaperedAtom<T>& j) {
  const Shells<T> shells = shells_of(work, p, i, j);
  const T f = work.at_cores[p];
  return {j.p * f - j.z * first_at(shells, kU) * dot(shells.at[kU], three(j.t)),
          i.p * f + i.z * first_at(shells, kV) * dot(shells.at[kV], three(i.t))};
}

// How ∂E/∂s changes along (dq, ds)
template <typename T>
PQEQ_FORMULA Ends<Three<T>> tapered_field_change(const TaperedWork<T>& work, int64_t p,
                                                 const TaperedAtom<T>& i, const TaperedAtom<T>& j) {
  const Shells<T> shells = shells_of(work, p, i, j);
  const Three<T> on_i = three(i.t), on_j = three(j.t);
  const Three<T> between = (i.z * j.z) * bent_at(shells, kW, on_j - on_i);
  const Three<T> center = (i.z * j.p * first_at(shells, kV)) * shells.at[kV] -
                          (i.z * j.c) * bent_at(shells, kV, on_i) - between;
  return {center, between - (i.p * j.z * first_at(shells, kU)) * shells.at[kU] -
                      (i.c * j.z) * bent_at(shells, kU, on_j)};
}

template <typename T>
PQEQ_FORMULA T tapered_energy(const TaperedWork<T>& work, int64_t p, const TaperedAtom<T>& i,
                              const TaperedAtom<T>& j) {
  const Shells<T> shells = shells_of(work, p, i, j);
  const T cc = i.c * j.c, cz = i.c * j.z, zc = i.z * j.c, zz = i.z * j.z;
  return cc * work.at_cores[p] - cz * value_at(shells, kU) - zc * value_at(shells, kV) +
         zz * value_at(shells, kW);
}

// The derivative of energy_weight·E + Ė in r_j, Ė being the change of E along (dq, ds)
template <typename T>
PQEQ_FORMULA Three<T> tapered_slope(const TaperedWork<T>& work, int64_t p, const TaperedAtom<T>& i,
                                    const TaperedAtom<T>& j) {
  const Shells<T> shells = shells_of(work, p, i, j);
  const T weight = work.energy_weight;
  const T cc = i.c * j.c, cz = i.c * j.z, zc = i.z * j.c, zz = i.z * j.z;
  const Three<T> on_i = three(i.t), on_j = three(j.t);
  Three<T> slope = ((weight * cc + i.p * j.c + i.c * j.p) * work.at_cores[work.n_pairs + p]) *
                   three(work.vectors + 3 * p);
  slope = slope - ((weight * cz + i.p * j.z) * first_at(shells, kU)) * shells.at[kU] -
          cz * bent_at(shells, kU, on_j);
  slope = slope - ((weight * zc + i.z * j.p) * first_at(shells, kV)) * shells.at[kV] +
          zc * bent_at(shells, kV, on_i);
  return slope + (weight * zz * first_at(shells, kW)) * shells.at[kW] +
         zz * bent_at(shells, kW, on_j - on_i);
}

}  // namespace openmm_pqeq
