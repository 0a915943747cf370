"""Feature sets by name."""

from __future__ import annotations

from functools import reduce
from operator import add

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.declaration import FeatureSet
from nofx_pipelines.features.sets.alpha158 import ALPHA158
from nofx_pipelines.features.sets.alpha360 import ALPHA360
from nofx_pipelines.features.sets.technical import TECHNICAL

_SETS = {found.name: found for found in (TECHNICAL, ALPHA158, ALPHA360)}


def feature_set(*names: str) -> FeatureSet:
    """The set of that name, or several composed; FeatureError for a name that there is none of.

    >>> feature_set("technical")["rsi_14"].unit
    'index'
    """
    unknown = [name for name in names if name not in _SETS]
    if unknown or not names:
        raise FeatureError(f"no feature set {unknown or names!r}", hint=f"use one of {sorted(_SETS)}")
    return reduce(add, (_SETS[name] for name in dict.fromkeys(names)))
