"""Feature sets by name."""

from __future__ import annotations

from importlib import import_module

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.declaration import FeatureSet

_SETS = {"technical": ("technical", "TECHNICAL")}


def feature_set(*names: str) -> FeatureSet:
    """The set of that name, or several composed; FeatureError for a name that there is none of.

    >>> feature_set("technical")["rsi_14"].unit
    'index'
    """
    unknown = [name for name in names if name not in _SETS]
    if unknown or not names:
        raise FeatureError(f"no feature set {unknown or names!r}", hint=f"use one of {sorted(_SETS)}")
    first, *rest = (_loaded(name) for name in dict.fromkeys(names))
    for other in rest:
        first = first + other
    return first


def _loaded(name: str) -> FeatureSet:
    module, attribute = _SETS[name]
    found: FeatureSet = getattr(import_module(f"nofx_pipelines.features.sets.{module}"), attribute)
    return found
