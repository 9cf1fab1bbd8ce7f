// Vectors of the instruction set that this file is compiled for, PQEQ_LEVEL being its name.
#pragma once

#ifndef PQEQ_LEVEL
#define PQEQ_LEVEL any_cpu
#endif

namespace openmm_pqeq {
namespace PQEQ_LEVEL {
namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif

template <typename T>
struct Simd;
template <>
struct Simd<float> {
  typedef float Vector __attribute__((vector_size(kBytes)));
  typedef float Unaligned __attribute__((vector_size(kBytes), aligned(alignof(float)), may_alias));
};
template <>
struct Simd<double> {
  typedef double Vector __attribute__((vector_size(kBytes)));
  typedef double Unaligned
      __attribute__((vector_size(kBytes), aligned(alignof(double)), may_alias));
};
template <typename T>
using Vector = typename Simd<T>::Vector;
template <typename T>
constexpr int kWidth = kBytes / static_cast<int>(sizeof(T));

// V is a vector, part of one, or a number.
template <typename V, typename T>
inline V read(const T* from) {
  V value;
  __builtin_memcpy(&value, from, sizeof(V));
  return value;
}
template <typename V, typename T>
inline void write(T* to, V value) {
  __builtin_memcpy(to, &value, sizeof(V));
}

template <typename T>
inline Vector<T> load(const T* from) {
  return *reinterpret_cast<const typename Simd<T>::Unaligned*>(from);
}
template <typename T>
inline void store(T* to, Vector<T> value) {
  *reinterpret_cast<typename Simd<T>::Unaligned*>(to) = value;
}

}  // namespace
}  // namespace PQEQ_LEVEL
}  // namespace openmm_pqeq
