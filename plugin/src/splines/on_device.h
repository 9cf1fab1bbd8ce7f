// The operators mesh_put, mesh_read and mesh_read_bend on a device with kernels of its own.
//
// `Device` is made of the torch device that the tensors are on. Its `by_plane` sorts points, `put`
// runs the kernels over points and over planes, `read` and `read_bend` over points; each is given a
// Put or Read with its outputs in place.
#pragma once

#include "splines/arguments.h"
#include "splines/work.h"

#include <ATen/Dispatch.h>

#include <tuple>

namespace openmm_pqeq {

// Points in the order of the planes of all channels, and where each plane's begin: Put::sorted and
// Put::buckets.
struct ByPlane {
  Tensor points, buckets;
};

inline Lattice lattice(at::IntArrayRef size, int64_t order) {
  return {{size[0], size[1], size[2]}, static_cast<int>(order)};
}

template <typename Device>
Tensor mesh_put_on(const Tensor& u_in, const Tensor& channel_in, const Tensor& values_in,
                   const std::optional<Tensor>& moved_in, int64_t channels, at::IntArrayRef size,
                   int64_t order) {
  const Device device(u_in.device());
  check_points(u_in, channel_in, channels, size, order);
  check_charges(u_in, values_in, moved_in);
  const bool dipoles = moved_in.has_value();
  const Tensor u = u_in.contiguous(), channel = channel_in.contiguous(),
               values = values_in.contiguous();
  const Tensor moved = dipoles ? moved_in->contiguous() : Tensor();
  const int64_t n = u.size(0), n_planes = channels * size[0];
  const ByPlane sorted = device.by_plane(u, channel, size[0], n_planes);
  const Tensor mesh = at::zeros({channels, size[0], size[1], size[2]}, u.options());
  const Tensor weights = at::empty({n, dipoles ? 6 : 3, order}, u.options()),
               corners = at::empty({n, 2}, channel.options());
  AT_DISPATCH_FLOATING_TYPES(u.scalar_type(), "mesh_put", [&] {
    const Put<scalar_t> work{lattice(size, order),
                             u.const_data_ptr<scalar_t>(),
                             values.const_data_ptr<scalar_t>(),
                             dipoles ? moved.const_data_ptr<scalar_t>() : nullptr,
                             sorted.points.const_data_ptr<int64_t>(),
                             sorted.buckets.const_data_ptr<int64_t>(),
                             weights.data_ptr<scalar_t>(),
                             corners.data_ptr<int64_t>(),
                             mesh.data_ptr<scalar_t>()};
    device.put(work, n, n_planes);
  });
  return mesh;
}

template <typename Device>
std::tuple<Tensor, Tensor> mesh_read_on(const Tensor& field_in, const Tensor& u_in,
                                        const Tensor& channel_in, int64_t order) {
  const Device device(u_in.device());
  check_field(field_in, u_in, channel_in, order);
  const Tensor field = field_in.contiguous(), u = u_in.contiguous(),
               channel = channel_in.contiguous();
  const Tensor values = at::empty({u.size(0)}, u.options()),
               slopes = at::empty({u.size(0), 3}, u.options());
  AT_DISPATCH_FLOATING_TYPES(u.scalar_type(), "mesh_read", [&] {
    const Read<scalar_t> work{lattice(field.sizes().slice(1), order),
                              u.const_data_ptr<scalar_t>(),
                              field.const_data_ptr<scalar_t>(),
                              channel.const_data_ptr<int64_t>(),
                              values.data_ptr<scalar_t>(),
                              slopes.data_ptr<scalar_t>(),
                              nullptr};
    device.read(work, u.size(0));
  });
  return {values, slopes};
}

template <typename Device>
Tensor mesh_read_bend_on(const Tensor& field_in, const Tensor& u_in, const Tensor& channel_in,
                         int64_t order) {
  const Device device(u_in.device());
  check_field(field_in, u_in, channel_in, order);
  const Tensor field = field_in.contiguous(), u = u_in.contiguous(),
               channel = channel_in.contiguous();
  const Tensor bends = at::empty({u.size(0), 3, 3}, u.options());
  AT_DISPATCH_FLOATING_TYPES(u.scalar_type(), "mesh_read_bend", [&] {
    const Read<scalar_t> work{lattice(field.sizes().slice(1), order),
                              u.const_data_ptr<scalar_t>(),
                              field.const_data_ptr<scalar_t>(),
                              channel.const_data_ptr<int64_t>(),
                              nullptr,
                              nullptr,
                              bends.data_ptr<scalar_t>()};
    device.read_bend(work, u.size(0));
  });
  return bends;
}

}  // namespace openmm_pqeq
