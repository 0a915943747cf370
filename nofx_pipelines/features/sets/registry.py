"""Feature sets by name."""

from __future__ import annotations

from functools import reduce
from operator import add

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.program.declaration import FeatureSet
from nofx_pipelines.features.sets.alpha101 import ALPHA101
from nofx_pipelines.features.sets.alpha158 import ALPHA158
from nofx_pipelines.features.sets.alpha360 import ALPHA360
from nofx_pipelines.features.sets.cross_section import CROSS_SECTION
from nofx_pipelines.features.sets.crypto import CRYPTO
from nofx_pipelines.features.sets.intraday import INTRADAY
from nofx_pipelines.features.sets.ta import TA
from nofx_pipelines.features.sets.technical import TECHNICAL

SETS: dict[str, FeatureSet] = {
    found.name: found
    for found in (TECHNICAL, TA, ALPHA101, ALPHA158, ALPHA360, INTRADAY, CRYPTO, CROSS_SECTION)
}
"""Every set by its name."""


def feature_set(*names: str) -> FeatureSet:
    """The set of that name, or several composed; FeatureError for a name that there is none of.

    >>> feature_set("technical")["rsi_14"].unit
    'index'
    """
    unknown = [name for name in names if name not in SETS]
    if unknown or not names:
        raise FeatureError(f"no feature set {unknown or names!r}", hint=f"use one of {sorted(SETS)}")
    return reduce(add, (SETS[name] for name in dict.fromkeys(names)))
