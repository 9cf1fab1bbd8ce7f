"""Molecular dynamics described in one place: build, minimise, equilibrate, produce, resume."""
