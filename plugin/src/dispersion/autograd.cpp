// Derivatives of dispersion.
//
// With the cotangents G_i of the energies, L = Σ_i G_i E_i, and D_i = ∂L/∂CN_i:
//
//   E_i  = −½ Σ_j C6_ij damped(r) switch(r)
//   D_i  = −½ Σ_j (G_i + G_j) ∂C6_ij/∂CN_i damped(r) switch(r)
//   ∂L/∂r_ij = −½ (G_i + G_j) C6_ij (damped·switch)' + (D_i + D_j) (count·switch)'
//
// Coordination numbers come with the energies, so that backward need not count again. Second
// derivatives are refused. The formulae are in formulae.h.
#include "dispersion/arguments.h"
#include "once_differentiable.h"

#include <torch/library.h>

namespace openmm_pqeq {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void save(AutogradContext* context, const DispersionArguments& of,
          const Tensor& coordination_numbers) {
  context->save_for_backward({of.positions, of.cell, of.batch, of.centers, of.neighbors, of.shifts,
                              of.species, of.c6, of.coordination, of.covalent_radii, of.c8_over_c6,
                              of.radii6, of.radii8, coordination_numbers});
  context->saved_data["zero_damping"] = of.zero_damping;
  context->saved_data["numbers"] =
      std::vector<double>{of.s6, of.s8, of.alp, of.cutoff, of.cn_cutoff, of.smoothing_width};
}

// The arguments, and the coordination numbers.
std::pair<DispersionArguments, Tensor> saved(AutogradContext* context) {
  const variable_list of = context->get_saved_variables();
  const std::vector<double> number = context->saved_data["numbers"].toDoubleVector();
  const bool zero_damping = context->saved_data["zero_damping"].toBool();
  return {{of[0],     of[1],     of[2],     of[3],     of[4],     of[5],    of[6],
           of[7],     of[8],     of[9],     of[10],    of[11],    of[12],   zero_damping,
           number[0], number[1], number[2], number[3], number[4], number[5]},
          of[13]};
}

class DispersionFunction : public torch::autograd::Function<DispersionFunction> {
 public:
  // positions and cell, which have derivatives, and all arguments
  static variable_list forward(AutogradContext* context, const Tensor&, const Tensor&,
                               const DispersionArguments& given) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto [energies, coordination_numbers] = call_dispersion(given);
    context->mark_non_differentiable({coordination_numbers});
    save(context, given, coordination_numbers);
    return {energies, coordination_numbers};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    if (!gradients[0].defined()) return {Tensor(), Tensor(), Tensor()};
    const auto [given, coordination_numbers] = saved(context);
    variable_list found;
    {
      at::AutoDispatchBelowADInplaceOrView below_autograd;
      const auto [positions, cell] = call_dispersion_backward(gradients[0], coordination_numbers,
                                                              given, context->needs_input_grad(1));
      found = {positions, cell};
    }
    if (at::GradMode::is_enabled()) {
      const variable_list depends_on{given.positions, given.cell, gradients[0]};
      found = once_differentiable("dispersion", depends_on, found);
    }
    found.push_back(Tensor());  // the rest has no derivative
    return found;
  }
};

Both dispersion_autograd(const DispersionArguments& given) {
  for (const Tensor& table : {given.c6, given.coordination, given.covalent_radii, given.c8_over_c6,
                              given.radii6, given.radii8}) {
    TORCH_CHECK(!table.requires_grad(),
                "dispersion: expected tables without gradients, got one that requires them; use"
                " dispersion_reference, which has them");
  }
  const variable_list found = DispersionFunction::apply(given.positions, given.cell, given);
  return {found[0], found[1]};
}

}  // namespace
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, Autograd, library) {
  library.impl("dispersion", openmm_pqeq::dispersion<openmm_pqeq::dispersion_autograd>);
}
