"""``alpha360``: prices and volumes of 60 bars as Qlib's `Alpha360DL` has them, in its names."""

from __future__ import annotations

from nofx_pipelines.features.algebra.expr import Expr
from nofx_pipelines.features.algebra.functions import close, high, low, open_, ref, volume, vwap
from nofx_pipelines.features.program.declaration import Feature, FeatureSet

BARS = 60
_EPSILON = 1e-12
_SERIES: dict[str, tuple[Expr, Expr, str]] = {
    "CLOSE": (close, close, "Close"),
    "OPEN": (open_, close, "Open"),
    "HIGH": (high, close, "High"),
    "LOW": (low, close, "Low"),
    "VWAP": (vwap, close, "Volume-weighted price"),
    "VOLUME": (volume, volume + _EPSILON, "Volume"),
}


def _features() -> tuple[Feature, ...]:
    found = []
    for name, (series, scale, word) in _SERIES.items():
        to = "volume" if name == "VOLUME" else "close"
        for back in range(BARS - 1, -1, -1):
            text = f"{word} of {back} bars before to this bar's {to}."
            found.append(Feature(f"{name}{back}", ref(series, back) / scale, "ratio", text, True))
    return tuple(found)


FEATURES = FeatureSet("alpha360", _features())
"""360 features, all scale-free."""
