"""DFT-D3 dispersion."""

from openmm_pqeq.d3.inference import InferenceD3
from openmm_pqeq.d3.model import D3

__all__ = ["D3", "InferenceD3"]
