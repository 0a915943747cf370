"""How work is mapped over processes."""

from __future__ import annotations

from typing import Literal

import dagster as dg

from nofx_pipelines.engine import Engine, LocalEngine


class EngineResource(dg.ConfigurableResource["EngineResource"]):
    """Maps a function over items with seeds: ``local`` spawns single-thread processes."""

    kind: Literal["local"] = "local"

    def open(self) -> Engine:
        """The engine; the same items and seeds give the same results on any engine."""
        return LocalEngine()
