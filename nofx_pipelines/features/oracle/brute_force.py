"""The oracle's windows and recursions that Polars has not: each window written out, nothing carried over.

Shares no code with `kernel`. All functions take and give float64 [T] of one instrument, NaN for missing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.features.algebra.expr import Expr
from nofx_pipelines.features.algebra.user_functions import applied, require_unchanged

F64 = NDArray[np.float64]


def evaluate(node: Expr, args: list[F64]) -> F64:
    """The node's values over one instrument's rows."""
    with np.errstate(all="ignore"):
        out = np.asarray(BRUTE_FORCE[node.op](node, *args), dtype=np.float64)
    out[~np.isfinite(out)] = np.nan
    return out


def _windows(x: F64, n: int) -> F64:
    """float64 [T, n], the oldest first."""
    padded = np.concatenate([np.full(n - 1, np.nan), x])
    return np.lib.stride_tricks.sliding_window_view(padded, n)


def _enough(node: Expr, windows: F64, values: F64) -> F64:
    count = (~np.isnan(windows)).sum(axis=1)
    return np.where(count >= int(node.params[1]), values, np.nan)


def _product(node: Expr, x: F64) -> F64:
    w = _windows(x, int(node.params[0]))
    return _enough(node, w, np.nanprod(w, axis=1))


def _mean_of(w: F64) -> tuple[F64, F64]:
    count = (~np.isnan(w)).sum(axis=1).astype(np.float64)
    return np.nansum(w, axis=1) / count, count


def _moment(w: F64, mean: F64, power: int) -> F64:
    return np.nansum((w - mean[:, None]) ** power, axis=1)


def _unmoved(w: F64) -> NDArray[np.bool_]:
    filled = np.asarray(np.isnan(w).all(axis=1))
    w = np.where(filled[:, None], 0.0, w)
    return np.asarray(np.nanmax(w, axis=1) == np.nanmin(w, axis=1))


def _skew(node: Expr, x: F64) -> F64:
    w = _windows(x, int(node.params[0]))
    mean, n = _mean_of(w)
    second, third = _moment(w, mean, 2) / n, _moment(w, mean, 3) / n
    out = np.sqrt(n * (n - 1)) / (n - 2) * third / second**1.5
    return _enough(node, w, np.where(_unmoved(w) | (n < 3), np.nan, out))


def _kurt(node: Expr, x: F64) -> F64:
    w = _windows(x, int(node.params[0]))
    mean, n = _mean_of(w)
    second, fourth = _moment(w, mean, 2) / n, _moment(w, mean, 4) / n
    out = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (fourth / second**2 - 3) + 6)
    return _enough(node, w, np.where(_unmoved(w) | (n < 4), np.nan, out))


def _mad(node: Expr, x: F64) -> F64:
    w = _windows(x, int(node.params[0]))
    mean, n = _mean_of(w)
    return _enough(node, w, np.nansum(np.abs(w - mean[:, None]), axis=1) / n)


def _place(node: Expr, x: F64) -> F64:
    n, _, ties, missing = node.params
    worst = -np.inf if node.op == "rolling_argmax" else np.inf
    w = _windows(x, int(n))
    filled = np.where(np.isnan(w), -worst if missing == "first" else worst, w)
    outside: NDArray[np.bool_] = np.arange(int(n))[None, :] < (int(n) - 1 - np.arange(len(x)))[:, None]
    filled[outside] = worst
    best = filled.max(axis=1) if node.op == "rolling_argmax" else filled.min(axis=1)
    hits = (filled == best[:, None]) & ~outside
    back = np.argmax(hits[:, ::-1], axis=1) if ties == "newest" else int(n) - 1 - np.argmax(hits, axis=1)
    return _enough(node, w, back.astype(np.float64))


def _quantile(node: Expr, x: F64) -> F64:
    w = np.sort(_windows(x, int(node.params[0])), axis=1)
    count = (~np.isnan(w)).sum(axis=1)
    place = float(node.params[2]) * np.maximum(count - 1, 0)
    low = np.floor(place).astype(np.int64)
    high, at = np.minimum(low + 1, np.maximum(count - 1, 0)), np.arange(len(x))
    return _enough(node, w, w[at, low] * (1 - (place - low)) + w[at, high] * (place - low))


def _rank(node: Expr, x: F64) -> F64:
    w = _windows(x, int(node.params[0]))
    below, same = (w < x[:, None]).sum(axis=1), (w == x[:, None]).sum(axis=1)
    out = (below + (same + 1) / 2) / (~np.isnan(w)).sum(axis=1)
    return _enough(node, w, np.where(np.isnan(x), np.nan, out))


def _line(node: Expr, y: F64) -> tuple[F64, F64, F64, F64, F64, F64]:
    """Windows, their count, means of time and value, and the sums of squares of both and across."""
    n = int(node.params[0])
    w = _windows(y, n)
    t = np.where(np.isnan(w), np.nan, np.arange(n, dtype=np.float64) - (n - 1))
    middle, count = _mean_of(t)
    mean, _ = _mean_of(w)
    dt, dy = t - middle[:, None], w - mean[:, None]
    span, along = np.nansum(dt * dt, axis=1), np.nansum(dt * dy, axis=1)
    return w, count, middle, mean, span, along


def _slope(node: Expr, y: F64) -> F64:
    w, count, _, _, span, along = _line(node, y)
    return _enough(node, w, np.where(count < 2, np.nan, along / span))


def _rsquare(node: Expr, y: F64) -> F64:
    w, count, _, mean, span, along = _line(node, y)
    out = along**2 / (span * _moment(w, mean, 2))
    return _enough(node, w, np.where((count < 2) | _unmoved(w), np.nan, out))


def _residual(node: Expr, y: F64) -> F64:
    w, count, middle, mean, span, along = _line(node, y)
    return _enough(node, w, np.where(count < 2, np.nan, y - (mean - along / span * middle)))


def _wmean(node: Expr, y: F64) -> F64:
    n = int(node.params[0])
    w = _windows(y, n)
    weights = np.where(np.isnan(w), 0.0, np.arange(1.0, n + 1))
    return _enough(node, w, np.nansum(w * weights, axis=1) / weights.sum(axis=1))


def _pair(node: Expr, x: F64, y: F64) -> F64:
    n = int(node.params[0])
    apart = np.isnan(x) | np.isnan(y)
    wx, wy = _windows(np.where(apart, np.nan, x), n), _windows(np.where(apart, np.nan, y), n)
    mx, count = _mean_of(wx)
    my, _ = _mean_of(wy)
    cross = np.nansum((wx - mx[:, None]) * (wy - my[:, None]), axis=1)
    vx, vy = _moment(wx, mx, 2), _moment(wy, my, 2)
    beta = np.where(_unmoved(wx), np.nan, cross / vx)
    if node.op == "rolling_cov":
        ddof = int(node.params[2])
        out = np.where(count > ddof, cross / (count - ddof), np.nan)
    elif node.op == "rolling_corr":
        out = np.where(_unmoved(wx) | _unmoved(wy), np.nan, cross / np.sqrt(vx * vy))
    else:
        out = beta if node.op == "rolling_beta" else (y - my) - beta * (x - mx)
    return _enough(node, wx, out)


def _recur(node: Expr, a: F64, b: F64, seed: F64) -> F64:
    out, y = np.full(len(a), np.nan), np.nan
    for t in range(len(a)):
        if np.isnan(y):
            y = seed[t]
        elif not (np.isnan(a[t]) or np.isnan(b[t])):
            y = a[t] * y + b[t]
            y = y if np.isfinite(y) else np.nan
        out[t] = y
    return out


def _running_since(node: Expr, x: F64, start: F64) -> F64:
    out = np.full(len(x), np.nan)
    reduce: dict[str, Callable[[F64], float]] = {
        "first_since": lambda v: v[0],
        "sum_since": np.sum,
        "max_since": np.max,
        "min_since": np.min,
    }
    begin = 0
    for t in range(len(x)):
        begin = t if start[t] == 1.0 else begin
        values = x[begin : t + 1][~np.isnan(x[begin : t + 1])]
        if len(values):
            out[t] = reduce[node.op](values)
    return out


def _sar(node: Expr, high: F64, low: F64) -> F64:
    step, largest = (float(p) for p in node.params)
    out = np.full(len(high), np.nan)
    rows = np.flatnonzero(~(np.isnan(high) | np.isnan(low)))
    if len(rows) < 2:
        return out
    h, lo = high[rows], low[rows]
    rising = not (lo[0] - lo[1] > 0 and h[1] - h[0] < lo[0] - lo[1])
    stop, point, factor = (lo[0], h[1], step) if rising else (h[0], lo[1], step)
    for k in range(1, len(rows)):
        before = max(k - 1, 1)
        if (lo[k] <= stop) if rising else (h[k] >= stop):
            stop = max(point, h[before], h[k]) if rising else min(point, lo[before], lo[k])
            rising, factor, point = not rising, step, (lo[k] if rising else h[k])
            out[rows[k]] = stop
        else:
            out[rows[k]] = stop
            if (h[k] > point) if rising else (lo[k] < point):
                point, factor = (h[k] if rising else lo[k]), min(factor + step, largest)
        stop = stop + factor * (point - stop)
        stop = min(stop, lo[before], lo[k]) if rising else max(stop, h[before], h[k])
    return out


def _seasonal(node: Expr, x: F64, slot: F64) -> F64:
    slots, n = int(node.params[0]), int(node.params[1])
    seen: dict[int, list[float]] = {}
    out = np.full(len(x), np.nan)
    for t in range(len(x)):
        if np.isnan(slot[t]) or not 0 <= slot[t] < slots:
            continue
        before = seen.setdefault(int(slot[t]), [])
        if before:
            mean = float(np.mean(before[: (n + 1) // 2]))
            for value in before[(n + 1) // 2 :]:
                mean += (value - mean) * 2 / (n + 1)
            out[t] = mean
        if not np.isnan(x[t]):
            before.append(float(x[t]))
    return out


def _apply(node: Expr, *args: F64) -> F64:
    function, n = applied(node.params[0]), int(node.params[1])
    require_unchanged(node.params[0])
    out = np.full(len(args[0]), np.nan)
    for t in range(len(out)):
        windows = [np.array([lag[t] for lag in args[k : k + n]]) for k in range(0, len(args), n)]
        out[t] = function.value(windows)
    return out


BRUTE_FORCE: dict[str, Callable[..., F64]] = {
    "rolling_product": _product,
    "rolling_skew": _skew,
    "rolling_kurt": _kurt,
    "rolling_mad": _mad,
    "rolling_argmax": _place,
    "rolling_argmin": _place,
    "rolling_quantile": _quantile,
    "rolling_rank": _rank,
    "rolling_slope": _slope,
    "rolling_rsquare": _rsquare,
    "rolling_residual": _residual,
    "rolling_wmean": _wmean,
    "rolling_cov": _pair,
    "rolling_corr": _pair,
    "rolling_beta": _pair,
    "rolling_beta_residual": _pair,
    "apply": _apply,
    "recur": _recur,
    **dict.fromkeys(("first_since", "sum_since", "max_since", "min_since"), _running_since),
    "sar": _sar,
    "seasonal_mean": _seasonal,
}
"""By operator, all that this module computes."""
