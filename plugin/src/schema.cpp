// The operators of openmm_pqeq: names and signatures only. Every operator has a torch reference of the same signature in the
// Python package, derivatives in a file of its own name beside this one, and one kernel file per device (cpu/).
#include <torch/library.h>

TORCH_LIBRARY(openmm_pqeq, library) {
  // openmm_pqeq.pqeq.kernels.coulomb_radial
  library.def("coulomb_radial(Tensor distance, Tensor gamma) -> (Tensor value, Tensor first, Tensor second)");
}
