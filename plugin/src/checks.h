// Checks of arguments that operators share: ValueError that says what was expected and what came.
#pragma once

#include <ATen/ATen.h>

namespace openmm_pqeq {

using at::Tensor;

inline bool floating(const Tensor& tensor) {
  return tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble;
}

inline bool shaped(const Tensor& tensor, at::IntArrayRef sizes) { return tensor.sizes() == sizes; }

// As torch's Python names it: int64, float32.
inline auto name_of(at::ScalarType dtype) { return c10::getDtypeNames(dtype).first; }

// Any number of rows of three.
inline bool rows_of_three(const Tensor& tensor) { return tensor.dim() == 2 && tensor.size(1) == 3; }

// Where `fits` is false, refuses the tensor `name`, the rest saying what was expected.
template <typename... Expected>
void check(bool fits, const char* name, const Tensor& tensor, const Expected&... expected) {
  TORCH_CHECK_VALUE(fits, name, ": expected ", expected..., ", got ", name_of(tensor.scalar_type()),
                    " of shape ", tensor.sizes(), " on ", tensor.device());
}

inline void check_floating(const char* name, const Tensor& tensor, at::IntArrayRef sizes) {
  check(floating(tensor) && shaped(tensor, sizes), name, tensor, "float32 or float64 of shape ",
        sizes);
}

inline void check_rows_of_three(const char* name, const Tensor& tensor) {
  check(floating(tensor) && rows_of_three(tensor), name, tensor,
        "float32 or float64 of shape (n, 3)");
}

inline void check_tensor(const char* name, const Tensor& tensor, at::ScalarType dtype,
                         at::IntArrayRef sizes, at::Device device = at::kCPU) {
  check(tensor.scalar_type() == dtype && shaped(tensor, sizes) && tensor.device() == device, name,
        tensor, name_of(dtype), " of shape ", sizes, " on ", device);
}

// Whether integers are 0 to end − 1; only where looking does not make a GPU wait.
inline void check_range(const char* name, const Tensor& integers, int64_t end) {
  if (integers.numel() == 0 || !integers.is_cpu()) return;
  const auto [least, most] = at::aminmax(integers);
  TORCH_CHECK_VALUE(least.item<int64_t>() >= 0 && most.item<int64_t>() < end, name,
                    ": expected 0 to ", end - 1, ", got ", least.item<int64_t>(), " to ",
                    most.item<int64_t>());
}

}  // namespace openmm_pqeq
