"""Derivatives of the converged solution: responses to a field, gradients in the parameters."""
