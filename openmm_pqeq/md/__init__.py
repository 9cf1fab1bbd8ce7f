"""Molecular dynamics described in one place: build, minimise, equilibrate, produce, resume."""


class RunFailure(RuntimeError):
    """Work that had begun well has failed on the way; what was written until then is there."""
