"""Planted anomalies: when, where, which kind and how strong, and what each does to clean bars.

Those that move the market itself (``limit_lock``, ``cross_sectional_drift``, ``unadjusted_split``) push the
path; the others change what is delivered and leave the path, and so the signal, alone. ``INVALID`` kinds
break a rule of a bar by construction, for the checks to catch.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from nofx_pipelines.market.simulator.models import MarketModel
from nofx_pipelines.market.simulator.randomness import Streams

Floats = np.ndarray[Any, np.dtype[np.float64]]

DAILY_RATE, INTRADAY_RATE = 0.0025, 0.02
"""Anomalies an instrument and session."""
INVALID_RATE = 0.0004
"""Invalid rows an instrument and session: about three a year on 30 instruments."""
INVALID = ("duplicate", "ohlc_violation", "zero_price")


@dataclass(frozen=True)
class Kind:
    """How often a kind comes (weight), how long in bars and how strong it is (ranges; bars inclusive)."""

    name: str
    weight: float
    daily_bars: tuple[int, int]
    minute_bars: tuple[int, int]
    daily_strength: tuple[float, float]
    minute_strength: tuple[float, float]
    markets: tuple[str, ...] = ("cn", "hk", "crypto")


KINDS = (
    Kind("bad_print", 1.0, (1, 1), (1, 1), (0.05, 0.09), (0.01, 0.03)),
    Kind("stale", 0.7, (3, 5), (8, 20), (1.0, 1.0), (1.0, 1.0)),
    Kind("limit_lock", 0.6, (1, 2), (10, 60), (0.05, 0.05), (0.05, 0.05), ("cn",)),
    Kind("volume_spike", 2.0, (1, 1), (1, 5), (4.0, 8.0), (4.0, 8.0)),
    Kind("unadjusted_split", 0.15, (1, 1), (1, 1), (0.5, 1.0), (0.5, 1.0), ("cn", "hk")),
    Kind("wash", 1.0, (1, 3), (5, 20), (2.5, 2.5), (2.5, 2.5)),
    Kind("cross_sectional_drift", 0.6, (4, 6), (15, 15), (0.8, 1.2), (1.2, 1.2)),
    Kind("flash_crash", 0.8, (1, 1), (15, 15), (0.06, 0.12), (0.02, 0.05)),
    Kind("gap", 0.7, (1, 2), (5, 30), (1.0, 1.0), (1.0, 1.0)),
    Kind("unit_switch", 0.3, (2, 4), (30, 120), (0.01, 0.01), (0.01, 0.01)),
)
"""Statistical kinds. Strength is a price move, a factor of volume, sigmas a bar (drift) or new shares for
each old one (split)."""


@dataclass(frozen=True)
class Anomaly:
    """One planted anomaly: bars ``[first, first + bars)`` counted from its session's first bar."""

    instrument: int
    session: date
    kind: str
    first: int
    bars: int
    strength: float
    up: bool


def draw_anomalies(
    model: MarketModel, streams: Streams, session: date, count: int, bars: int
) -> list[Anomaly]:
    """What starts on a session of ``bars`` bars: at most one anomaly an instrument, and one invalid row."""
    random = streams.of("anomalies", session)
    draws = random.random((7, count))
    daily = bars == 1
    rate = DAILY_RATE if daily else INTRADAY_RATE
    kinds = [kind for kind in KINDS if model.market in kind.markets]
    steps = np.cumsum([kind.weight for kind in kinds])
    found = []
    for i in np.flatnonzero(draws[0] < rate):
        kind = kinds[int(np.searchsorted(steps, draws[1, i] * steps[-1], side="right"))]
        low, high = kind.daily_bars if daily else kind.minute_bars
        length = low + int(draws[2, i] * (high - low + 1))
        weak, strong = kind.daily_strength if daily else kind.minute_strength
        first = 0 if kind.name == "unadjusted_split" else int(draws[4, i] * bars)
        strength = weak + draws[3, i] * (strong - weak)
        found.append(
            Anomaly(int(i), session, kind.name, first, length, float(strength), bool(draws[5, i] < 0.5))
        )
    for i in np.flatnonzero(draws[6] < INVALID_RATE):
        name = INVALID[int(draws[1, i] * len(INVALID))]
        found.append(Anomaly(int(i), session, name, int(draws[4, i] * bars), 1, 1.0, True))
    return found
