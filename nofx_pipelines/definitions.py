"""The Dagster code location: the graph of ``$NOFX_HOME/nofx.toml``."""

from __future__ import annotations

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Everything that ``nofx.toml`` declares; what is wrong in it shows as one asset that says why."""
    from assets.build import home_definitions
    from nofx_pipelines.config import resolve_home

    return home_definitions(resolve_home())
