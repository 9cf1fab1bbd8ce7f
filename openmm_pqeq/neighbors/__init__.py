"""Pairs of atoms within a cutoff, all images: as full lists, as half lists, and kept from step to
step."""
