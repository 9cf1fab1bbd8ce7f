"""The Coulomb sum of Gaussian charges: in real space, over waves, on a mesh."""
