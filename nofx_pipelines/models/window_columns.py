"""Window columns: a feature as it stood some bars before, as a column of its own.

``rsi_14@3`` is ``rsi_14`` three bars back, where a bar is a close of the universe: an instrument that did not
trade then has null there. So a window means the same in a training set, a feature table and a live feed.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from nofx_pipelines.lake.schemas import TRAINING_SET
from nofx_pipelines.lake.store import Lake

_MARK = "@"


def lagged(feature: str, bars: int) -> str:
    """The name of ``feature`` as it stood ``bars`` bars before; the feature's own at 0.

    >>> lagged("rsi_14", 3), lagged("rsi_14", 0)
    ('rsi_14@3', 'rsi_14')
    """
    return f"{feature}{_MARK}{bars}" if bars else feature


def parse(name: str) -> tuple[str, int]:
    """Feature and bars of a column's name.

    >>> parse("rsi_14@3"), parse("rsi_14")
    (('rsi_14', 3), ('rsi_14', 0))
    """
    feature, mark, bars = name.partition(_MARK)
    return (feature, int(bars)) if mark else (name, 0)


def window_names(features: Sequence[str], lookback: int) -> tuple[str, ...]:
    """The columns of a window, oldest bar first, features in their order within a bar.

    >>> window_names(["a", "b"], 2)
    ('a@1', 'b@1', 'a', 'b')
    """
    return tuple(lagged(name, k) for k in range(lookback - 1, -1, -1) for name in features)


def longest(names: Sequence[str]) -> int:
    """Bars before the last one that ``names`` reach back.

    >>> longest(["a@4", "b"])
    4
    """
    return max((parse(name)[1] for name in names), default=0)


def base_names(names: Sequence[str]) -> list[str]:
    """The features that ``names`` are made of, each once, in order."""
    return list(dict.fromkeys(parse(name)[0] for name in names))


def with_lags(rows: pl.DataFrame, names: Sequence[str], history: pl.DataFrame | None = None) -> pl.DataFrame:
    """``rows`` with the lagged columns among ``names`` that they lack.

    Past values come from ``history`` (instrument_id, ts_close and the features; ``rows`` themselves where
    left out). Closes are counted over all instruments of ``history``.

    >>> from datetime import datetime
    >>> closes = [datetime(2024, 1, 1), datetime(2024, 1, 2)]
    >>> rows = pl.DataFrame({"instrument_id": ["A"] * 2, "ts_close": closes, "a": [1.0, 2.0]})
    >>> with_lags(rows, ["a@1"])["a@1"].to_list()
    [None, 1.0]
    """
    lags = [name for name in names if parse(name)[1] and name not in rows.columns]
    if not lags:
        return rows
    past = rows if history is None else history
    closes = past["ts_close"].unique().sort()
    place = pl.DataFrame({"ts_close": closes, "_bar": pl.int_range(len(closes), eager=True)})
    numbered = rows.join(place, on="ts_close", how="left", maintain_order="left")
    numbered_past = past.join(place, on="ts_close", how="left")
    for bars in sorted({parse(name)[1] for name in lags}):
        features = [parse(name)[0] for name in lags if parse(name)[1] == bars]
        shifted = numbered_past.select(
            "instrument_id",
            pl.col("_bar") + bars,
            *(pl.col(name).alias(lagged(name, bars)) for name in features),
        )
        numbered = numbered.join(shifted, on=["instrument_id", "_bar"], how="left", maintain_order="left")
    return numbered.drop("_bar")


def windowed(
    lake: Lake, universe: str, rows: pl.DataFrame, names: Sequence[str], *, version: int | None = None
) -> pl.DataFrame:
    """A training set whose feature columns are ``names``.

    Past values come from the table of features (its newest version, or ``version``): a training set lacks
    the bars whose label is not known.
    """
    if any(parse(name)[1] for name in names):
        past = lake.table(universe, "features").scan(version=version)
        rows = with_lags(rows, names, past.select("instrument_id", "ts_close", *base_names(names)).collect())
    return rows.select(*TRAINING_SET.columns, *names)
