"""Leak check: give a pipeline another future and see whether its past moves."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nofx_pipelines.leakcheck.pipeline import check_lake, check_universe, pipeline_stages
    from nofx_pipelines.leakcheck.report import Leak, LeakReport
    from nofx_pipelines.leakcheck.rerun import check
    from nofx_pipelines.leakcheck.stage import Stage, World

_LATER = {
    "Leak": "report",
    "LeakReport": "report",
    "Stage": "stage",
    "World": "stage",
    "check": "rerun",
    "check_lake": "pipeline",
    "check_universe": "pipeline",
    "pipeline_stages": "pipeline",
}

__all__ = ["Leak", "LeakReport", "Stage", "World", "check", "check_lake", "check_universe", "pipeline_stages"]


def __getattr__(name: str) -> object:
    """Load polars and the stages only where a check runs."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
