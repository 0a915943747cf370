"""``nofx sql``."""

from __future__ import annotations

from pathlib import Path

from nofx_pipelines.cli.terminal import write_frame
from nofx_pipelines.config import Config
from nofx_pipelines.errors import ConfigError
from nofx_pipelines.lake.query import query
from nofx_pipelines.lake.store import Lake

FORMATS = ("table", "csv", "json")


def run_sql(home: Path, text: str, format: str) -> None:
    """Print what ``text`` selects."""
    if format not in FORMATS:
        raise ConfigError(f"--format {format!r} is not one of {', '.join(FORMATS)}", hint="--format csv")
    write_frame(query(Lake(Config(home=home, feeds={}, universes={}).lake), text), format)
