"""Operators across the instruments of one ``ts_close``.

Sums run over values in sorted order, so the order in which instruments come changes no bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.features.algebra.user_functions import FunctionKey, over_rows
from nofx_pipelines.features.execution.group_codes import by_value, places

if TYPE_CHECKING:
    from nofx_pipelines.features.program.lowering import Instruction

_TIE = 1e-10
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Call:
    """One operator over rows of a panel, or a Python function."""

    op: str
    args: tuple[int, ...]
    group: int | None
    target: int
    min_count: int
    """Of `apply` the rows of its windows."""
    function: FunctionKey | None = None


def call_of(i: Instruction, rows: dict[int, int]) -> Call:
    """The call of an instruction whose registers lie in ``rows`` of a panel."""
    args = tuple(rows[a] for a in i.args)
    if isinstance(function := i.params[0], FunctionKey):
        return Call(i.op, args, None, rows[i.dst], int(i.params[1]), function)
    wanted = 2 if i.op == "neutralise" else 1
    group = args[wanted] if len(args) > wanted else None
    return Call(i.op, args[:wanted], group, rows[i.dst], int(i.params[0]))


def run(call: Call, panel: F64, moments: I64) -> None:
    """Write the values over ``panel`` float64 [rows, N]; ``moments`` int64 [N] number the times."""
    groups = moments
    args = [panel[a] for a in call.args]
    if call.function is not None:
        panel[call.target] = over_rows(call.function, call.min_count, args)
        return
    if call.group is not None:
        codes = panel[call.group]
        known = ~np.isnan(codes)
        groups = moments.copy()
        groups[known] = np.unique(
            np.stack([moments[known].astype(np.float64), codes[known]]), axis=1, return_inverse=True
        )[1].reshape(-1)
        args = [np.where(known, values, np.nan) for values in args]
    panel[call.target] = _OPERATORS[call.op](*args, groups, call.min_count)


def rank(values: F64, groups: I64, min_count: int) -> F64:
    """Average rank within each group, scaled to [-0.5, 0.5]; NaN is missing.

    ``values`` float64 [N], ``groups`` int64 [N]; groups with fewer than ``min_count`` valid values are
    missing throughout.

    >>> rank(np.array([3.0, 1.0, 1.0, np.nan, 7.0]), np.zeros(5, np.int64), 4).tolist()
    [0.16666666666666663, -0.33333333333333337, -0.33333333333333337, nan, 0.5]
    """
    order, position, size = _places(values, groups)
    out = np.full(len(values), np.nan)
    wide = np.maximum(size - 1, 1)
    out[order] = np.where(size >= min_count, position / wide - 0.5, np.nan)
    return out


def rank_share(values: F64, groups: I64, min_count: int) -> F64:
    """Average rank within each group, from 1, by the group's size; ties within 1e-10 of its largest value.

    >>> rank_share(np.array([3.0, 1.0, 1.0, np.nan, 7.0]), np.zeros(5, np.int64), 1).tolist()
    [0.75, 0.375, 0.375, nan, 1.0]
    """
    order, position, size = _places(values, groups, _TIE)
    out = np.full(len(values), np.nan)
    out[order] = np.where(size >= min_count, (position + 1.0) / size, np.nan)
    return out


def _places(values: F64, groups: I64, tie: float = 0.0) -> tuple[I64, F64, I64]:
    """`by_value.places` of groups given by their numbers."""
    return places(values, *_grouped(groups), tie)


_last_grouped: tuple[I64, I64, I64] | None = None


def _grouped(groups: I64) -> tuple[I64, I64]:
    """Rows group by group, and where each begins; many operators ask for the same groups in turn."""
    global _last_grouped
    known = _last_grouped
    if known is None or known[0] is not groups:
        order = np.argsort(groups, kind="stable")
        sorted_groups = groups[order]
        begins = np.flatnonzero(sorted_groups[1:] != sorted_groups[:-1]) + 1
        bounds = np.concatenate(([0], begins, [len(groups)])).astype(np.int64)
        known = _last_grouped = (groups, order, bounds)
    return known[1], known[2]


def cross_mean(values: F64, groups: I64, min_count: int) -> F64:
    """The mean of each group, at its valid values.

    >>> cross_mean(np.array([1.0, 3.0, np.nan]), np.zeros(3, np.int64), 2).tolist()
    [2.0, 2.0, nan]
    """
    out = np.full(len(values), np.nan)
    valid, group, count = _sorted(groups, values)
    if len(valid):
        mean = _sums(group, values[valid]) / count
        out[valid] = np.where(count >= min_count, mean, np.nan)[group]
    return _finite(out)


def cross_sum(values: F64, groups: I64, min_count: int) -> F64:
    """The sum of each group, at its valid values.

    >>> cross_sum(np.array([1.0, 3.0, np.nan]), np.zeros(3, np.int64), 1).tolist()
    [4.0, 4.0, nan]
    """
    out = np.full(len(values), np.nan)
    valid, group, count = _sorted(groups, values)
    if len(valid):
        out[valid] = np.where(count >= min_count, _sums(group, values[valid]), np.nan)[group]
    return _finite(out)


def demean(values: F64, groups: I64, min_count: int) -> F64:
    """Values less the mean of their group."""
    return _finite(values - cross_mean(values, groups, min_count))


def zscore(values: F64, groups: I64, min_count: int) -> F64:
    """Distance from the group's mean in its standard deviations (ddof 1); missing where all are equal."""
    out = np.full(len(values), np.nan)
    valid, group, count = _sorted(groups, values)
    if len(valid):
        away = values[valid] - (_sums(group, values[valid]) / count)[group]
        squares = _sums(group, away * away)
        same = _largest(group, values[valid]) == -_largest(group, -values[valid])
        usable = (count >= max(min_count, 2)) & ~same
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.where(usable, np.sqrt(squares / (count - 1)), np.nan)
            out[valid] = away / spread[group]
    return _finite(out)


def neutralise(values: F64, against: F64, groups: I64, min_count: int) -> F64:
    """Residual of the regression of ``values`` on ``against`` within each group; missing without a slope.

    >>> x = np.array([1.0, 2.0, 3.0, 4.0])
    >>> np.abs(neutralise(2 * x + 1, x, np.zeros(4, np.int64), 3)).max() < 1e-12
    np.True_
    """
    out = np.full(len(values), np.nan)
    valid, group, count = _sorted(groups, values, against)
    if len(valid):
        x, y = against[valid], values[valid]
        dx = x - (_sums(group, x) / count)[group]
        dy = y - (_sums(group, y) / count)[group]
        same = _largest(group, x) == -_largest(group, -x)
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = _sums(group, dx * dy) / _sums(group, dx * dx)
        slope = np.where((count >= max(min_count, 2)) & ~same, slope, np.nan)
        out[valid] = dy - slope[group] * dx
    return _finite(out)


_OPERATORS: dict[str, Callable[..., F64]] = {
    "rank": rank,
    "rank_share": rank_share,
    "zscore": zscore,
    "demean": demean,
    "cross_mean": cross_mean,
    "cross_sum": cross_sum,
    "neutralise": neutralise,
}


def _sorted(groups: I64, *values: F64) -> tuple[I64, I64, F64]:
    """Rows with all values, by group and value; the number of each row's group; each group's size."""
    if len(values) == 1:
        return by_value(values[0], *_grouped(groups))
    missing = np.isnan(values[0])
    for more in values[1:]:
        missing |= np.isnan(more)
    valid = np.flatnonzero(~missing)
    valid = valid[np.lexsort((*(v[valid] for v in reversed(values)), groups[valid]))]
    if len(valid) == 0:
        return valid, valid, np.zeros(0)
    own = groups[valid]
    number = np.concatenate(([0], np.cumsum(own[1:] != own[:-1]))).astype(np.int64)
    return valid, number, np.bincount(number).astype(np.float64)


def _sums(group: I64, values: F64) -> F64:
    """Sums of runs, one value after the other."""
    return np.asarray(np.bincount(group, weights=values), np.float64)


def _largest(group: I64, values: F64) -> F64:
    return np.maximum.reduceat(values, np.flatnonzero(np.concatenate(([True], group[1:] != group[:-1]))))


def _finite(values: F64) -> F64:
    values[~np.isfinite(values)] = np.nan
    return values
