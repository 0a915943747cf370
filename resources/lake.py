"""The lake as a resource."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from nofx_pipelines.lake.store import Lake


class LakeResource(dg.ConfigurableResource["LakeResource"]):
    """Opens the lake under ``root``."""

    root: str

    def open(self) -> Lake:
        """The lake; nothing is created until something is written."""
        return Lake(Path(self.root))
