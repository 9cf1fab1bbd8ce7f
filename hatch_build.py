"""A wheel that carries native operators is for one platform; one without them is for all."""

import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PlatformTag(BuildHookInterface):
    """Tags the wheel by what is in ``openmm_pqeq/_native`` when it is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before each build."""
        if version == "standard" and any(
            (Path(self.root) / "openmm_pqeq" / "_native").glob("*openmm_pqeq_ops*")
        ):
            build_data["pure_python"] = False
            build_data["tag"] = (
                f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
            )
