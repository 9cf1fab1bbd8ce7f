// Arguments of the interpolation, checked, and the operators as functions.
#pragma once

#include "checks.h"
#include "interpolation/work.h"

namespace openmm_pqeq {
namespace interpolating {

// Which points are in which interval.
struct Points {
  Tensor order, begin;

  int64_t n_points() const { return order.size(0); }
  int64_t n_intervals() const { return begin.size(0) - 1; }
  int64_t n_nodes() const { return n_intervals() + kPoints - 1; }
  void check() const;
};

Tensor call_values(const Tensor& table, const Tensor& coefficients, const Points& points);
Tensor call_table_gradients(const Tensor& gradients, const Tensor& coefficients,
                            const Points& points);
Tensor call_coefficient_gradients(const Tensor& gradients, const Tensor& table,
                                  const Points& points);

// A function of two factors and points, with the signature of the operators.
template <Tensor (*work)(const Tensor&, const Tensor&, const Points&)>
Tensor of_points(const Tensor& one, const Tensor& two, const Tensor& order, const Tensor& begin) {
  return work(one, two, {order, begin});
}

}  // namespace interpolating
}  // namespace openmm_pqeq
