"""``nofx features get``: the newest vectors from the online store."""

from __future__ import annotations

import time
from pathlib import Path

from nofx_pipelines.cli.terminal import write_frame
from nofx_pipelines.config_file import load_config
from nofx_pipelines.errors import ConfigError


def get_features(home: Path, universe: str, entities: list[str], names: list[str], format: str) -> None:
    """Print vectors; all entities and features unless some are named."""
    from nofx_pipelines.features.online.refresh import store_of, ttl_us

    config = load_config(home)
    if universe not in config.universes:
        raise ConfigError(
            f"no universe {universe!r} in nofx.toml", hint=f"one of {', '.join(config.universes)}"
        )
    store = store_of(home, universe)
    found = store.get_online_features(
        entities or store.entities(),
        names or None,
        now_us=time.time_ns() // 1_000,
        ttl_us=ttl_us(config.universes[universe]),
    )
    write_frame(found, format)
