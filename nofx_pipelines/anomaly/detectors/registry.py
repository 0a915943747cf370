"""Detectors by name: the files of this folder that assign ``DETECTOR``, and users' own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nofx_pipelines import plugins
from nofx_pipelines.anomaly.detectors.checking import NamedDetector
from nofx_pipelines.errors import ConfigError

KIND = "detectors"
ENSEMBLE = "ensemble"
"""The name that the table ``anomaly_scores`` holds for all detectors together."""

Detectors = Mapping[str, NamedDetector]
"""By name, in the order of ``nofx.toml``."""


def load_detectors(names: Sequence[str], folder: Path | None = None) -> Detectors:
    """The detectors of those names.

    Parameters
    ----------
    names
        Built-in detectors, announced ones, or ``"module:attribute"``.
    folder
        The home's folder of plug-ins, in which a module's file is looked for first.

    Raises
    ------
    ConfigError
        For a name that there is none of, or that stands twice, and without any.
    PluginError
        For a user's detector that does not import or is none.

    Examples
    --------
    >>> [statistic.name for statistic in load_detectors(["rules"])["rules"].statistics][:2]
    ['bad_print', 'stale']
    """
    if not names or len({*names}) < len(names):
        raise ConfigError(
            f"detectors {list(names)} name none, or one twice",
            kept="nothing was scored",
            hint=f"name some of {', '.join(plugins.builtin_names(KIND))}",
        )
    sources = [plugins.find(KIND, name, folder) for name in names]
    loaded = [NamedDetector.of(source, source.load()) for source in sources]
    for detector in loaded:
        if detector.name == ENSEMBLE:
            raise detector.source.refuse(f"is named {ENSEMBLE!r}, as all detectors together are")
    return {detector.name: detector for detector in loaded}
