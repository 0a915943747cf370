"""Feature sets by name: the files of this folder that assign ``FEATURES``, and users' own."""

from __future__ import annotations

from functools import reduce
from operator import add
from pathlib import Path

from nofx_pipelines import plugins
from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.errors import ConfigError, FeatureError
from nofx_pipelines.features.program.declaration import FeatureSet

KIND = "features"


def set_names() -> tuple[str, ...]:
    """The built-in sets.

    >>> "technical" in set_names()
    True
    """
    return plugins.builtin_names(KIND)


def feature_set(*names: str, folder: Path | None = None) -> FeatureSet:
    """The set of that name, or several composed.

    Parameters
    ----------
    names
        Built-in sets, announced ones, or ``"module:attribute"``.
    folder
        The home's folder of plug-ins, in which a module's file is looked for first.

    Raises
    ------
    FeatureError
        For a name that there is none of, and for sets that do not go together.
    PluginError
        For a user's set that does not import or is none.

    Examples
    --------
    >>> feature_set("technical")["rsi_14"].unit
    'index'
    """
    if not names:
        raise FeatureError("no feature set was named", hint=f"use one of {', '.join(set_names())}")
    return reduce(add, (_one(name, folder) for name in dict.fromkeys(names)))


def universe_features(universe: UniverseConfig) -> FeatureSet:
    """The sets of a universe, composed."""
    return feature_set(*universe.features, folder=universe.plugins)


def _one(name: str, folder: Path | None) -> FeatureSet:
    try:
        reference = plugins.find(KIND, name, folder)
    except ConfigError as error:
        raise FeatureError(error.problem, hint=error.hint) from error
    member = reference.load()
    if not isinstance(member, FeatureSet):
        raise reference.refuse(f"is a {type(member).__name__}, not a FeatureSet")
    return member
