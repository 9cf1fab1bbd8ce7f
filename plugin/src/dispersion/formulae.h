// D3 of a pair as functions of its distance, with derivatives; for kernels on every device.
// openmm_pqeq/d3/energy.py explains the terms.
//
//   count(r)   = 1/(1 + exp(−16 (R/r − 1)))
//   damped(r)  = s6 f6/r⁶ + s8 (C8/C6) f8/r⁸
//                    Becke–Johnson   fn/rⁿ = 1/(rⁿ + Rⁿ)
//                    zero            fn/rⁿ = x^(alp−n)/(x^alp + 6)/Rⁿ,    x = r/R
//   switch(r)  = x³(10 + x(6x − 15)),    x = (cutoff − r)/width between 0 and 1
//                                        (without a width it is a step)
#pragma once

#include "formula.h"

namespace openmm_pqeq {

constexpr double kSteepness = 16.0;  // k1 of the coordination numbers

// A function of the distance, and its derivative.
template <typename T>
struct Radial {
  T value, slope;
};

// What a pair of elements has: radii in Å, the rest as the kernels need it.
//
//   radius                sum of the covalent radii
//   Becke–Johnson         first R6⁶, second R8⁸, six s6, eight s8 C8/C6
//   zero                  first 1/R6, second 1/R8, six s6/R6⁶, eight s8 C8/C6/R8⁸
template <typename T>
struct PairConstants {
  T radius, first, second, six, eight;
};

// exp(x) to an ulp or two, without branches, so that a loop over it becomes vectors; below −87
// (−708 in double) it stays at that value. x is split into n log 2 + t: 2ⁿ goes into the exponent's
// bits, exp(t) is a Taylor series with |t| ≤ 0.35.
PQEQ_FORMULA float exponential(float x) {
#if defined(__CUDA_ARCH__)
  return expf(x);
#else
  x = x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);
  const float shifted = x * 1.44269504f + 12582912.0f,
              n = shifted - 12582912.0f;  // 1.5·2²³: the last bits are those of n
  const float t = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  unsigned bits;
  __builtin_memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 127u) << 23;
  float power;
  __builtin_memcpy(&power, &bits, sizeof power);
  float sum = 1.0f / 5040.0f;
  sum = sum * t + 1.0f / 720.0f;
  sum = sum * t + 1.0f / 120.0f;
  sum = sum * t + 1.0f / 24.0f;
  sum = sum * t + 1.0f / 6.0f;
  sum = sum * t + 0.5f;
  sum = sum * t + 1.0f;
  return (sum * t + 1.0f) * power;
#endif
}

PQEQ_FORMULA double exponential(double x) {
#if defined(__CUDA_ARCH__)
  return exp(x);
#else
  x = x < -708.0 ? -708.0 : (x > 709.0 ? 709.0 : x);
  const double shifted = x * 1.4426950408889634 + 6755399441055744.0,
               n = shifted - 6755399441055744.0;  // 1.5·2⁵²
  const double t = (x - n * 0.693145751953125) - n * 1.42860682030941723212e-6;
  unsigned long long bits;
  __builtin_memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 1023ull) << 52;
  double power;
  __builtin_memcpy(&power, &bits, sizeof power);
  double sum = 1.0 / 6227020800.0;
  sum = sum * t + 1.0 / 479001600.0;
  sum = sum * t + 1.0 / 39916800.0;
  sum = sum * t + 1.0 / 3628800.0;
  sum = sum * t + 1.0 / 362880.0;
  sum = sum * t + 1.0 / 40320.0;
  sum = sum * t + 1.0 / 5040.0;
  sum = sum * t + 1.0 / 720.0;
  sum = sum * t + 1.0 / 120.0;
  sum = sum * t + 1.0 / 24.0;
  sum = sum * t + 1.0 / 6.0;
  sum = sum * t + 0.5;
  sum = sum * t + 1.0;
  return (sum * t + 1.0) * power;
#endif
}

// inverse_width: 1/width, or for a step a number so large that x is 1 everywhere inside.
template <typename T>
PQEQ_FORMULA Radial<T> switched(T r, T cutoff, T inverse_width) {
  const T inside = (cutoff - r) * inverse_width, least = inside > T(0) ? inside : T(0),
          x = least < T(1) ? least : T(1);
  const T square = x * x, rest = T(1) - x;
  return {square * x * (T(10) + x * (T(6) * x - T(15))),
          T(-30) * inverse_width * square * rest * rest};
}

// With 1 − count from the exponential itself: far away counts are 1e-7, near the bond 1 − 1e-7.
template <typename T>
PQEQ_FORMULA Radial<T> counted(T inverse, T radius) {
  const T ratio = radius * inverse;
  const T large = exponential(T(kSteepness) * (T(1) - ratio)), value = T(1) / (T(1) + large);
  return {value, T(-kSteepness) * value * value * large * ratio * inverse};
}

template <typename T>
PQEQ_FORMULA Radial<T> rational_damped(T r, T inverse, PairConstants<T> of) {
  const T r2 = r * r, r4 = r2 * r2, r6 = r4 * r2, r8 = r4 * r4;
  const T v6 = T(1) / (r6 + of.first), v8 = T(1) / (r8 + of.second);
  const T e6 = of.six * v6, e8 = of.eight * v8;
  return {e6 + e8, -(T(6) * e6 * v6 * r6 + T(8) * e8 * v8 * r8) * inverse};
}

// power6, power8: (r/R6)^(alp−6) and (r/R8)^(alp−6), alp being that of the sixth order; the eighth
// has alp + 2
template <typename T>
PQEQ_FORMULA Radial<T> zero_damped(T r, T inverse, PairConstants<T> of, T power6, T power8, T alp) {
  const T x = r * of.first, x2 = x * x, y = r * of.second, y2 = y * y, y4 = y2 * y2;
  const T v6 = T(1) / (power6 * x2 * x2 * x2 + T(6)), v8 = T(1) / (power8 * y4 * y4 + T(6));
  const T e6 = of.six * power6 * v6, e8 = of.eight * power8 * v8;
  return {e6 + e8,
          (e6 * (T(6) * alp * v6 - T(6)) + e8 * (T(6) * (alp + T(2)) * v8 - T(8))) * inverse};
}

}  // namespace openmm_pqeq
