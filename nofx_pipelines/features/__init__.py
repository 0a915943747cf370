"""Features, declared once as expressions: batch, backfill and stream run the same program.

>>> from nofx_pipelines.features import close, ref
>>> close / ref(close, 1) - 1
close / ref(close, 1) - 1
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from nofx_pipelines.features.expr import Expr
from nofx_pipelines.features.functions import (
    age,
    amount,
    bars_per_year,
    clip,
    close,
    cumsum,
    delta,
    ema,
    ewm,
    exp,
    fill_null,
    high,
    is_null,
    log,
    low,
    maximum,
    minimum,
    open_,
    rank,
    ref,
    rolling_count,
    rolling_max,
    rolling_mean,
    rolling_min,
    rolling_std,
    rolling_sum,
    rolling_var,
    sign,
    sqrt,
    volume,
    vwap,
    where,
    wilder,
)

if TYPE_CHECKING:
    from nofx_pipelines.features.batch import FeatureResult, compute
    from nofx_pipelines.features.declaration import Feature, FeatureSet
    from nofx_pipelines.features.sets.registry import feature_set
    from nofx_pipelines.features.state import FeatureState

_LATER = {
    "Feature": "declaration",
    "FeatureSet": "declaration",
    "feature_set": "sets.registry",
    "compute": "batch",
    "FeatureResult": "batch",
    "FeatureState": "state",
}

__all__ = [
    "Expr",
    "Feature",
    "FeatureResult",
    "FeatureSet",
    "FeatureState",
    "age",
    "amount",
    "bars_per_year",
    "clip",
    "close",
    "compute",
    "cumsum",
    "delta",
    "ema",
    "ewm",
    "exp",
    "feature_set",
    "fill_null",
    "high",
    "is_null",
    "log",
    "low",
    "maximum",
    "minimum",
    "open_",
    "rank",
    "ref",
    "rolling_count",
    "rolling_max",
    "rolling_mean",
    "rolling_min",
    "rolling_std",
    "rolling_sum",
    "rolling_var",
    "sign",
    "sqrt",
    "volume",
    "vwap",
    "where",
    "wilder",
]


def __getattr__(name: str) -> object:
    """Load polars and numba only where features are computed."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
