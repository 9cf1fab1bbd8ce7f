// Sums over the lanes of many vectors: as many vectors as there are lanes become one, in a tree.
#pragma once

#include "vectors.h"

namespace openmm_pqeq {
namespace PQEQ_LEVEL {
namespace {

template <int... kLanes>
struct Lanes {};
template <int kCount, int... kLanes>
struct LanesTo : LanesTo<kCount - 1, kCount - 1, kLanes...> {};
template <int... kLanes>
struct LanesTo<0, kLanes...> {
  using Type = Lanes<kLanes...>;
};

// From where lane `lane` of a merged vector comes: runs of `span` lanes of a and of b in turn.
constexpr int source(int lane, int span, int width, int offset) {
  const int within = lane % (2 * span), run = lane - within;
  return within < span ? run + within + offset : width + run + within - span + offset;
}

// Lane k is that at the k-th place, those of b counted on from those of a.
template <int... kPlaces, typename V>
inline V shuffled(const V& a, const V& b) {
#ifdef __clang__
  return __builtin_shufflevector(a, b, kPlaces...);
#else
  using Places = decltype(V{} < V{});
  return __builtin_shuffle(a, b, Places{kPlaces...});
#endif
}

template <int kSpan, typename V, int... kLanes>
inline V merged(const V& a, const V& b, Lanes<kLanes...>) {
  constexpr int width = sizeof...(kLanes);
  return shuffled<source(kLanes, kSpan, width, 0)...>(a, b) +
         shuffled<source(kLanes, kSpan, width, kSpan)...>(a, b);
}

// The sums of the first 2·kSpan vectors' lanes, into the first of them.
template <int kSpan, int kWidth, typename V>
inline void merge(V* vectors) {
  using Every = typename LanesTo<kWidth>::Type;
#pragma GCC unroll 16
  for (int k = 0; k < kSpan; ++k)
    vectors[k] = merged<kSpan>(vectors[k], vectors[k + kSpan], Every());
  if constexpr (kSpan > 1) merge<kSpan / 2, kWidth>(vectors);
}

// to[k] += Σ lanes of vectors[k], for n of them; there is room for whole vectors of sums, filled up
// with zeros.
template <typename V, typename T>
inline void add_lanes(V* vectors, int n, T* to) {
  constexpr int width = sizeof(V) / sizeof(T);
  for (int first = 0; first < n; first += width) {
    T sums[width];
    if constexpr (width > 1) merge<width / 2, width>(vectors + first);
    __builtin_memcpy(sums, vectors + first, sizeof(V));
    for (int k = 0; k < width && first + k < n; ++k) to[first + k] += sums[k];
  }
}

}  // namespace
}  // namespace PQEQ_LEVEL
}  // namespace openmm_pqeq
