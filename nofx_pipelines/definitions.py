"""The Dagster code location: the graph of ``$NOFX_HOME/nofx.toml``."""

from __future__ import annotations

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Everything that ``nofx.toml`` declares; a wrong file shows as one asset that says why."""
    from assets.build import build_definitions, config_error_definitions, configuration
    from nofx_pipelines.config import resolve_home
    from nofx_pipelines.errors import ConfigError

    try:
        config = configuration(resolve_home())
    except ConfigError as error:
        return config_error_definitions(error)
    return build_definitions(config)
