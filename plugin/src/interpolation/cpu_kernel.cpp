// Interpolation for a range of intervals or columns, in vectors of columns.
//
// CMake compiles this file once per instruction set, PQEQ_LEVEL being the name of each. It includes
// no library with inline functions: the linker would keep one copy of them for all, perhaps that
// with instructions which the processor does not have.
#include "interpolation/cpu_kernel.h"

#include "lane_sums.h"
#include "vectors.h"

namespace openmm_pqeq {
namespace interpolating {
namespace PQEQ_LEVEL {
namespace {

using openmm_pqeq::PQEQ_LEVEL::kWidth;
using openmm_pqeq::PQEQ_LEVEL::read;
using openmm_pqeq::PQEQ_LEVEL::write;
template <typename T>
using Whole = openmm_pqeq::PQEQ_LEVEL::Vector<T>;

// V is a vector of columns, or one column.
template <typename V, typename T>
void values_at(const Interpolation<T>& of, Index interval, Index column) {
  V rows[kPoints];
  for (int k = 0; k < kPoints; ++k)
    rows[k] = read<V>(of.table + (interval + k) * of.n_columns + column);
  for (Index p = of.begin[interval]; p < of.begin[interval + 1]; ++p) {
    const Index point = of.order[p];
    const T* c = of.coefficients + point * kPoints;
    V sum = rows[0] * c[0];
    for (int k = 1; k < kPoints; ++k) sum += rows[k] * c[k];
    write(of.values + point * of.n_columns + column, sum);
  }
}

// Over all points, for one vector of columns of ∂/∂T: six rows are in registers, and move on with
// the interval.
template <typename V, typename T>
void table_gradients_at(const Interpolation<T>& of, Index column) {
  V rows[kPoints] = {};
  T* to = of.table_gradients + column;
  for (Index interval = 0; interval < of.n_intervals; ++interval) {
    for (Index p = of.begin[interval]; p < of.begin[interval + 1]; ++p) {
      const Index point = of.order[p];
      const V g = read<V>(of.gradients + point * of.n_columns + column);
      const T* c = of.coefficients + point * kPoints;
      for (int k = 0; k < kPoints; ++k) rows[k] += g * c[k];
    }
    write(to + interval * of.n_columns, rows[0]);
    for (int k = 1; k < kPoints; ++k) rows[k - 1] = rows[k];
    rows[kPoints - 1] = V{};
  }
  for (int k = 0; k < kPoints - 1; ++k) write(to + (of.n_intervals + k) * of.n_columns, rows[k]);
}

// Of columns from `begin` to `end`, added.
template <typename V, typename T>
void coefficient_gradients_at(const Interpolation<T>& of, Index interval, Index point, Index begin,
                              Index end) {
  constexpr int width = sizeof(V) / sizeof(T);
  V sums[(kPoints + width - 1) / width * width] = {};
  const T* g = of.gradients + point * of.n_columns;
  const T* table = of.table + interval * of.n_columns;
  for (Index column = begin; column < end; column += width) {
    const V own = read<V>(g + column);
    for (int k = 0; k < kPoints; ++k) sums[k] += own * read<V>(table + k * of.n_columns + column);
  }
  openmm_pqeq::PQEQ_LEVEL::add_lanes(sums, kPoints, of.coefficient_gradients + point * kPoints);
}

template <typename T>
Index in_vectors(Index n) {
  return n / kWidth<T> * kWidth<T>;
}

}  // namespace

template <typename T>
void values(const Interpolation<T>& of, Index begin, Index end) {
  const Index whole = in_vectors<T>(of.n_columns);
  for (Index interval = begin; interval < end; ++interval) {
    for (Index column = 0; column < whole; column += kWidth<T>)
      values_at<Whole<T>>(of, interval, column);
    for (Index column = whole; column < of.n_columns; ++column) values_at<T>(of, interval, column);
  }
}

template <typename T>
void coefficient_gradients(const Interpolation<T>& of, Index begin, Index end) {
  const Index whole = in_vectors<T>(of.n_columns);
  for (Index interval = begin; interval < end; ++interval) {
    for (Index p = of.begin[interval]; p < of.begin[interval + 1]; ++p) {
      const Index point = of.order[p];
      for (int k = 0; k < kPoints; ++k) of.coefficient_gradients[point * kPoints + k] = T(0);
      coefficient_gradients_at<Whole<T>>(of, interval, point, 0, whole);
      coefficient_gradients_at<T>(of, interval, point, whole, of.n_columns);
    }
  }
}

template <typename T>
void table_gradients(const Interpolation<T>& of, Index begin, Index end) {
  Index column = begin;
  for (; column + kWidth<T> <= end; column += kWidth<T>) table_gradients_at<Whole<T>>(of, column);
  for (; column < end; ++column) table_gradients_at<T>(of, column);
}

template void values<float>(const Interpolation<float>&, Index, Index);
template void values<double>(const Interpolation<double>&, Index, Index);
template void coefficient_gradients<float>(const Interpolation<float>&, Index, Index);
template void coefficient_gradients<double>(const Interpolation<double>&, Index, Index);
template void table_gradients<float>(const Interpolation<float>&, Index, Index);
template void table_gradients<double>(const Interpolation<double>&, Index, Index);

}  // namespace PQEQ_LEVEL
}  // namespace interpolating
}  // namespace openmm_pqeq
