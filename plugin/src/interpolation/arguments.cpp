// Arguments of the interpolation: checks, and calls of its operators.
#include "interpolation/arguments.h"

#include <torch/library.h>

namespace openmm_pqeq {
namespace interpolating {
namespace {

Tensor call(const char* name, const Tensor& one, const Tensor& two, const Points& points) {
  return c10::Dispatcher::singleton()
      .findSchemaOrThrow(name, "")
      .typed<decltype(of_points<nullptr>)>()
      .call(one, two, points.order, points.begin);
}

}  // namespace

void Points::check() const {
  openmm_pqeq::check(order.dim() == 1 && order.scalar_type() == at::kLong, "order", order,
                     "int64 of shape (n_points,)");
  openmm_pqeq::check(begin.dim() == 1 && begin.size(0) >= 2 && begin.scalar_type() == at::kLong,
                     "begin", begin, "int64 of shape (n_intervals + 1,)");
}

Tensor call_values(const Tensor& table, const Tensor& coefficients, const Points& points) {
  return call("openmm_pqeq::interpolation", table, coefficients, points);
}
Tensor call_table_gradients(const Tensor& gradients, const Tensor& coefficients,
                            const Points& points) {
  return call("openmm_pqeq::interpolation_table_gradients", gradients, coefficients, points);
}
Tensor call_coefficient_gradients(const Tensor& gradients, const Tensor& table,
                                  const Points& points) {
  return call("openmm_pqeq::interpolation_coefficient_gradients", gradients, table, points);
}

}  // namespace interpolating
}  // namespace openmm_pqeq
