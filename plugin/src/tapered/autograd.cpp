// None of the operators of the tapered pair sum is differentiable: the derivatives are what they
// give.
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/library.h>

TORCH_LIBRARY_IMPL(openmm_pqeq, Autograd, library) {
  for (const char* name : {"tapered_pairs", "tapered_radials", "tapered_gradient",
                           "tapered_product", "tapered_forces", "pair_matrix_product"}) {
    library.impl(name, torch::autograd::autogradNotImplementedFallback());
  }
}
