"""Stylised facts: how they are measured, and the bands that simulated bars must fall into.

The bands come from real files (findings on market data): 268 A-shares daily, eight Hong Kong stocks and one
BTC perpetual by the minute. Where a market was not measured at a frequency, the band is that of its nearest
relative and wider. A band holds for the median over instruments (the mean for correlations and limits).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

Floats = np.ndarray[Any, np.dtype[np.float64]]

BANDS: dict[tuple[str, str], dict[str, tuple[float, float]]] = {
    ("cn", "1d"): {
        "excess_kurtosis": (1.0, 8.0),
        "hill": (2.2, 4.5),
        "acf_return_1": (-0.06, 0.08),
        "acf_abs_1": (0.06, 0.26),
        "acf_abs_10": (0.03, 0.18),
        "correlation": (0.18, 0.33),
        "first_component": (0.20, 0.38),
        "closed_at_limit_up": (0.0015, 0.014),
        "closed_at_limit_down": (0.0002, 0.006),
    },
    ("hk", "1d"): {
        "excess_kurtosis": (1.0, 12.0),
        "hill": (2.2, 4.5),
        "acf_return_1": (-0.06, 0.08),
        "acf_abs_1": (0.06, 0.28),
        "acf_abs_10": (0.03, 0.20),
        "correlation": (0.18, 0.36),
        "first_component": (0.20, 0.40),
    },
    ("crypto", "1d"): {
        "excess_kurtosis": (1.0, 12.0),
        "hill": (2.2, 4.5),
        "acf_return_1": (-0.08, 0.10),
        "acf_abs_1": (0.05, 0.32),
        "acf_abs_10": (0.03, 0.25),
        "correlation": (0.48, 0.70),
        "first_component": (0.50, 0.74),
    },
    ("cn", "1m"): {
        "excess_kurtosis": (4.0, 160.0),
        "hill": (2.1, 4.1),
        "acf_return_1": (-0.30, 0.03),
        "acf_abs_1": (0.12, 0.34),
        "acf_abs_10": (0.04, 0.20),
        "acf_abs_50": (0.01, 0.12),
        "volume_first_30": (0.17, 0.28),
        "volume_last_30": (0.10, 0.20),
    },
    ("hk", "1m"): {
        "excess_kurtosis": (4.0, 160.0),
        "hill": (2.1, 4.1),
        "acf_return_1": (-0.30, 0.0),
        "acf_abs_1": (0.12, 0.32),
        "acf_abs_10": (0.04, 0.18),
        "acf_abs_50": (0.01, 0.10),
        "volume_first_30": (0.14, 0.21),
        "volume_last_30": (0.07, 0.14),
    },
    ("crypto", "1m"): {
        "excess_kurtosis": (4.0, 110.0),
        "hill": (2.1, 4.1),
        "acf_return_1": (-0.08, 0.05),
        "acf_abs_1": (0.20, 0.42),
        "acf_abs_10": (0.10, 0.32),
        "acf_abs_50": (0.04, 0.25),
        "hourly_volume_swing": (2.2, 4.6),
    },
}
"""Lowest and highest accepted value of each fact, by market and frequency."""

_MIN_PAIRS = 30


def measure(bars: pl.DataFrame) -> dict[str, float]:
    """The facts of traded bars (``SOURCE_BARS`` columns, one market and frequency, no invalid rows).

    Returns are of the close over the bar's reference: ``prev_close`` for a session's first bar, else the
    close before. Limits count only where the bars carry them, volume shares only intraday.
    """
    traded = bars.filter(pl.col("status") == "traded").sort("instrument_id", "ts_open")
    before = pl.col("close").shift(1).over("instrument_id", "session_date")
    known = traded.with_columns((pl.col("close") / before.fill_null(pl.col("prev_close"))).log().alias("r"))
    wide = known.pivot(on="instrument_id", index="ts_open", values="r").sort("ts_open").drop("ts_open")
    columns = [column.drop_nulls().to_numpy() for column in wide.iter_columns()]
    columns = [column for column in columns if len(column) > 2 * _MIN_PAIRS]
    facts = {
        "excess_kurtosis": _median(columns, excess_kurtosis),
        "hill": _median(columns, hill),
        "acf_return_1": _median(columns, lambda r: acf(r, 1)),
        **{f"acf_abs_{k}": _median(columns, lambda r, k=k: acf(np.abs(r), k)) for k in (1, 10, 50)},
    }
    correlations = np.corrcoef(wide.drop_nulls().to_numpy().T)
    facts["correlation"] = float(correlations[np.triu_indices(len(correlations), 1)].mean())
    facts["first_component"] = float(np.linalg.eigvalsh(correlations)[-1] / len(correlations))
    for side in ("up", "down"):
        at = traded.select((pl.col("close") == pl.col(f"limit_{side}")).mean()).item()
        facts[f"closed_at_limit_{side}"] = float("nan") if at is None else float(at)
    return facts | (_volume_facts(traded) if traded["freq"][0] != "1d" else {})


def excess_kurtosis(values: Floats) -> float:
    """Fourth standardised moment less 3."""
    centred = values - values.mean()
    return float((centred**4).mean() / (centred**2).mean() ** 2 - 3)


def hill(values: Floats, share: float = 0.05) -> float:
    """Tail index of absolute values by Hill (1975), over the largest ``share``.

    >>> draws = (1 - np.random.default_rng(1).random(200_000)) ** (-1 / 3)  # Pareto, index 3
    >>> abs(hill(draws) - 3) < 0.1
    True
    """
    ordered = np.sort(np.abs(values))[::-1]
    k = max(int(share * len(ordered)), 2)
    return float(1.0 / np.mean(np.log(ordered[:k] / ordered[k])))


def acf(values: Floats, lag: int) -> float:
    """Autocorrelation at a lag."""
    centred = values - values.mean()
    return float((centred[lag:] * centred[:-lag]).sum() / (centred**2).sum())


def _median(columns: list[Floats], fact: Any) -> float:
    return float(np.median([fact(column) for column in columns]))


def _volume_facts(traded: pl.DataFrame) -> dict[str, float]:
    """Volume shares of a session's first and last thirty minutes; busiest over quietest hour (UTC)."""
    group = ("instrument_id", "session_date")
    opened, closed = pl.col("ts_open").min().over(group), pl.col("ts_close").max().over(group)
    total = pl.col("volume").sum()
    half_hour = pl.duration(minutes=30)
    shares = (
        traded.with_columns(
            (pl.col("ts_open") < opened + half_hour).alias("_first"),
            (pl.col("ts_close") > closed - half_hour).alias("_last"),
        )
        .group_by(group)
        .agg(
            (pl.col("volume").filter("_first").sum() / total).alias("first"),
            (pl.col("volume").filter("_last").sum() / total).alias("last"),
        )
    )
    share_of_day = pl.col("volume") / pl.col("volume").sum().over(group)
    hours = (
        traded.with_columns(share_of_day.alias("share"))
        .group_by(pl.col("ts_open").dt.hour())
        .agg(pl.col("share").mean())
    )
    return {
        "volume_first_30": float(np.mean(shares["first"].to_numpy())),
        "volume_last_30": float(np.mean(shares["last"].to_numpy())),
        "hourly_volume_swing": float(hours["share"].to_numpy().max() / hours["share"].to_numpy().min()),
    }
