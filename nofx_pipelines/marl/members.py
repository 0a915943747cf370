"""The members that decide a training, by name; nothing is imported, so that planning stays light."""

from __future__ import annotations

from pathlib import Path

from nofx_pipelines.config import MarlConfig
from nofx_pipelines.plugins import Reference, find


def named_members(config: MarlConfig) -> tuple[tuple[str, str], ...]:
    """Kind and name of the algorithm, the task, the roles and the rewards.

    >>> named_members(MarlConfig(roles=("hedger",)))
    (('algorithms', 'mappo'), ('tasks', 'trading'), ('roles', 'hedger'), ('rewards', 'role'))
    """
    return (
        ("algorithms", config.algorithm),
        ("tasks", config.task),
        *(("roles", name) for name in config.roles),
        *(("rewards", name) for name in config.rewards),
    )


def members(config: MarlConfig, folder: Path | None = None) -> tuple[Reference, ...]:
    """Where each of them is found; raises ConfigError for an unknown name."""
    return tuple(find(kind, name, folder) for kind, name in named_members(config))
