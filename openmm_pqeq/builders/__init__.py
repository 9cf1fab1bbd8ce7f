"""Structures to start from: supercells, slabs, interfaces, solutions, ordered crystals. Functions of
ASE's atoms, which know nothing of the rest of the package."""
