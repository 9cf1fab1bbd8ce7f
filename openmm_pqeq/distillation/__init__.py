"""Distillation: a small model that has learnt from the labels of a large one, the teacher.

structures, varied → labels of the teacher → less PQEq, less D3 → a student, trained → report
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openmm_pqeq.distillation.run import Result, distill

_HOMES = {"Result": "run", "distill": "run"}

__all__ = ["Result", "distill"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'openmm_pqeq.distillation' has no attribute {name!r}")
    return getattr(importlib.import_module(f"openmm_pqeq.distillation.{_HOMES[name]}"), name)
