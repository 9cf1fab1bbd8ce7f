// The six operators of the tapered pair sum on a device with kernels of its own: arguments are
// checked and brought into the kernels' dtype here.
//
// `Device` is made of the torch device that the tensors are on. Its sums are float64, of the sizes
// of the tensor that it is told they are `like`: `potential`, `field` and their changes over a
// TaperedWork, `forces`, and `matrix_product`; `near_pairs` takes pairs from a list, and `radials`
// writes into an output in place.
#pragma once

#include "tapered/arguments.h"
#include "tapered/work.h"

#include <ATen/Dispatch.h>

#include <tuple>
#include <vector>

namespace openmm_pqeq {

using NearPairs =
    std::tuple<Tensor, Tensor, Tensor, Tensor>;  // centers, neighbors, shifts, vectors

// Slopes (n_atoms, 3); slope in the cell, row by row, and energy (10,)
struct SlopesAndTotals {
  Tensor slopes, totals;
};

// The tensors that kernels read, for as long as they are called.
struct Held {
  std::vector<Tensor> tensors;

  template <typename V>
  const V* data(const Tensor& tensor) {
    tensors.push_back(tensor.to(c10::CppTypeToScalarType<V>::value).contiguous());
    return tensors.back().template const_data_ptr<V>();
  }

  PairIndices pairs(const Tensor& centers, const Tensor& neighbors) {
    return {centers.size(0), data<int32_t>(centers), data<int32_t>(neighbors)};
  }
};

// What kernels are called with.
template <typename T>
struct Bound : Held {
  TaperedWork<T> work{};

  explicit Bound(const TaperedPairs& given) {
    const PairIndices indices = pairs(given.centers, given.neighbors);
    work.n_pairs = indices.n;
    work.centers = indices.centers;
    work.neighbors = indices.neighbors;
    work.vectors = this->template data<T>(given.vectors);
  }

  Bound(const TaperedPairs& given, const TaperedRadials& radials, const TaperedState& state,
        const TaperedChange& change)
      : Bound(given) {
    work.at_cores = this->template data<T>(radials.at_cores);
    work.at_shells = this->template data<T>(radials.at_shells);
    work.at_rest = radials.at_shells.size(0) == 3;
    set_atoms(state, change);
  }

  // The members of TaperedAtom side by side.
  void set_atoms(const TaperedState& state, const TaperedChange& change) {
    static_assert(sizeof(TaperedAtom<T>) == 9 * sizeof(T));
    const Tensor& z = state.core_charge;
    const Tensor atoms = at::cat({z.unsqueeze(1), (z + state.charges).unsqueeze(1), state.shells,
                                  change.dq.unsqueeze(1), change.ds},
                                 1);
    work.atoms = reinterpret_cast<const TaperedAtom<T>*>(this->template data<T>(atoms));
  }
};

inline TaperedChange no_change(const TaperedState& state) {
  return {at::zeros_like(state.charges), at::zeros_like(state.shells)};
}

template <typename Device>
NearPairs tapered_pairs_on(const Tensor& positions, const Tensor& cell, const Tensor& centers,
                           const Tensor& neighbors, const Tensor& shifts, double cutoff,
                           bool float32) {
  check_kept_pairs(positions, cell, centers, neighbors, shifts);
  const Device device(positions.device());
  Held held;
  const TaperedList list{held.pairs(centers, neighbors), held.data<int8_t>(shifts),
                         held.data<double>(positions), held.data<double>(cell), cutoff * cutoff};
  NearPairs near;
  AT_DISPATCH_FLOATING_TYPES(float32 ? at::kFloat : positions.scalar_type(), "tapered_pairs",
                             [&] { near = device.template near_pairs<scalar_t>(list); });
  return near;
}

template <typename Device>
Tensor tapered_radials_on(const Tensor& centers, const Tensor& neighbors, const Tensor& vectors,
                          const Tensor& kind, const Tensor& gamma, double cutoff,
                          const std::optional<Tensor>& shells) {
  const TaperedPairs pairs{centers, neighbors, vectors};
  check_pairs(pairs, kind.size(0));
  check_kinds(pairs, kind, gamma, shells);
  const Device device(vectors.device());
  const Tensor radials =
      at::empty({shells.has_value() ? 9 : 3, centers.size(0)}, vectors.options());
  AT_DISPATCH_FLOATING_TYPES(vectors.scalar_type(), "tapered_radials", [&] {
    Bound<scalar_t> given(pairs);
    if (shells.has_value()) {
      const Tensor zeros = at::zeros({kind.size(0)}, shells->options());
      const TaperedState state{zeros, zeros, *shells};
      given.set_atoms(state, no_change(state));
    }
    const TaperedWidths<scalar_t> widths{given.template data<int64_t>(kind),
                                         given.template data<scalar_t>(gamma), gamma.size(0),
                                         static_cast<scalar_t>(cutoff)};
    device.radials(given.work, widths, shells.has_value(), radials.data_ptr<scalar_t>());
  });
  return radials;
}

template <typename Device>
std::tuple<Tensor, Tensor> tapered_gradient_on(const Tensor& centers, const Tensor& neighbors,
                                               const Tensor& vectors, const Tensor& at_cores,
                                               const Tensor& at_shells, const Tensor& core_charge,
                                               const Tensor& charges, const Tensor& shells,
                                               bool with_potential, bool with_field) {
  const TaperedPairs pairs{centers, neighbors, vectors};
  const TaperedRadials radials{at_cores, at_shells};
  const TaperedState state{core_charge, charges, shells};
  check_sum(pairs, radials, state);
  const Device device(charges.device());
  const auto dtype = charges.scalar_type();
  Tensor potential = charges.new_zeros({0}), field = charges.new_zeros({0, 3});
  AT_DISPATCH_FLOATING_TYPES(vectors.scalar_type(), "tapered_gradient", [&] {
    const Bound<scalar_t> given(pairs, radials, state, no_change(state));
    if (with_potential) potential = device.potential(given.work, charges).to(dtype);
    if (with_field) field = device.field(given.work, shells).to(dtype);
  });
  return {potential, field};
}

template <typename Device>
std::tuple<Tensor, Tensor> tapered_product_on(const Tensor& centers, const Tensor& neighbors,
                                              const Tensor& vectors, const Tensor& at_cores,
                                              const Tensor& at_shells, const Tensor& core_charge,
                                              const Tensor& charges, const Tensor& shells,
                                              const Tensor& dq, const Tensor& ds,
                                              bool with_potential, bool with_field) {
  const TaperedPairs pairs{centers, neighbors, vectors};
  const TaperedRadials radials{at_cores, at_shells};
  const TaperedState state{core_charge, charges, shells};
  const TaperedChange change{dq, ds};
  check_sum(pairs, radials, state);
  check_change(change, state);
  const Device device(charges.device());
  const auto dtype = charges.scalar_type();
  Tensor potential = charges.new_zeros({0}), field = charges.new_zeros({0, 3});
  AT_DISPATCH_FLOATING_TYPES(vectors.scalar_type(), "tapered_product", [&] {
    const Bound<scalar_t> given(pairs, radials, state, change);
    if (with_potential) potential = device.potential_change(given.work, charges).to(dtype);
    if (with_field) field = device.field_change(given.work, shells).to(dtype);
  });
  return {potential, field};
}

template <typename Device>
std::tuple<Tensor, Tensor, Tensor> tapered_forces_on(
    const Tensor& centers, const Tensor& neighbors, const Tensor& shifts, const Tensor& vectors,
    const Tensor& at_cores, const Tensor& at_shells, const Tensor& core_charge,
    const Tensor& charges, const Tensor& shells, const Tensor& dq, const Tensor& ds,
    double energy_weight) {
  const TaperedPairs pairs{centers, neighbors, vectors};
  const TaperedRadials radials{at_cores, at_shells};
  const TaperedState state{core_charge, charges, shells};
  const TaperedChange change{dq, ds};
  check_sum(pairs, radials, state);
  check_change(change, state);
  check_shifts(shifts, centers);
  const Device device(charges.device());
  SlopesAndTotals found;
  AT_DISPATCH_FLOATING_TYPES(vectors.scalar_type(), "tapered_forces", [&] {
    Bound<scalar_t> given(pairs, radials, state, change);
    given.work.shifts = given.template data<int8_t>(shifts);
    given.work.energy_weight = static_cast<scalar_t>(energy_weight);
    found = device.forces(given.work, shells);
  });
  const auto dtype = charges.scalar_type();
  const Tensor totals = found.totals.to(dtype);
  return {totals[9].clone(), found.slopes.to(dtype), totals.narrow(0, 0, 9).view({3, 3}).clone()};
}

template <typename Device>
Tensor pair_matrix_product_on(const Tensor& centers, const Tensor& neighbors, const Tensor& values,
                              const Tensor& x) {
  check_matrix(centers, neighbors, values, x);
  const Device device(x.device());
  Held held;
  const PairIndices pairs = held.pairs(centers, neighbors);
  Tensor product;
  AT_DISPATCH_FLOATING_TYPES(values.scalar_type(), "pair_matrix_product", [&] {
    const PairMatrix<scalar_t> matrix{pairs, held.data<scalar_t>(values), held.data<double>(x)};
    product = device.matrix_product(matrix, x);
  });
  return product.to(x.scalar_type());
}

template <typename Device, typename Library>
void implement_tapered(Library& library) {
  library.impl("tapered_pairs", tapered_pairs_on<Device>);
  library.impl("tapered_radials", tapered_radials_on<Device>);
  library.impl("tapered_gradient", tapered_gradient_on<Device>);
  library.impl("tapered_product", tapered_product_on<Device>);
  library.impl("tapered_forces", tapered_forces_on<Device>);
  library.impl("pair_matrix_product", pair_matrix_product_on<Device>);
}

}  // namespace openmm_pqeq
