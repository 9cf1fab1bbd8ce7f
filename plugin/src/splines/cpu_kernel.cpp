// Spreading on a mesh and reading from it, with vectors along z: a row of nodes is a vector or two.
//
// A point's row along z is in one piece but for points at the edge, whose nodes are looked up one
// by one. Orders that PQEq uses are compiled for themselves (P), all others together (P = 0).
//
// CMake compiles this file once per instruction set, PQEQ_LEVEL being the name of each. It includes
// no library with inline functions: the linker would keep one copy of them for all, perhaps that
// with instructions which the processor does not have.
#include "splines/cpu_kernel.h"

#include "splines/formulae.h"

#ifndef PQEQ_LEVEL
#define PQEQ_LEVEL any_cpu
#endif

namespace openmm_pqeq {
namespace PQEQ_LEVEL {
namespace {

// Where the rows of a plane begin that a point reaches, and its nodes in a row.
struct Nodes {
  int64_t rows[kMaxOrder], along[kMaxOrder];
  bool together;

  Nodes(const Lattice& lattice, int p, int64_t y, int64_t z) {
    const int64_t n_y = lattice.size[1], n_z = lattice.size[2];
    together = z + p <= n_z;
    for (int k = 0; k < p; ++k) {
      rows[k] = y * n_z;
      if (++y == n_y) y = 0;
      along[k] = z;
      if (++z == n_z) z = 0;
    }
  }
};

template <typename T, int P>
void weigh_points(const Spread<T>& work, int64_t begin, int64_t end) {
  const Lattice& lattice = work.lattice;
  const int p = P > 0 ? P : lattice.order, arrays = work.dipoles != nullptr ? 6 : 3;
  for (int64_t i = begin; i < end; ++i) {
    T* const weights = work.weights + i * arrays * p;
    const T* const u = work.u + 3 * work.sorted[i];
    for (int axis = 0; axis < 3; ++axis) {
      T* const slope = arrays == 6 ? weights + (3 + axis) * p : nullptr;
      const int64_t node = splines<T, P>(u[axis], p, weights + axis * p, slope, nullptr);
      if (axis > 0) work.corners[2 * i + axis - 1] = wrapped(node, lattice.size[axis]);
    }
  }
}

// What a point adds to one plane: (a_y w_z + b_y d_z) with b only for dipoles.
template <typename T, int P, bool DIPOLES>
inline void add(const Spread<T>& work, int64_t i, int k, T* __restrict plane) {
  const Lattice& lattice = work.lattice;
  const int p = P > 0 ? P : lattice.order;
  const T* const x = work.weights + i * (DIPOLES ? 6 : 3) * p;
  const T *const y = x + p, *const z = y + p, *const slopes = z + p;
  const int64_t point = work.sorted[i];
  const T charge = work.values[point];
  T even = charge * x[k], odd = 0, up = 0;
  if (DIPOLES) {
    const T* const dipole = work.dipoles + 3 * point;
    even += dipole[0] * slopes[k];
    odd = dipole[1] * x[k];
    up = dipole[2] * x[k];
  }
  const Nodes nodes(lattice, p, work.corners[2 * i], work.corners[2 * i + 1]);
  for (int a = 0; a < p; ++a) {
    T on_row[P > 0 ? P : kMaxOrder];
    const T along = even * y[a] + (DIPOLES ? odd * slopes[p + a] : T(0)),
            across = DIPOLES ? up * y[a] : T(0);
    for (int b = 0; b < p; ++b)
      on_row[b] = along * z[b] + (DIPOLES ? across * slopes[2 * p + b] : T(0));
    T* __restrict row = plane + nodes.rows[a];
    if (nodes.together) {
      row += nodes.along[0];
      for (int b = 0; b < p; ++b) row[b] += on_row[b];
    } else {
      for (int b = 0; b < p; ++b) row[nodes.along[b]] += on_row[b];
    }
  }
}

template <typename T, int P>
void spread_planes(const Spread<T>& work, int64_t begin, int64_t end) {
  const Lattice& lattice = work.lattice;
  const int p = P > 0 ? P : lattice.order;
  const int64_t n_x = lattice.size[0], area = lattice.size[1] * lattice.size[2];
  for (int64_t plane = begin; plane < end; ++plane) {
    const int64_t first = plane / n_x * n_x, x = plane - first;
    T* const nodes = work.mesh + plane * area;
    for (int k = 0; k < p; ++k) {
      const int64_t bucket = first + (x + p - 1 - k) % n_x;
      for (int64_t i = work.buckets[bucket]; i < work.buckets[bucket + 1]; ++i) {
        if (work.dipoles != nullptr) {
          add<T, P, true>(work, i, k, nodes);
        } else {
          add<T, P, false>(work, i, k, nodes);
        }
      }
    }
  }
}

// The splines of one point and the rows it reads.
template <typename T, int P, int DERIVATIVES>
struct Stencil {
  static constexpr int kSize = P > 0 ? P : kMaxOrder;
  const int p;
  const int64_t n_x, area;
  T weight[3][kSize], slope[3][kSize], curvature[3][kSize];
  int64_t x;
  const T* field;

  explicit Stencil(const Lattice& lattice)
      : p(P > 0 ? P : lattice.order),
        n_x(lattice.size[0]),
        area(lattice.size[1] * lattice.size[2]) {}

  // sums[d] over rows of the plane k, with the d-th derivative along y
  inline void plane(const Nodes& nodes, int k, T (*__restrict sums)[kSize]) const {
    int64_t at = x + k;
    while (at >= n_x) at -= n_x;
    for (int d = 0; d <= DERIVATIVES; ++d) {
      for (int b = 0; b < p; ++b) sums[d][b] = 0;
    }
    for (int a = 0; a < p; ++a) {
      const T* row = field + at * area + nodes.rows[a];
      T gathered[kSize];
      if (nodes.together) {
        row += nodes.along[0];
        for (int b = 0; b < p; ++b) gathered[b] = row[b];
      } else {
        for (int b = 0; b < p; ++b) gathered[b] = row[nodes.along[b]];
      }
      for (int b = 0; b < p; ++b) sums[0][b] += weight[1][a] * gathered[b];
      for (int b = 0; b < p; ++b) sums[1][b] += slope[1][a] * gathered[b];
      if (DERIVATIVES > 1) {
        for (int b = 0; b < p; ++b) sums[DERIVATIVES][b] += curvature[1][a] * gathered[b];
      }
    }
  }

  // Place of a point; returns its nodes.
  inline Nodes place(const Interpolation<T>& work, int64_t i) {
    int64_t corner[3];
    for (int axis = 0; axis < 3; ++axis) {
      T* const second = DERIVATIVES > 1 ? curvature[axis] : nullptr;
      const int64_t node =
          splines<T, P>(work.u[3 * i + axis], p, weight[axis], slope[axis], second);
      corner[axis] = wrapped(node, work.lattice.size[axis]);
    }
    x = corner[0];
    field = work.field + work.channel[i] * n_x * area;
    return Nodes(work.lattice, p, corner[1], corner[2]);
  }

  inline T dot(const T* __restrict left, const T* __restrict right) const {
    T sum = 0;
    for (int b = 0; b < p; ++b) sum += left[b] * right[b];
    return sum;
  }
};

template <typename T, int P>
void interpolate_points(const Interpolation<T>& work, int64_t begin, int64_t end) {
  using Of = Stencil<T, P, 1>;
  Of stencil(work.lattice);
  const int p = stencil.p;
  for (int64_t i = begin; i < end; ++i) {
    const Nodes nodes = stencil.place(work, i);
    T sums[2][Of::kSize], value[Of::kSize] = {}, by_x[Of::kSize] = {}, by_y[Of::kSize] = {};
    for (int k = 0; k < p; ++k) {
      stencil.plane(nodes, k, sums);
      const T w = stencil.weight[0][k], d = stencil.slope[0][k];
      for (int b = 0; b < p; ++b) {
        value[b] += w * sums[0][b];
        by_x[b] += d * sums[0][b];
        by_y[b] += w * sums[1][b];
      }
    }
    work.values[i] = stencil.dot(value, stencil.weight[2]);
    work.gradients[3 * i] = stencil.dot(by_x, stencil.weight[2]);
    work.gradients[3 * i + 1] = stencil.dot(by_y, stencil.weight[2]);
    work.gradients[3 * i + 2] = stencil.dot(value, stencil.slope[2]);
  }
}

template <typename T, int P>
void interpolate_hessians(const Interpolation<T>& work, int64_t begin, int64_t end) {
  using Of = Stencil<T, P, 2>;
  Of stencil(work.lattice);
  const int p = stencil.p;
  for (int64_t i = begin; i < end; ++i) {
    const Nodes nodes = stencil.place(work, i);
    T sums[3][Of::kSize], value[Of::kSize] = {}, x[Of::kSize] = {}, y[Of::kSize] = {},
                          xx[Of::kSize] = {}, xy[Of::kSize] = {}, yy[Of::kSize] = {};
    for (int k = 0; k < p; ++k) {
      stencil.plane(nodes, k, sums);
      const T w = stencil.weight[0][k], d = stencil.slope[0][k], c = stencil.curvature[0][k];
      for (int b = 0; b < p; ++b) {
        value[b] += w * sums[0][b];
        x[b] += d * sums[0][b];
        xx[b] += c * sums[0][b];
        y[b] += w * sums[1][b];
        xy[b] += d * sums[1][b];
        yy[b] += w * sums[2][b];
      }
    }
    const T *const w = stencil.weight[2], *const d = stencil.slope[2];
    T* const hessian = work.hessians + 9 * i;
    hessian[0] = stencil.dot(xx, w);
    hessian[1] = hessian[3] = stencil.dot(xy, w);
    hessian[2] = hessian[6] = stencil.dot(x, d);
    hessian[4] = stencil.dot(yy, w);
    hessian[5] = hessian[7] = stencil.dot(y, d);
    hessian[8] = stencil.dot(value, stencil.curvature[2]);
  }
}

}  // namespace

#define PQEQ_BY_ORDER(name, function, Work)                        \
  template <typename T>                                            \
  void name(const Work<T>& work, int64_t begin, int64_t end) {     \
    switch (work.lattice.order) {                                  \
      case 8: return function<T, 8>(work, begin, end);             \
      case 10: return function<T, 10>(work, begin, end);           \
      case 12: return function<T, 12>(work, begin, end);           \
      default: return function<T, 0>(work, begin, end);            \
    }                                                              \
  }                                                                \
  template void name<float>(const Work<float>&, int64_t, int64_t); \
  template void name<double>(const Work<double>&, int64_t, int64_t);

PQEQ_BY_ORDER(weigh, weigh_points, Spread)
PQEQ_BY_ORDER(spread, spread_planes, Spread)
PQEQ_BY_ORDER(interpolate, interpolate_points, Interpolation)
PQEQ_BY_ORDER(interpolate_hessian, interpolate_hessians, Interpolation)

}  // namespace PQEQ_LEVEL
}  // namespace openmm_pqeq
