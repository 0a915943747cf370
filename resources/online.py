"""The online store of a home."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.features.online.store import OnlineStore


class OnlineStoreResource(dg.ConfigurableResource["OnlineStoreResource"]):
    """The newest vectors under ``home``, a store a universe."""

    home: str

    def folder(self) -> Path:
        """The home."""
        return Path(self.home)

    def open(self, universe: UniverseConfig) -> OnlineStore:
        """The store of ``universe``."""
        from nofx_pipelines.features.online.backends import store_of

        return store_of(self.folder(), universe)
