"""The charges and shells that minimise the energy."""
