// Vectors of channels, alone or with their change: dual numbers.
#pragma once

#include "vectors.h"
#include "weighted_convolution/work.h"

namespace openmm_pqeq {
namespace weighted {
namespace PQEQ_LEVEL {
namespace {

using openmm_pqeq::PQEQ_LEVEL::read;
using openmm_pqeq::PQEQ_LEVEL::write;
template <typename T>
using Whole = typename openmm_pqeq::PQEQ_LEVEL::Vector<T>;

// Half a vector, for the channels that are left over.
template <typename T>
struct HalfOf;
template <>
struct HalfOf<float> {
  typedef float Vector __attribute__((vector_size(openmm_pqeq::PQEQ_LEVEL::kBytes / 2)));
};
template <>
struct HalfOf<double> {
  typedef double Vector __attribute__((vector_size(openmm_pqeq::PQEQ_LEVEL::kBytes / 2)));
};
template <typename T>
using Half = typename HalfOf<T>::Vector;

// a + ε ȧ
template <typename V>
struct Dual {
  V value, tangent;
};

// What a kernel computes in: V (a vector, half of one, or one number), or with its change.
template <typename V, bool kTangents>
struct NumberOf {
  using Type = V;
  template <typename T>
  static Type at(const Changing<T>& from, Index place) {
    return read<V>(from.value + place);
  }
};
template <typename V>
struct NumberOf<V, true> {
  using Type = Dual<V>;
  template <typename T>
  static Type at(const Changing<T>& from, Index place) {
    return {read<V>(from.value + place), read<V>(from.tangent + place)};
  }
};

// sum + a b; V may be a vector where U is a number.
template <typename V, typename U>
inline void add_product(V& sum, const V& a, const U& b) {
  sum += a * b;
}
template <typename V, typename U>
inline void add_product(Dual<V>& sum, const Dual<V>& a, const Dual<U>& b) {
  sum.value += a.value * b.value;
  sum.tangent += a.value * b.tangent;
  sum.tangent += a.tangent * b.value;
}
// … and where one of them does not change
template <typename V>
inline void add_product(Dual<V>& sum, const Dual<V>& a, const V& b) {
  sum.value += a.value * b;
  sum.tangent += a.tangent * b;
}
template <typename V, typename U>
inline void add_product(Dual<V>& sum, const V& a, const Dual<U>& b) {
  sum.value += a * b.value;
  sum.tangent += a * b.tangent;
}

template <typename V>
inline V product(const V& a, const V& b) {
  return a * b;
}
template <typename V>
inline Dual<V> product(const Dual<V>& a, const Dual<V>& b) {
  return {a.value * b.value, a.value * b.tangent + a.tangent * b.value};
}

// What is kept of a result.
template <typename V>
inline V kept(const V& a) {
  return a;
}
template <typename V>
inline V kept(const Dual<V>& a) {
  return a.tangent;
}

}  // namespace
}  // namespace PQEQ_LEVEL
}  // namespace weighted
}  // namespace openmm_pqeq
