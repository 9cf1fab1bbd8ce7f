// The interpolation and its gradients on the CPU: threads over intervals or columns, and the
// kernels for the instruction set that the processor has.
#include "instruction_sets.h"
#include "interpolation/cpu_kernel.h"

#include "interpolation/arguments.h"
#include "parallel.h"

#include <ATen/Dispatch.h>
#include <torch/library.h>

namespace openmm_pqeq {
namespace interpolating {
namespace {

constexpr int64_t kIntervals = 8;  // of a task
constexpr int64_t kColumns = 64;

template <typename T>
using Kernel = void (*)(const Interpolation<T>&, Index, Index);

template <typename T>
struct Kernels {
  Kernel<T> values, coefficient_gradients, table_gradients;
};

template <typename T>
Kernels<T> kernels() {
#if defined(PQEQ_X86_LEVELS)
  if (has_x86_64_v4()) {
    return {x86_64_v4::values<T>, x86_64_v4::coefficient_gradients<T>,
            x86_64_v4::table_gradients<T>};
  }
  if (has_x86_64_v3()) {
    return {x86_64_v3::values<T>, x86_64_v3::coefficient_gradients<T>,
            x86_64_v3::table_gradients<T>};
  }
#endif
  return {any_cpu::values<T>, any_cpu::coefficient_gradients<T>, any_cpu::table_gradients<T>};
}

template <typename T>
void over(int64_t n, int64_t grain, Kernel<T> kernel, const Interpolation<T>& work) {
  parallel_for(0, n, grain, [&](int64_t begin, int64_t end) { kernel(work, begin, end); });
}

template <typename T>
Interpolation<T> work_of(const Points& points, int64_t n_columns) {
  Interpolation<T> made{};
  made.n_intervals = points.n_intervals();
  made.n_columns = n_columns;
  made.order = reinterpret_cast<const Index*>(points.order.const_data_ptr<int64_t>());
  made.begin = reinterpret_cast<const Index*>(points.begin.const_data_ptr<int64_t>());
  return made;
}

Points contiguous(const Points& points) {
  points.check();
  return {points.order.contiguous(), points.begin.contiguous()};
}

Tensor values_on_cpu(const Tensor& given_table, const Tensor& given_coefficients,
                     const Points& given) {
  const Points points = contiguous(given);
  const Tensor table = given_table.contiguous(), coefficients = given_coefficients.contiguous();
  check(floating(table) && table.dim() == 2 && table.size(0) == points.n_nodes(), "table", table,
        "float32 or float64 of shape (", points.n_nodes(), ", n_columns)");
  check_tensor("coefficients", coefficients, table.scalar_type(), {points.n_points(), kPoints});
  const Tensor values = at::empty({points.n_points(), table.size(1)}, table.options());
  AT_DISPATCH_FLOATING_TYPES(table.scalar_type(), "interpolation", [&] {
    auto work = work_of<scalar_t>(points, table.size(1));
    work.table = table.const_data_ptr<scalar_t>();
    work.coefficients = coefficients.const_data_ptr<scalar_t>();
    work.values = values.data_ptr<scalar_t>();
    over<scalar_t>(points.n_intervals(), kIntervals, kernels<scalar_t>().values, work);
  });
  return values;
}

void check_gradients(const Tensor& gradients, const Points& points) {
  check(floating(gradients) && gradients.dim() == 2 && gradients.size(0) == points.n_points(),
        "gradients", gradients, "float32 or float64 of shape (", points.n_points(), ", n_columns)");
}

Tensor table_gradients_on_cpu(const Tensor& given_gradients, const Tensor& given_coefficients,
                              const Points& given) {
  const Points points = contiguous(given);
  const Tensor gradients = given_gradients.contiguous();
  const Tensor coefficients = given_coefficients.contiguous();
  check_gradients(gradients, points);
  check_tensor("coefficients", coefficients, gradients.scalar_type(), {points.n_points(), kPoints});
  const Tensor made = at::empty({points.n_nodes(), gradients.size(1)}, gradients.options());
  AT_DISPATCH_FLOATING_TYPES(gradients.scalar_type(), "interpolation_table_gradients", [&] {
    auto work = work_of<scalar_t>(points, gradients.size(1));
    work.gradients = gradients.const_data_ptr<scalar_t>();
    work.coefficients = coefficients.const_data_ptr<scalar_t>();
    work.table_gradients = made.data_ptr<scalar_t>();
    over<scalar_t>(gradients.size(1), kColumns, kernels<scalar_t>().table_gradients, work);
  });
  return made;
}

Tensor coefficient_gradients_on_cpu(const Tensor& given_gradients, const Tensor& given_table,
                                    const Points& given) {
  const Points points = contiguous(given);
  const Tensor gradients = given_gradients.contiguous(), table = given_table.contiguous();
  check_gradients(gradients, points);
  check_tensor("table", table, gradients.scalar_type(), {points.n_nodes(), gradients.size(1)});
  const Tensor made = at::empty({points.n_points(), kPoints}, gradients.options());
  AT_DISPATCH_FLOATING_TYPES(gradients.scalar_type(), "interpolation_coefficient_gradients", [&] {
    auto work = work_of<scalar_t>(points, gradients.size(1));
    work.gradients = gradients.const_data_ptr<scalar_t>();
    work.table = table.const_data_ptr<scalar_t>();
    work.coefficient_gradients = made.data_ptr<scalar_t>();
    over<scalar_t>(points.n_intervals(), kIntervals, kernels<scalar_t>().coefficient_gradients,
                   work);
  });
  return made;
}

}  // namespace
}  // namespace interpolating
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, CPU, library) {
  using namespace openmm_pqeq::interpolating;
  library.impl("interpolation", of_points<values_on_cpu>);
  library.impl("interpolation_table_gradients", of_points<table_gradients_on_cpu>);
  library.impl("interpolation_coefficient_gradients", of_points<coefficient_gradients_on_cpu>);
}
