"""The machine that a job ran on: processor, threads, GPU, versions."""

import os
import platform
from pathlib import Path
from typing import Any

import torch

from openmm_pqeq import ops, versions
from openmm_pqeq.jobs.times import now


def machine() -> dict[str, Any]:
    """The machine that a job runs on, and the date."""
    return {
        "date": now(),
        "host": platform.node(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": [round(load, 1) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "native_operators": str(ops.status()),
        "versions": {
            name: version
            for name, version in versions.installed_versions().items()
            if version is not None
        },
    }


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )
