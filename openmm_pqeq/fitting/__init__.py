"""Fits of PQEq parameters to Born charges, dielectric tensors, polarizabilities and dipoles."""
