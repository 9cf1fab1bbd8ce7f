// coulomb_radial on the CPU: erf and exp by torch's vectorized kernels, everything else in one pass
// over memory.
#include "constants.h"
#include "parallel.h"

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/library.h>

namespace openmm_pqeq {
namespace {

using at::Tensor;

// Elements per task: large enough that starting a thread does not show.
constexpr int64_t kGrain = 16384;

std::tuple<Tensor, Tensor, Tensor> coulomb_radial_cpu(const Tensor& distance_in,
                                                      const Tensor& gamma_in) {
  const auto dtype = at::result_type(distance_in, gamma_in);
  const auto expanded = at::broadcast_tensors({distance_in.to(dtype), gamma_in.to(dtype)});
  const Tensor distance = expanded[0].contiguous();
  const Tensor gamma = expanded[1].contiguous();
  const Tensor scaled = distance * gamma;
  Tensor value = at::erf(scaled);
  Tensor second = at::exp(scaled.square_().neg_());
  Tensor first = at::empty_like(value);
  AT_DISPATCH_FLOATING_TYPES(dtype, "coulomb_radial", [&] {
    const scalar_t* r = distance.const_data_ptr<scalar_t>();
    const scalar_t* exponent = gamma.const_data_ptr<scalar_t>();
    scalar_t* f = value.data_ptr<scalar_t>();
    scalar_t* f1 = first.data_ptr<scalar_t>();
    scalar_t* f2 = second.data_ptr<scalar_t>();
    parallel_for(0, distance.numel(), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const scalar_t inverse = scalar_t(1) / r[i];
        const scalar_t inverse_square = inverse * inverse;
        const scalar_t gauss = scalar_t(kCoulomb * kTwoOverSqrtPi) * exponent[i] * f2[i];
        const scalar_t coulomb = scalar_t(kCoulomb) * f[i] * inverse;
        const scalar_t slope = (gauss - coulomb) * inverse_square;
        f[i] = coulomb;
        f1[i] = slope;
        f2[i] = (scalar_t(-2) * exponent[i] * exponent[i] * gauss - scalar_t(3) * slope) *
                inverse_square;
      }
    });
  });
  return {value, first, second};
}

}  // namespace
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, CPU, library) {
  library.impl("coulomb_radial", openmm_pqeq::coulomb_radial_cpu);
}
