"""Molecular dynamics described in one place: build, minimise, equilibrate, produce, resume."""

from openmm_pqeq.jobs.failure import RunFailure

__all__ = ["RunFailure"]
