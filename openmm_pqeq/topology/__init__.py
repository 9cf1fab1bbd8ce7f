"""From a structure file to an OpenMM topology: cell, bonds, molecules."""
