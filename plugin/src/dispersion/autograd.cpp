// Derivatives of dispersion, and its arguments as kernels take them. The formulae are in
// dispersion/formulae.h.
//
// With the cotangents G_i of the energies, L = Σ_i G_i E_i, and D_i = ∂L/∂CN_i:
//
//   E_i  = −½ Σ_j C6_ij damped(r) switch(r)
//   D_i  = −½ Σ_j (G_i + G_j) ∂C6_ij/∂CN_i damped(r) switch(r)
//   ∂L/∂r_ij = −½ (G_i + G_j) C6_ij (damped·switch)' + (D_i + D_j) (count·switch)'
//
// Coordination numbers come with the energies, so that backward need not count again. Second
// derivatives are refused.
#include "dispersion/arguments.h"

#include "dispersion/formulae.h"
#include "once_differentiable.h"

#include <torch/library.h>

namespace openmm_pqeq {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

bool floating(const Tensor& tensor) {
  return tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble;
}

void check_table(const char* name, const Tensor& table, const DispersionArguments& given,
                 at::IntArrayRef sizes) {
  TORCH_CHECK_VALUE(table.scalar_type() == given.c6.scalar_type() &&
                        table.device() == given.positions.device() && table.sizes() == sizes,
                    name, ": expected ", given.c6.scalar_type(), " of shape ", sizes, " on ",
                    given.positions.device(), ", got ", table.scalar_type(), " ", table.sizes(),
                    " on ", table.device());
}

void check_integers(const char* name, const Tensor& integers, at::ScalarType dtype,
                    at::IntArrayRef sizes, const at::Device& device) {
  TORCH_CHECK_VALUE(
      integers.scalar_type() == dtype && integers.sizes() == sizes && integers.device() == device,
      name, ": expected ", dtype, " of shape ", sizes, " on ", device, ", got ",
      integers.scalar_type(), " ", integers.sizes(), " on ", integers.device());
}

// Only where looking does not make a GPU wait.
void check_range(const char* name, const Tensor& integers, int64_t end) {
  if (integers.numel() == 0 || !integers.is_cpu()) return;
  const auto [least, most] = at::aminmax(integers);
  TORCH_CHECK_VALUE(least.item<int64_t>() >= 0 && most.item<int64_t>() < end, name,
                    ": expected 0 to ", end - 1, ", got ", least.item<int64_t>(), " to ",
                    most.item<int64_t>());
}

}  // namespace

void check(const DispersionArguments& given) {
  const at::Device device = given.positions.device();
  const int64_t n_atoms = given.positions.dim() > 0 ? given.positions.size(0) : 0,
                n_pairs = given.centers.numel();
  const int64_t n_structures = given.cell.dim() > 0 ? given.cell.size(0) : 0,
                n_species = given.c6.dim() > 0 ? given.c6.size(0) : 0;
  TORCH_CHECK_VALUE(
      floating(given.positions) && given.positions.dim() == 2 && given.positions.size(1) == 3,
      "positions: expected float32 or float64 of shape (n_atoms, 3), got ",
      given.positions.scalar_type(), " ", given.positions.sizes());
  TORCH_CHECK_VALUE(
      given.cell.scalar_type() == given.positions.scalar_type() && given.cell.device() == device &&
          given.cell.dim() == 3 && given.cell.size(1) == 3 && given.cell.size(2) == 3,
      "cell: expected (n_structures, 3, 3) with the dtype and device of positions, got ",
      given.cell.scalar_type(), " ", given.cell.sizes(), " on ", given.cell.device());
  check_integers("batch", given.batch, at::kLong, {n_atoms}, device);
  check_integers("species", given.species, at::kLong, {n_atoms}, device);
  check_integers("centers", given.centers, at::kInt, {n_pairs}, device);
  check_integers("neighbors", given.neighbors, at::kInt, {n_pairs}, device);
  check_integers("shifts", given.shifts, at::kChar, {n_pairs, 3}, device);
  TORCH_CHECK_VALUE(floating(given.c6), "c6: expected float32 or float64, got ",
                    given.c6.scalar_type());
  check_table("c6", given.c6, given, {n_species, n_species, kReferences, kReferences});
  check_table("coordination", given.coordination, given, {n_species, kReferences});
  check_table("covalent_radii", given.covalent_radii, given, {n_species});
  check_table("c8_over_c6", given.c8_over_c6, given, {n_species, n_species});
  check_table("radii6", given.radii6, given, {n_species, n_species});
  check_table("radii8", given.radii8, given, {n_species, n_species});
  TORCH_CHECK_VALUE(given.cutoff > 0.0 && given.cn_cutoff > 0.0 && given.smoothing_width >= 0.0,
                    "cutoff, cn_cutoff, smoothing_width: expected two positive distances and one "
                    "that is not negative, got ",
                    given.cutoff, ", ", given.cn_cutoff, ", ", given.smoothing_width);
  check_range("batch", given.batch, n_structures);
  check_range("species", given.species, n_species);
  check_range("centers", given.centers, n_atoms);
  check_range("neighbors", given.neighbors, n_atoms);
}

void check_atoms(const DispersionArguments& given, const Tensor& gradients,
                 const Tensor& coordination_numbers) {
  for (const Tensor& each : {gradients, coordination_numbers}) {
    TORCH_CHECK_VALUE(each.dim() == 1 && each.size(0) == given.positions.size(0) &&
                          each.device() == given.positions.device(),
                      "gradients, coordination_numbers: expected ", given.positions.size(0),
                      " numbers on ", given.positions.device(), ", got ", each.sizes(), " on ",
                      each.device());
  }
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

namespace {

using Energies = std::tuple<Tensor, Tensor>;
using ForwardSignature = Energies(PQEQ_DISPERSION_PARAMETERS);
using BackwardSignature = Energies(const Tensor& gradients, const Tensor& coordination_numbers,
                                   PQEQ_DISPERSION_PARAMETERS, bool with_cell);

class DispersionFunction : public torch::autograd::Function<DispersionFunction> {
 public:
  static variable_list forward(AutogradContext* context, const Tensor& positions,
                               const Tensor& cell, const DispersionArguments& of) {
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("openmm_pqeq::dispersion", "")
                               .typed<ForwardSignature>();
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto [energies, coordination_numbers] =
        op.call(positions, cell, of.batch, of.centers, of.neighbors, of.shifts, of.species, of.c6,
                of.coordination, of.covalent_radii, of.c8_over_c6, of.radii6, of.radii8,
                of.zero_damping, of.s6, of.s8, of.alp, of.cutoff, of.cn_cutoff, of.smoothing_width);
    context->mark_non_differentiable({coordination_numbers});
    context->save_for_backward({positions, cell, of.batch, of.centers, of.neighbors, of.shifts,
                                of.species, of.c6, of.coordination, of.covalent_radii,
                                of.c8_over_c6, of.radii6, of.radii8, coordination_numbers});
    context->saved_data["zero_damping"] = of.zero_damping;
    context->saved_data["numbers"] =
        std::vector<double>{of.s6, of.s8, of.alp, of.cutoff, of.cn_cutoff, of.smoothing_width};
    return {energies, coordination_numbers};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("openmm_pqeq::dispersion_backward", "")
                               .typed<BackwardSignature>();
    const variable_list of = context->get_saved_variables();
    const std::vector<double> number = context->saved_data["numbers"].toDoubleVector();
    if (!gradients[0].defined()) return {Tensor(), Tensor(), Tensor()};
    variable_list found;
    {
      at::AutoDispatchBelowADInplaceOrView below_autograd;
      const auto [positions, cell] = op.call(
          gradients[0], of[13], of[0], of[1], of[2], of[3], of[4], of[5], of[6], of[7], of[8],
          of[9], of[10], of[11], of[12], context->saved_data["zero_damping"].toBool(), number[0],
          number[1], number[2], number[3], number[4], number[5], context->needs_input_grad(1));
      found = {positions, cell};
    }
    if (at::GradMode::is_enabled()) {
      const variable_list depends_on{of[0], of[1], gradients[0]};
      found = once_differentiable("dispersion", depends_on, found);
    }
    found.push_back(Tensor());  // the rest has no derivative
    return found;
  }
};

Energies dispersion_autograd(PQEQ_DISPERSION_PARAMETERS) {
  const DispersionArguments given PQEQ_DISPERSION_GIVEN;
  for (const Tensor& table : {c6, coordination, covalent_radii, c8_over_c6, radii6, radii8}) {
    TORCH_CHECK(!table.requires_grad(),
                "dispersion: expected tables without gradients, got one that requires them; use "
                "dispersion_reference, which has them");
  }
  const variable_list found = DispersionFunction::apply(positions, cell, given);
  return {found[0], found[1]};
}

}  // namespace
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, Autograd, library) {
  library.impl("dispersion", openmm_pqeq::dispersion_autograd);
}
