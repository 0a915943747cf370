"""Where heavy steps run."""

from __future__ import annotations

from typing import Literal

import dagster as dg

from nofx_pipelines.compute import Device, resolve_device
from nofx_pipelines.config import ComputeConfig


class ComputeResource(dg.ConfigurableResource["ComputeResource"]):
    """The default device of heavy steps; a universe's own ``compute`` section overrides it."""

    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"

    def resolve(self, config: ComputeConfig) -> Device:
        """The device that a step gets, named for its metadata."""
        return resolve_device(self.device if config.device == "auto" else config.device)
