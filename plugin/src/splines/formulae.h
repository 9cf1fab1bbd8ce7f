// B-splines on a mesh and where they are, for kernels on every device.
//
//   M_n(u)  = [u M_{n−1}(u) + (n − u) M_{n−1}(u − 1)]/(n − 1)
//   M_n'(u) = M_{n−1}(u) − M_{n−1}(u − 1)
#pragma once

#include "formula.h"

#include <stdint.h>

namespace openmm_pqeq {

constexpr int kMinOrder = 4, kMaxOrder = 16;

PQEQ_FORMULA int64_t wrapped(int64_t node, int64_t size) {
  const int64_t rest = node % size;
  return rest < 0 ? rest + size : rest;
}

// Zero where there is no such integer: for points that are not finite, which then get results that
// are not finite.
template <typename T>
PQEQ_FORMULA int64_t floored(T u) {
  if (!(u > T(-1e15) && u < T(1e15))) return 0;
  const int64_t toward_zero = static_cast<int64_t>(u);
  return toward_zero - (static_cast<T>(toward_zero) > u ? 1 : 0);
}

// The spline at the nodes that a point reaches, lowest first, with its first and second derivative
// where they are asked for. Returns the lowest node. P is the order where it is known to the
// compiler, or 0.
template <typename T, int P>
PQEQ_FORMULA int64_t splines(T u, int order, T* __restrict weight, T* __restrict slope,
                             T* __restrict curvature) {
  const int p = P > 0 ? P : order;
  const int64_t corner = floored(u);
  const T x = u - static_cast<T>(corner);
  // m[j] is the spline at x + j, which belongs to the node j below the corner
  T m[kMaxOrder + 1] = {x, T(1) - x};
  PQEQ_UNROLL
  for (int n = 3; n <= p; ++n) {
    if (curvature != nullptr && n == p - 1) {
      PQEQ_UNROLL
      for (int j = 0; j < p; ++j) {
        const T here = j < p - 2 ? m[j] : T(0), before = j > 0 && j < p - 1 ? m[j - 1] : T(0),
                first = j > 1 ? m[j - 2] : T(0);
        curvature[p - 1 - j] = here - T(2) * before + first;
      }
    }
    if (slope != nullptr && n == p) {
      PQEQ_UNROLL
      for (int j = 0; j < p; ++j)
        slope[p - 1 - j] = (j < p - 1 ? m[j] : T(0)) - (j > 0 ? m[j - 1] : T(0));
    }
    const T scale = T(1) / static_cast<T>(n - 1);
    m[n - 1] = 0;
    PQEQ_UNROLL
    for (int j = n - 1; j > 0; --j) {
      const T at = x + static_cast<T>(j);
      m[j] = (at * m[j] + (static_cast<T>(n) - at) * m[j - 1]) * scale;
    }
    m[0] = x * m[0] * scale;
  }
  PQEQ_UNROLL
  for (int j = 0; j < p; ++j) weight[p - 1 - j] = m[j];
  return corner - (p - 1);
}

}  // namespace openmm_pqeq
