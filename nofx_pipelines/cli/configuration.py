"""The configuration of a command that goes on without what names an absent plug-in."""

from __future__ import annotations

from pathlib import Path

from nofx_pipelines.cli.terminal import warn
from nofx_pipelines.config import Config
from nofx_pipelines.config_file import load_usable


def usable_config(home: Path) -> Config:
    """What can be used of the configuration; what cannot is named on standard error, with the reason."""
    config, refused = load_usable(home)
    for name, error in refused.items():
        warn(f"{name} is left out: {error}")
    return config
