"""A network as small as one can be, for tests in which it does nothing."""

GNN = {"species": ["O", "Mg"], "hidden_irreps": "4x0e", "sh_irreps": "1x0e", "layers": 1}
GNN |= {"r_max": 3.0, "n_basis": 2, "radial_hidden": [4]}
