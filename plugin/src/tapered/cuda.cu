// The tapered pair sum on NVIDIA GPUs: launches. Nothing waits for the device but near_pairs, once,
// for their number.
#include "tapered/cuda_kernel.cuh"

#include "launch.cuh"
#include "tapered/on_device.h"

namespace openmm_pqeq {
namespace {

// Sums are in units of 2⁻⁴⁸ of the largest term. 32,000 pairs of an atom fit, and where a term is
// not finite, no sum is.
constexpr double kUnit = 1.0 / 281474976710656.0;

struct CudaTapered {
  const at::Device device;
  const DeviceGuard guard;

  explicit CudaTapered(at::Device on) : device(on), guard(on) {}

  Tensor empty(at::IntArrayRef sizes, at::ScalarType dtype) const {
    return at::empty(sizes, at::device(device).dtype(dtype));
  }

  template <typename T>
  NearPairs near_pairs(const TaperedList& list) const {
    const int64_t n = list.pairs.n, blocks = blocks_of(n, kThreads);
    const Tensor near = empty({n}, at::kLong);
    launch(near_kernel, blocks, kThreads, 0, list, near.data_ptr<int64_t>());
    const Tensor up_to = near.cumsum(0);
    const int64_t n_near = n == 0 ? 0 : up_to[n - 1].item<int64_t>();
    const Tensor centers = empty({n_near}, at::kInt), neighbors = empty({n_near}, at::kInt),
                 shifts = empty({n_near, 3}, at::kChar),
                 vectors = empty({n_near, 3}, c10::CppTypeToScalarType<T>::value);
    launch(take_kernel<T>, blocks, kThreads, 0, list, up_to.const_data_ptr<int64_t>(),
           centers.data_ptr<int32_t>(), neighbors.data_ptr<int32_t>(), shifts.data_ptr<int8_t>(),
           vectors.data_ptr<T>());
    return {centers, neighbors, shifts, vectors};
  }

  template <typename T>
  void radials(const TaperedWork<T>& work, const TaperedWidths<T>& widths, bool moved,
               T* to) const {
    const auto kernel = moved ? radials_kernel<T, true> : radials_kernel<T, false>;
    launch(kernel, blocks_of(work.n_pairs, kThreads), kThreads, 0, Terms<T>{work}, widths, to);
  }

  template <typename Of>
  Tensor summed(const Of& of, const Tensor& like) const {
    const Tensor sums = zero_sums(like.sizes(), like), bits = zero_sums({1}, like);
    const int64_t blocks = blocks_of(of.pairs().n, kThreads);
    launch(largest_kernel<Of>, blocks, kThreads, 0, of.pairs(), of, sums_of(bits));
    const Tensor largest = bits.view(at::kDouble);
    const Tensor unit = at::where(largest == 0.0, at::ones_like(largest), largest) * kUnit;
    launch(sum_kernel<Of>, blocks, kThreads, 0, of.pairs(), of, unit.const_data_ptr<double>(),
           sums_of(sums));
    return sums.to(at::kDouble) * unit;
  }

  template <typename T>
  Tensor potential(const TaperedWork<T>& work, const Tensor& like) const {
    return summed(Potential<T>{work}, like);
  }
  template <typename T>
  Tensor field(const TaperedWork<T>& work, const Tensor& like) const {
    return summed(Field<T>{work}, like);
  }
  template <typename T>
  Tensor potential_change(const TaperedWork<T>& work, const Tensor& like) const {
    return summed(PotentialChange<T>{work}, like);
  }
  template <typename T>
  Tensor field_change(const TaperedWork<T>& work, const Tensor& like) const {
    return summed(FieldChange<T>{work}, like);
  }

  template <typename T>
  SlopesAndTotals forces(const TaperedWork<T>& work, const Tensor& like) const {
    const int64_t blocks = blocks_of(work.n_pairs, kThreads);
    const Tensor totals = empty({blocks, kTotals}, at::kDouble);
    launch(totals_kernel<T>, blocks, kThreads, 0, Terms<T>{work}, totals.data_ptr<double>());
    return {summed(Slopes<T>{work}, like), totals.sum(0)};
  }

  template <typename T>
  Tensor matrix_product(const PairMatrix<T>& matrix, const Tensor& like) const {
    return summed(MatrixProduct<T>{matrix}, like);
  }
};

}  // namespace
}  // namespace openmm_pqeq

PQEQ_LIBRARY_OF_CUDA_KERNELS(library) {
  openmm_pqeq::implement_tapered<openmm_pqeq::CudaTapered>(library);
}
