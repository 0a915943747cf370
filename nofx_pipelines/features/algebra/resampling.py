"""Features of slower bars, without a look ahead: an hour's or a session's, at every bar of a minute.

A slower bar counts from the first row at which it is known to be over. One of minutes is over with the bar
that closes at its end; where that bar is missing, and for sessions, whose last bar nobody announces, with the
first bar after it. The rows of the slower bars run through the same program, on a clock of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.algebra.expr import Expr, walk
from nofx_pipelines.features.algebra.functions import (
    close_minute,
    first_since,
    floor,
    hold,
    max_since,
    min_since,
    open_minute,
    recur,
    ref,
    sample,
    session_day,
    sum_since,
    where,
)

_Aggregate = Callable[[Expr, Expr], Expr]
_AGGREGATES: dict[str, _Aggregate] = {
    **dict.fromkeys(("open", "open_minute", "prev_close"), first_since),
    "high": max_since,
    "low": min_since,
    **dict.fromkeys(("volume", "amount", "n_trades", "taker_volume", "taker_amount"), sum_since),
}
"""How a column of several bars becomes one; the last one's where nothing is said."""


def resample(expr: Expr, *, minutes: int | None = None, offset: int = 0) -> Expr:
    """``expr`` over bars of so many ``minutes``, or of whole sessions, at every bar: the newest that is over.

    Bars of minutes begin at whole multiples of them since midnight UTC, and ``offset`` minutes later. Windows
    count slower bars. Raises FeatureError for what looks across instruments (rank what comes out instead) and
    for ``bars_per_year``, which is of the faster bars.

    >>> from nofx_pipelines.features import close, rolling_mean
    >>> hourly = resample(rolling_mean(close, 20), minutes=60)
    >>> hourly.dependencies
    ('close', 'close_minute', 'open_minute')
    """
    if minutes is not None and (isinstance(minutes, bool) or minutes < 1):
        raise FeatureError(
            f"minutes = {minutes!r} is not a whole number from 1 on", hint="resample(x, minutes=60)"
        )
    slower = _by_session() if minutes is None else _by_minutes(minutes, offset)
    made: dict[Expr, Expr] = {}
    for node in walk(expr):
        made[node] = slower.column(node) if node.op == "column" else _again(node, made)
    return hold(made[expr], slower.over)


@dataclass(frozen=True)
class _Slower:
    """Rows at which a slower bar begins, those at which one is known to be over, and whether that was the row
    before."""

    begins: Expr
    over: Expr
    before: Expr | None

    def column(self, leaf: Expr) -> Expr:
        """The slower bar's number."""
        aggregate = _AGGREGATES.get(str(leaf.params[0]))
        running = leaf if aggregate is None else aggregate(leaf, self.begins)
        finished = ref(running, 1) if self.before is None else where(self.before, ref(running, 1), running)
        return sample(finished, self.over)


def _by_session() -> _Slower:
    begins = ~session_day.equals(ref(session_day, 1))
    return _Slower(begins, begins, None)


def _by_minutes(minutes: int, offset: int) -> _Slower:
    bucket = floor((open_minute - offset) / minutes)
    begins = ~bucket.equals(ref(bucket, 1))
    ends = (floor((close_minute - offset) / minutes) * minutes).equals(close_minute - offset)
    one, none = where(ends & begins, 1, 0), where(ends & ~begins, 1, 0)
    told = recur(one, none, where(ends, 1, 0))
    """1 where this row's own bar is told at once: it ends here, and no other one waits to be told."""
    waited = begins & (ref(told, 1) < 0.5)
    return _Slower(begins, waited | (told > 0.5), waited)


def _again(node: Expr, made: dict[Expr, Expr]) -> Expr:
    if node.op == "parameter":
        raise FeatureError(
            f"{node!r} is the number of the faster bars in a year",
            hint="write the number of the slower bars instead",
        )
    return Expr(node.op, tuple(made[arg] for arg in node.args), node.params)
