"""Which instruments a universe holds."""

from __future__ import annotations

import polars as pl

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.errors import ConfigError


def members(instruments: pl.DataFrame, universe: UniverseConfig) -> pl.DataFrame:
    """The rows of ``instruments`` that ``universe.members`` names: ``all``, symbols or identifiers.

    Raises ``ConfigError`` for a name that is neither.
    """
    if "all" in universe.members:
        return instruments.sort("instrument_id", "valid_from")
    known = set(instruments["symbol"]) | set(instruments["instrument_id"])
    unknown = [name for name in universe.members if name not in known]
    if unknown:
        shown = ", ".join(sorted(set(instruments["symbol"]))[:8])
        raise ConfigError(
            f"universe {universe.name}: no instrument {', '.join(map(repr, unknown))} among those ingested",
            kept="nothing was built",
            hint=f'members = ["all"], or symbols such as {shown}',
        )
    names = list(universe.members)
    held = pl.col("symbol").is_in(names) | pl.col("instrument_id").is_in(names)
    return instruments.filter(held).sort("instrument_id", "valid_from")
