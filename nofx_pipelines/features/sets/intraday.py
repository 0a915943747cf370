"""``intraday``: where a bar stands in its session and among the same time of day before.

For bars shorter than a session. Sessions are the exchange's; a break inside a session is one of 30 minutes
and more. Limits and auctions come from the bars and are missing where a market has none.
"""

from __future__ import annotations

from nofx_pipelines.features.algebra.expr import Expr, Operand
from nofx_pipelines.features.algebra.functions import (
    amount,
    close,
    close_minute,
    fill_null,
    in_auction,
    limit_down,
    limit_up,
    log,
    minute_of_day,
    open_,
    open_minute,
    recur,
    ref,
    seasonal_mean,
    session_day,
    volume,
    where,
)
from nofx_pipelines.features.program.declaration import Feature, FeatureSet

SLOTS, SLOT_MINUTES = 288, 5
"""Times of day are told apart to five minutes."""
SESSIONS = 20
_BREAK_MINUTES = 30
_NEW = session_day > ref(session_day, 1)
_RETURN = log(close / ref(close, 1))
_SLOT = minute_of_day / SLOT_MINUTES
_PAUSE = (open_minute - ref(close_minute, 1) >= _BREAK_MINUTES) & ~_NEW
_GAP = log(open_ / ref(close, 1))


def in_session(x: Expr) -> Expr:
    """Sum of x since the session's first bar."""
    return recur(where(_NEW, 0, 1), fill_null(x, 0), fill_null(x, 0))


def since(condition: Expr, x: Operand, start: Expr) -> Expr:
    """x of the bar at which the condition last held in this session; ``start`` before it ever did."""
    return recur(where(condition | _NEW, 0, 1), where(condition, x, 0), start)


_SESSION_VWAP = in_session(amount) / in_session(volume)
_OPEN = since(_NEW, open_, open_)
_BEGUN = since(_NEW, open_minute, open_minute)
_NOTHING = close * 0


def _of(name: str, expr: Expr, unit: str, description: str) -> Feature:
    return Feature(name, expr, unit, description, scale_free=True)


FEATURES = FeatureSet(
    "intraday",
    (
        _of(
            "return_to_time_of_day",
            _RETURN / seasonal_mean(abs(_RETURN), _SLOT, SLOTS, SESSIONS),
            "ratio",
            "Log return to the mean absolute one at this time of day, about 20 sessions.",
        ),
        _of(
            "volume_to_time_of_day",
            volume / seasonal_mean(volume, _SLOT, SLOTS, SESSIONS),
            "ratio",
            "Volume to the mean at this time of day, about 20 sessions.",
        ),
        _of("vwap_distance", close / _SESSION_VWAP - 1, "ratio", "Close to the session's VWAP, less 1."),
        _of("return_since_open", log(close / _OPEN), "return", "Log return since the session's open."),
        _of("overnight_gap", since(_NEW, _GAP, _NOTHING), "return", "Log return from the close before."),
        _of("lunch_gap", since(_PAUSE, _GAP, _NOTHING), "return", "Log return over the break, 0 before it."),
        _of(
            "auction_share",
            in_session(in_auction * volume) / in_session(volume),
            "ratio",
            "Share of auctions in the session's volume so far.",
        ),
        _of("limit_up_distance", limit_up / close - 1, "ratio", "How far the upper limit is."),
        _of("limit_down_distance", 1 - limit_down / close, "ratio", "How far the lower limit is."),
        _of("minutes_in_session", close_minute - _BEGUN, "count", "Minutes since the session's open."),
    ),
)
"""10 features."""
