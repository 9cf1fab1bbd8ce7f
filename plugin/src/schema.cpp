// The operators of openmm_pqeq: names and signatures only. Every operator has a torch reference of
// the same signature in the Python package, derivatives in a file of its own name beside this one,
// and one kernel file per device (cpu/, cuda/).
#include <torch/library.h>

TORCH_LIBRARY(openmm_pqeq, library) {
  // openmm_pqeq.pqeq.coulomb.kernels.coulomb_radial
  library.def(
      "coulomb_radial(Tensor distance, Tensor gamma) -> (Tensor value, Tensor first, Tensor "
      "second)");

  // openmm_pqeq.gnn.equivariant_convolution.equivariant_convolution_reference, where every argument
  // is explained
  library.def(
      "equivariant_convolution(Tensor[] features, Tensor distances, Tensor harmonics, Tensor rows, "
      "Tensor centers, Tensor neighbors,"
      " Tensor neighbor_rows, Tensor by_neighbor, Tensor table, Tensor couplings, int[] paths, "
      "int[] outputs, float[] grid)"
      " -> Tensor[]");
  // Its derivatives: with respect to each of the features (none of them where with_features is
  // false), distances and harmonics
  library.def(
      "equivariant_convolution_backward(Tensor[] gradients, Tensor[] features, Tensor distances, "
      "Tensor harmonics, Tensor rows,"
      " Tensor centers, Tensor neighbors, Tensor neighbor_rows, Tensor by_neighbor, Tensor table, "
      "Tensor couplings, int[] paths,"
      " int[] outputs, float[] grid, bool with_features) -> (Tensor[], Tensor, Tensor)");

  // openmm_pqeq.pqeq.coulomb.splines: put_reference, read_reference, read_bend_reference; values
  // alone, they refuse to be differentiated
  library.def(
      "mesh_put(Tensor u, Tensor channel, Tensor values, Tensor? moved, int channels, int[] size, "
      "int order) -> Tensor");
  library.def(
      "mesh_read(Tensor field, Tensor u, Tensor channel, int order) -> (Tensor values, Tensor "
      "slopes)");
  library.def("mesh_read_bend(Tensor field, Tensor u, Tensor channel, int order) -> Tensor");

  // openmm_pqeq.d3.inference.dispersion_reference
  library.def(
      "dispersion(Tensor positions, Tensor cell, Tensor batch, Tensor centers, Tensor neighbors, "
      "Tensor shifts, Tensor species,"
      " Tensor c6, Tensor coordination, Tensor covalent_radii, Tensor c8_over_c6, Tensor radii6, "
      "Tensor radii8, bool zero_damping,"
      " float s6, float s8, float alp, float cutoff, float cn_cutoff, float smoothing_width)"
      " -> (Tensor energies, Tensor coordination_numbers)");
  // Derivatives with respect to positions and cell (zero where with_cell is false)
  library.def(
      "dispersion_backward(Tensor gradients, Tensor coordination_numbers, Tensor positions, Tensor "
      "cell, Tensor batch, Tensor centers, Tensor neighbors, Tensor shifts, Tensor species,"
      " Tensor c6, Tensor coordination, Tensor covalent_radii, Tensor c8_over_c6, Tensor radii6, "
      "Tensor radii8, bool zero_damping,"
      " float s6, float s8, float alp, float cutoff, float cn_cutoff, float smoothing_width, bool "
      "with_cell) -> (Tensor, Tensor)");

  // openmm_pqeq.pqeq.sweeps.tapered: the functions of the same name with _reference; values alone
  library.def(
      "tapered_pairs(Tensor positions, Tensor cell, Tensor centers, Tensor neighbors, Tensor "
      "shifts, float cutoff, bool float32)"
      " -> (Tensor centers, Tensor neighbors, Tensor shifts, Tensor vectors)");
  library.def(
      "tapered_radials(Tensor centers, Tensor neighbors, Tensor vectors, Tensor kind, Tensor "
      "gamma, float cutoff, Tensor? shells) -> Tensor");
  library.def(
      "tapered_gradient(Tensor centers, Tensor neighbors, Tensor vectors, Tensor at_cores, Tensor "
      "at_shells, Tensor core_charge,"
      " Tensor charges, Tensor shells, bool with_potential, bool with_field) -> (Tensor potential, "
      "Tensor field)");
  library.def(
      "tapered_product(Tensor centers, Tensor neighbors, Tensor vectors, Tensor at_cores, Tensor "
      "at_shells, Tensor core_charge,"
      " Tensor charges, Tensor shells, Tensor dq, Tensor ds, bool with_potential, bool with_field) "
      "-> (Tensor potential, Tensor field)");
  library.def(
      "tapered_forces(Tensor centers, Tensor neighbors, Tensor shifts, Tensor vectors, Tensor "
      "at_cores, Tensor at_shells,"
      " Tensor core_charge, Tensor charges, Tensor shells, Tensor dq, Tensor ds, float "
      "energy_weight)"
      " -> (Tensor energy, Tensor slope, Tensor cell_slope)");
  library.def(
      "pair_matrix_product(Tensor centers, Tensor neighbors, Tensor values, Tensor x) -> Tensor");

  // The list of a KeptSearch, openmm_pqeq.neighbors.half_list: integers, for atoms wrapped into the
  // cell
  library.def(
      "half_list(Tensor positions, Tensor cell, Tensor periodic, float cutoff) -> (Tensor centers, "
      "Tensor neighbors, Tensor shifts)");
}
