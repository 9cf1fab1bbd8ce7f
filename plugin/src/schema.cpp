// The operators of openmm_pqeq: names, signatures, and what every argument is.
//
// The folder of an operator has the name of the Python file that uses it, where its torch reference
// is: a function of the same signature whose name ends in _reference. Å, eV, e. Where no dtype
// stands, a tensor is float32 or float64.
#include <torch/library.h>

TORCH_LIBRARY(openmm_pqeq, library) {
  // ---- coulomb_radial/, openmm_pqeq/pqeq/coulomb/kernels.py
  //
  // f = k_e erf(γr)/r, f'/r and (f'' − f'/r)/r²; differentiable any number of times.
  //
  //   distance, gamma   r in Å and γ in Å⁻¹, of shapes that broadcast
  library.def(
      "coulomb_radial(Tensor distance, Tensor gamma)"
      " -> (Tensor value, Tensor first, Tensor second)");

  // ---- equivariant_convolution/, openmm_pqeq/gnn/equivariant_convolution.py
  //
  // Messages (n_atoms, 2l+1, channels), one tensor for each output; differentiable once, in
  // features, distances and harmonics. All numbers have the dtype of the table; indices are int64.
  //
  //   features        (n_atoms, 2l+1, channels) of each input, channels in whole chunks of 16
  //   distances       (n_pairs,) Å; pairs are sorted by centre
  //   harmonics       (n_pairs, n_harmonics)
  //   rows            (n_atoms + 1,), where the pairs of each centre begin
  //   centers         (n_pairs,)
  //   neighbors       (n_pairs,)
  //   neighbor_rows   (n_atoms + 1,), where in by_neighbor the pairs of each neighbour begin
  //   by_neighbor     (n_pairs,), pairs sorted by neighbour
  //   table           flat: polynomials of the radial weights by path, row, chunk, coefficient,
  //   lane couplings       (n_harmonics, n_entries); the entries (m1, m3) of path after path paths
  //   ten integers for each: struct Path in work.h outputs         2l+1 and channels of each grid
  //   eight numbers: struct Grid in work.h
  library.def(
      "equivariant_convolution(Tensor[] features, Tensor distances, Tensor harmonics, Tensor rows,"
      " Tensor centers, Tensor neighbors, Tensor neighbor_rows, Tensor by_neighbor, Tensor table,"
      " Tensor couplings, int[] paths, int[] outputs, float[] grid) -> Tensor[]");
  // Derivatives of Σ gradients · messages in the features (none where with_features is false), the
  // distances and the harmonics.
  library.def(
      "equivariant_convolution_backward(Tensor[] gradients, Tensor[] features, Tensor distances,"
      " Tensor harmonics, Tensor rows, Tensor centers, Tensor neighbors, Tensor neighbor_rows,"
      " Tensor by_neighbor, Tensor table, Tensor couplings, int[] paths, int[] outputs,"
      " float[] grid, bool with_features) -> (Tensor[], Tensor, Tensor)");

  // ---- weighted_convolution/, openmm_pqeq/gnn/weighted_convolution.py
  //
  // Messages (n_atoms, 2l+1, channels), one tensor for each output; differentiable any number of
  // times, in features, weights and matrices. All numbers have the dtype of the weights; indices
  // are int64.
  //
  //   features        (n_atoms, 2l+1, channels) of each input
  //   weights         (n_pairs, n_weights); pairs are sorted by centre
  //   matrices        (n_pairs, n_entries)
  //   rows            (n_atoms + 1,), where the pairs of each centre begin
  //   neighbors       (n_pairs,)
  //   paths           nine integers for each: struct Path in work.h
  //   outputs         2l+1 and channels of each
  library.def(
      "weighted_convolution(Tensor[] features, Tensor weights, Tensor matrices, Tensor rows,"
      " Tensor neighbors, int[] paths, int[] outputs) -> Tensor[]");
  // Derivatives of Σ gradients · messages in the features (none where with_features is false), the
  // weights and the matrices (an empty one where with_matrices is false).
  library.def(
      "weighted_convolution_backward(Tensor[] gradients, Tensor[] features, Tensor weights,"
      " Tensor matrices, Tensor rows, Tensor neighbors, int[] paths, int[] outputs,"
      " bool with_features, bool with_matrices) -> (Tensor[], Tensor, Tensor)");
  // Of those, multiplied with the tangents and summed, the derivatives in the gradients, the
  // features, the weights and the matrices (as above).
  library.def(
      "weighted_convolution_double_backward(Tensor[] gradients, Tensor[] features, Tensor weights,"
      " Tensor matrices, Tensor rows, Tensor neighbors, int[] paths, int[] outputs,"
      " Tensor[] feature_tangents, Tensor weight_tangents, Tensor matrix_tangents,"
      " bool with_features, bool with_matrices) -> (Tensor[], Tensor[], Tensor, Tensor)");

  // ---- interpolation/, openmm_pqeq/gnn/radial_nodes.py
  //
  // Values (n_points, n_columns) between the rows of a table, f_e = Σ_k c_ek T[s_e + k]; as its
  // gradients, differentiable any number of times, in both factors. Indices are int64.
  //
  //   table          (n_intervals + 5, n_columns), T
  //   coefficients   (n_points, 6), c, in the dtype of the table
  //   order          (n_points,), the points, interval by interval
  //   begin          (n_intervals + 1,), where in order those of each interval begin
  //   gradients      (n_points, n_columns), of f
  library.def(
      "interpolation(Tensor table, Tensor coefficients, Tensor order, Tensor begin) -> Tensor");
  library.def(
      "interpolation_table_gradients(Tensor gradients, Tensor coefficients, Tensor order,"
      " Tensor begin) -> Tensor");
  library.def(
      "interpolation_coefficient_gradients(Tensor gradients, Tensor table, Tensor order,"
      " Tensor begin) -> Tensor");

  // ---- splines/, openmm_pqeq/pqeq/coulomb/splines.py
  //
  // Values alone: they refuse to be differentiated.
  //
  //   u          (n, 3), points in units of the mesh's spacing
  //   channel    (n,) int64, the mesh that each belongs to
  //   values     (n,), charges
  //   dipoles    (n, 3) in units of e times the spacing, or none
  //   channels   meshes laid one behind the other
  //   size       points of a mesh along each direction
  //   order      of the splines, 4 to 16
  //   field      (channels, n_1, n_2, n_3)
  library.def(
      "splines_spread(Tensor u, Tensor channel, Tensor values, Tensor? dipoles, int channels,"
      " int[] size, int order) -> Tensor mesh");
  library.def(
      "splines_interpolate(Tensor field, Tensor u, Tensor channel, int order)"
      " -> (Tensor values, Tensor gradients)");
  library.def(
      "splines_interpolate_hessian(Tensor field, Tensor u, Tensor channel, int order)"
      " -> Tensor hessians");

  // ---- dispersion/, openmm_pqeq/d3/dispersion.py
  //
  // Energies (n_atoms,) eV and coordination numbers (n_atoms,), in the dtype of the positions;
  // energies are differentiable once, in positions and cell. Tables have one dtype.
  //
  //   positions        (n_atoms, 3) Å, the images to which the shifts belong
  //   cell             (n_structures, 3, 3) Å
  //   batch            (n_atoms,) int64, the structure of each atom
  //   centers          (n_pairs,) int32, ascending; each pair once, those beyond the cutoffs
  //   skipped neighbors        (n_pairs,) int32 shifts           (n_pairs, 3) int8 species
  //   (n_atoms,) int64, rows of the tables c6               (n_species, n_species, 5, 5) eV Å⁶, by
  //   reference of either coordination     (n_species, 5), of the references; negative where there
  //   is none covalent_radii   (n_species,) Å c8_over_c6       (n_species, n_species) Å² radii6,
  //   radii8   (n_species, n_species) Å, of the damping zero_damping     zero damping, or else
  //   Becke–Johnson's s6, s8, alp      scales, and the exponent of zero damping cutoff           Å,
  //   of energies cn_cutoff        Å, of coordination numbers smoothing_width  Å, of the switch
  //   before either
  library.def(
      "dispersion(Tensor positions, Tensor cell, Tensor batch, Tensor centers, Tensor neighbors,"
      " Tensor shifts, Tensor species, Tensor c6, Tensor coordination, Tensor covalent_radii,"
      " Tensor c8_over_c6, Tensor radii6, Tensor radii8, bool zero_damping, float s6, float s8,"
      " float alp, float cutoff, float cn_cutoff, float smoothing_width)"
      " -> (Tensor energies, Tensor coordination_numbers)");
  // Derivatives of Σ gradients · energies in positions and cell (zero where with_cell is false).
  library.def(
      "dispersion_backward(Tensor gradients, Tensor coordination_numbers, Tensor positions,"
      " Tensor cell, Tensor batch, Tensor centers, Tensor neighbors, Tensor shifts, Tensor species,"
      " Tensor c6, Tensor coordination, Tensor covalent_radii, Tensor c8_over_c6, Tensor radii6,"
      " Tensor radii8, bool zero_damping, float s6, float s8, float alp, float cutoff,"
      " float cn_cutoff, float smoothing_width, bool with_cell) -> (Tensor, Tensor)");

  // ---- tapered/, openmm_pqeq/pqeq/sweeps/tapered.py
  //
  // Values alone: the derivatives are what they give.
  //
  //   positions        (n_atoms, 3) Å
  //   cell             (3, 3) Å
  //   centers          (n_pairs,) int32, ascending; each pair once
  //   neighbors        (n_pairs,) int32
  //   shifts           (n_pairs, 3) int8
  //   vectors          (n_pairs, 3) Å, d; their dtype is that of the kernels
  //   cutoff           Å
  //   float32          whether vectors are to be, else they have the dtype of the positions
  //   kind, gamma      (n_atoms,) int64, index into (n_kinds, n_kinds) Å⁻¹
  //   at_cores         (3, n_pairs), f, f1, f2 at d
  //   at_shells        (9, n_pairs), at u, v and w; (3, n_pairs), at d again, for shells at rest
  //   core_charge      (n_atoms,) e
  //   charges, shells  (n_atoms,) e and (n_atoms, 3) Å; sums have their dtype
  //   dq, ds           (n_atoms,) e and (n_atoms, 3) Å, the direction of a change
  //   with_potential   whether the sums at charges are wanted, else they are (0,)
  //   with_field       whether the sums at shells are wanted, else they are (0, 3)
  //   energy_weight    of E in energy_weight·E + Ė, whose slope is given
  //   values, x        (n_pairs,) and (n_atoms,), a symmetric matrix and a vector
  library.def(
      "tapered_pairs(Tensor positions, Tensor cell, Tensor centers, Tensor neighbors,"
      " Tensor shifts, float cutoff, bool float32)"
      " -> (Tensor centers, Tensor neighbors, Tensor shifts, Tensor vectors)");
  library.def(
      "tapered_radials(Tensor centers, Tensor neighbors, Tensor vectors, Tensor kind,"
      " Tensor gamma, float cutoff, Tensor? shells) -> Tensor");
  library.def(
      "tapered_gradient(Tensor centers, Tensor neighbors, Tensor vectors, Tensor at_cores,"
      " Tensor at_shells, Tensor core_charge, Tensor charges, Tensor shells, bool with_potential,"
      " bool with_field) -> (Tensor potential, Tensor field)");
  library.def(
      "tapered_product(Tensor centers, Tensor neighbors, Tensor vectors, Tensor at_cores,"
      " Tensor at_shells, Tensor core_charge, Tensor charges, Tensor shells, Tensor dq, Tensor ds,"
      " bool with_potential, bool with_field) -> (Tensor potential, Tensor field)");
  library.def(
      "tapered_forces(Tensor centers, Tensor neighbors, Tensor shifts, Tensor vectors,"
      " Tensor at_cores, Tensor at_shells, Tensor core_charge, Tensor charges, Tensor shells,"
      " Tensor dq, Tensor ds, float energy_weight)"
      " -> (Tensor energy, Tensor slope, Tensor cell_slope)");
  library.def(
      "pair_matrix_product(Tensor centers, Tensor neighbors, Tensor values, Tensor x) -> Tensor");

  // ---- half_list/, openmm_pqeq/neighbors/half_list.py
  //
  // All pairs within the cutoff, each once: centers (n_pairs,) int32, ascending, neighbors
  // (n_pairs,) int32, shifts (n_pairs, 3) int8.
  //
  //   positions   (n_atoms, 3) float64 Å, of atoms wrapped into the cell
  //   cell        (3, 3) float64 Å
  //   periodic    (3,) bool
  //   cutoff      Å
  library.def(
      "half_list(Tensor positions, Tensor cell, Tensor periodic, float cutoff)"
      " -> (Tensor centers, Tensor neighbors, Tensor shifts)");

  // ---- finite/, openmm_pqeq/finite.py
  //
  // The positions; their gradient has to be finite.
  //
  //   positions   (n_atoms, 3), or as many rows of anything
  //   numbers     (n_atoms,) int64, atomic numbers
  //   indices     (n_atoms,) int64, what the atoms are called
  //   symbols     of the elements by atomic number, with spaces between them
  //   message     of the error, with {} where the atom is named
  library.def(
      "finite_gradient(Tensor(a) positions, Tensor numbers, Tensor indices, str symbols,"
      " str message) -> Tensor(a)");

  // ---- short_pieces/, openmm_pqeq/start/short_pieces.py
  //
  // One thread for torch's own operations in the thread that calls, or as many as before. It has an
  // effect, so that TorchScript leaves it where it is.
  //
  //   begin       whether they begin to have one
  library.def(
      torch::schema("short_pieces(bool begin) -> ()", c10::AliasAnalysisKind::CONSERVATIVE));
}
