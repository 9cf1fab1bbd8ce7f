// Arguments of dispersion: from the schema's list to what kernels take. The formulae are in
// formulae.h.
#include "dispersion/arguments.h"

#include <torch/library.h>

#include <limits>

namespace openmm_pqeq {

void check(const DispersionArguments& given) {
  const auto& positions = given.positions;
  const at::Device device = positions.device();
  const auto dtype = given.c6.scalar_type();
  check_rows_of_three("positions", positions);
  const Tensor& cell = given.cell;
  check(cell.scalar_type() == positions.scalar_type() && cell.device() == device &&
            cell.dim() == 3 && cell.size(1) == 3 && cell.size(2) == 3,
        "cell", cell, "(n_structures, 3, 3) with the dtype and device of positions");
  const int64_t n_atoms = positions.size(0), n_pairs = given.centers.numel();
  check_tensor("batch", given.batch, at::kLong, {n_atoms}, device);
  check_tensor("species", given.species, at::kLong, {n_atoms}, device);
  check_tensor("centers", given.centers, at::kInt, {n_pairs}, device);
  check_tensor("neighbors", given.neighbors, at::kInt, {n_pairs}, device);
  check_tensor("shifts", given.shifts, at::kChar, {n_pairs, 3}, device);
  check(floating(given.c6) && given.c6.dim() == 4, "c6", given.c6,
        "float32 or float64 of four dimensions");
  const int64_t n = given.c6.size(0);
  check_tensor("c6", given.c6, dtype, {n, n, kReferences, kReferences}, device);
  check_tensor("coordination", given.coordination, dtype, {n, kReferences}, device);
  check_tensor("covalent_radii", given.covalent_radii, dtype, {n}, device);
  check_tensor("c8_over_c6", given.c8_over_c6, dtype, {n, n}, device);
  check_tensor("radii6", given.radii6, dtype, {n, n}, device);
  check_tensor("radii8", given.radii8, dtype, {n, n}, device);
  TORCH_CHECK_VALUE(
      given.cutoff > 0.0 && given.cn_cutoff > 0.0 && given.smoothing_width >= 0.0,
      "cutoff, cn_cutoff, smoothing_width: expected two positive distances and one that is not"
      " negative, got ",
      given.cutoff, ", ", given.cn_cutoff, ", ", given.smoothing_width);
  check_range("batch", given.batch, cell.size(0));
  check_range("species", given.species, n);
  check_range("centers", given.centers, n_atoms);
  check_range("neighbors", given.neighbors, n_atoms);
}

void check_atoms(const DispersionArguments& given, const Tensor& gradients,
                 const Tensor& coordination_numbers) {
  const int64_t n_atoms = given.positions.size(0);
  const at::Device device = given.positions.device();
  for (const Tensor& each : {gradients, coordination_numbers}) {
    check(shaped(each, {n_atoms}) && each.device() == device, "gradients, coordination_numbers",
          each, n_atoms, " numbers on ", device);
  }
}

Both call_dispersion(const DispersionArguments& of) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("openmm_pqeq::dispersion", "")
                             .typed<decltype(dispersion<nullptr>)>();
  return op.call(of.positions, of.cell, of.batch, of.centers, of.neighbors, of.shifts, of.species,
                 of.c6, of.coordination, of.covalent_radii, of.c8_over_c6, of.radii6, of.radii8,
                 of.zero_damping, of.s6, of.s8, of.alp, of.cutoff, of.cn_cutoff,
                 of.smoothing_width);
}

Both call_dispersion_backward(const Tensor& gradients, const Tensor& coordination_numbers,
                              const DispersionArguments& of, bool with_cell) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("openmm_pqeq::dispersion_backward", "")
                             .typed<decltype(dispersion_backward<nullptr>)>();
  return op.call(gradients, coordination_numbers, of.positions, of.cell, of.batch, of.centers,
                 of.neighbors, of.shifts, of.species, of.c6, of.coordination, of.covalent_radii,
                 of.c8_over_c6, of.radii6, of.radii8, of.zero_damping, of.s6, of.s8, of.alp,
                 of.cutoff, of.cn_cutoff, of.smoothing_width, with_cell);
}

Dispersion prepared(const DispersionArguments& given) {
  using at::indexing::Slice;
  const auto options = given.positions.options().dtype(at::kDouble);
  const int64_t n_atoms = given.positions.size(0), n_structures = given.cell.size(0);
  const Tensor positions = at::zeros({n_atoms, 4}, options),
               offsets = at::zeros({n_structures, 3, 256, 4}, options);
  positions.index({Slice(), Slice(0, 3)}).copy_(given.positions);
  const Tensor multiples = at::arange(-128, 128, options).view({1, 1, 256, 1});
  offsets.index({Slice(), Slice(), Slice(), Slice(0, 3)})
      .copy_(multiples * given.cell.to(at::kDouble).unsqueeze(2));

  const auto [present, kinds, unused] =
      at::_unique2(given.species, /*sorted=*/true, /*return_inverse=*/true);
  const auto of_kinds = [&, present = present](const Tensor& table) {
    return table.index_select(0, present).index_select(1, present).to(at::kDouble);
  };
  const Tensor radii = given.covalent_radii.index_select(0, present).to(at::kDouble);
  const Tensor radii6 = of_kinds(given.radii6), radii8 = of_kinds(given.radii8),
               eight = given.s8 * of_kinds(given.c8_over_c6);
  const Tensor six = at::full_like(eight, given.s6), sixth = radii6.pow(6), eighth = radii8.pow(8);
  const Tensor pair = radii.unsqueeze(0) + radii.unsqueeze(1);
  const Tensor constants =
      given.zero_damping
          ? at::stack({pair, radii6.reciprocal(), radii8.reciprocal(), six / sixth, eight / eighth})
          : at::stack({pair, sixth, eighth, six, eight});
  const auto dtype = given.c6.scalar_type();
  return {positions,
          offsets,
          given.batch.contiguous(),
          given.centers.contiguous(),
          given.neighbors.contiguous(),
          given.shifts.contiguous(),
          kinds.to(at::kInt),
          constants.to(dtype).contiguous(),
          given.c6.index_select(0, present).index_select(1, present).contiguous(),
          given.smoothing_width > 0.0 ? 1.0 / given.smoothing_width : kStep};
}

Tensor dispersion_weights(const DispersionArguments& given, const Tensor& coordination_numbers) {
  using at::indexing::Slice;
  constexpr double k3 = 4.0;
  const Tensor references = given.coordination.index_select(0, given.species).to(at::kDouble);
  const Tensor away = coordination_numbers.to(at::kDouble).unsqueeze(1) - references;
  const Tensor exponents =
      (-k3 * at::square(away))
          .masked_fill(references < 0.0, -std::numeric_limits<double>::infinity());
  const Tensor weights = at::softmax(exponents, 1), slopes = -2.0 * k3 * away;
  const Tensor both = at::zeros({references.size(0), kWeights}, given.c6.options());
  both.index({Slice(), Slice(0, kReferences)}).copy_(weights);
  both.index({Slice(), Slice(kWeights / 2, kWeights / 2 + kReferences)})
      .copy_(weights * (slopes - (weights * slopes).sum(1, /*keepdim=*/true)));
  return both;
}

}  // namespace openmm_pqeq
