"""MLflow tracking and registry as a resource."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from nofx_pipelines.registry.tracking import Tracker


class TrackerResource(dg.ConfigurableResource["TrackerResource"]):
    """Opens the tracker whose database and artifacts lie under ``home``."""

    home: str

    def open(self) -> Tracker:
        """The tracker; MLflow is imported here, not where definitions load."""
        from nofx_pipelines.registry.tracking import Tracker

        return Tracker(Path(self.home))
