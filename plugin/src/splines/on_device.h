// The operators splines_spread, splines_interpolate and splines_interpolate_hessian on a device
// with kernels of its own.
//
// `Device` is made of the torch device that the tensors are on. Its `by_plane` sorts points,
// `spread` runs the kernels over points and over planes, `interpolate` and `interpolate_hessian`
// over points; each is given a Spread or Interpolation with its outputs in place.
#pragma once

#include "splines/arguments.h"
#include "splines/work.h"

#include <ATen/Dispatch.h>

#include <tuple>

namespace openmm_pqeq {

// Points in the order of the planes of all channels, and where each plane's begin: Spread::sorted
// and Spread::buckets.
struct ByPlane {
  Tensor points, buckets;
};

inline Lattice lattice(at::IntArrayRef size, int64_t order) {
  return {{size[0], size[1], size[2]}, static_cast<int>(order)};
}

template <typename Device>
Tensor splines_spread_on(const Tensor& u_in, const Tensor& channel_in, const Tensor& values_in,
                         const std::optional<Tensor>& dipoles_in, int64_t channels,
                         at::IntArrayRef size, int64_t order) {
  const Device device(u_in.device());
  check_points(u_in, channel_in, channels, size, order);
  check_charges(u_in, values_in, dipoles_in);
  const bool with_dipoles = dipoles_in.has_value();
  const Tensor u = u_in.contiguous(), channel = channel_in.contiguous(),
               values = values_in.contiguous();
  const Tensor dipoles = with_dipoles ? dipoles_in->contiguous() : Tensor();
  const int64_t n = u.size(0), n_planes = channels * size[0];
  const ByPlane sorted = device.by_plane(u, channel, size[0], n_planes);
  const Tensor mesh = at::zeros({channels, size[0], size[1], size[2]}, u.options());
  const Tensor weights = at::empty({n, with_dipoles ? 6 : 3, order}, u.options()),
               corners = at::empty({n, 2}, channel.options());
  AT_DISPATCH_FLOATING_TYPES(u.scalar_type(), "splines_spread", [&] {
    const Spread<scalar_t> work{lattice(size, order),
                                u.const_data_ptr<scalar_t>(),
                                values.const_data_ptr<scalar_t>(),
                                with_dipoles ? dipoles.const_data_ptr<scalar_t>() : nullptr,
                                sorted.points.const_data_ptr<int64_t>(),
                                sorted.buckets.const_data_ptr<int64_t>(),
                                weights.data_ptr<scalar_t>(),
                                corners.data_ptr<int64_t>(),
                                mesh.data_ptr<scalar_t>()};
    device.spread(work, n, n_planes);
  });
  return mesh;
}

template <typename Device>
std::tuple<Tensor, Tensor> splines_interpolate_on(const Tensor& field_in, const Tensor& u_in,
                                                  const Tensor& channel_in, int64_t order) {
  const Device device(u_in.device());
  check_field(field_in, u_in, channel_in, order);
  const Tensor field = field_in.contiguous(), u = u_in.contiguous(),
               channel = channel_in.contiguous();
  const Tensor values = at::empty({u.size(0)}, u.options()),
               gradients = at::empty({u.size(0), 3}, u.options());
  AT_DISPATCH_FLOATING_TYPES(u.scalar_type(), "splines_interpolate", [&] {
    const Interpolation<scalar_t> work{lattice(field.sizes().slice(1), order),
                                       u.const_data_ptr<scalar_t>(),
                                       field.const_data_ptr<scalar_t>(),
                                       channel.const_data_ptr<int64_t>(),
                                       values.data_ptr<scalar_t>(),
                                       gradients.data_ptr<scalar_t>(),
                                       nullptr};
    device.interpolate(work, u.size(0));
  });
  return {values, gradients};
}

template <typename Device>
Tensor splines_interpolate_hessian_on(const Tensor& field_in, const Tensor& u_in,
                                      const Tensor& channel_in, int64_t order) {
  const Device device(u_in.device());
  check_field(field_in, u_in, channel_in, order);
  const Tensor field = field_in.contiguous(), u = u_in.contiguous(),
               channel = channel_in.contiguous();
  const Tensor hessians = at::empty({u.size(0), 3, 3}, u.options());
  AT_DISPATCH_FLOATING_TYPES(u.scalar_type(), "splines_interpolate_hessian", [&] {
    const Interpolation<scalar_t> work{lattice(field.sizes().slice(1), order),
                                       u.const_data_ptr<scalar_t>(),
                                       field.const_data_ptr<scalar_t>(),
                                       channel.const_data_ptr<int64_t>(),
                                       nullptr,
                                       nullptr,
                                       hessians.data_ptr<scalar_t>()};
    device.interpolate_hessian(work, u.size(0));
  });
  return hessians;
}

}  // namespace openmm_pqeq
