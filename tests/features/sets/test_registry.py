"""Every set: both engines agree, the stream has the batch's bits, names are there once."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features import FeatureSet, compute, feature_set
from nofx_pipelines.features.sets.registry import SETS
from nofx_pipelines.features.stream import Stream

from ..worlds import YEAR, random_bars, same_bits, worst  # noqa: TID252 (tests are no installed package)


def bars_of(name: str) -> pl.DataFrame:
    """Bars with every column that a set may read; minutes for ``intraday``."""
    per_session, sessions = (40, 12) if name == "intraday" else (1, 400 if name == "alpha101" else 150)
    whole = name in ("cross_section", "alpha101")  # needs most instruments at most times
    bars = random_bars(
        7,
        sessions,
        per_session=per_session,
        suspended=0.01 if whole else 0.1,
        missing=0.0 if whole else 0.03,
        flat=0.1,
        seed=len(name),
    )
    return bars.with_columns(
        ts_open=pl.col("ts_close") - pl.duration(minutes=1),
        taker_volume=pl.col("volume") * 0.4,
        taker_amount=pl.col("amount") * 0.41,
        n_trades=pl.col("volume").cast(pl.Int64) + 1,
        limit_up=pl.col("close") * 1.1,
        limit_down=pl.col("close") * 0.9,
        funding_rate=pl.col("open") * 1e-5,
        index_price=pl.col("close") * (1 + pl.col("volume").log() / 1e4),
        session_phase=pl.when(pl.col("volume") > 3e4)
        .then(pl.lit("open_auction"))
        .otherwise(pl.lit("continuous")),
    )


@pytest.mark.parametrize("name", SETS)
def test_the_engines_agree(name: str) -> None:
    bars, features = bars_of(name), feature_set(name)
    ours, oracle = (compute(bars, features, bars_per_year=YEAR, engine=e).frame for e in ("numba", "polars"))  # type: ignore[arg-type]
    gaps = worst(ours, oracle, features.columns)
    assert {column: gap for column, gap in gaps.items() if gap > 1e-9} == {}
    empty = [column for column in features.columns if ours[column].null_count() == ours.height]
    assert empty == [], "features that never have a value prove nothing"


@pytest.mark.parametrize("name", SETS)
def test_the_stream_has_the_batch_s_bits(name: str) -> None:
    bars, features = bars_of(name), feature_set(name)
    stream = Stream(features, bars["instrument_id"].unique().to_list()[:3], bars_per_year=YEAR)
    parts = [
        stream.update(part) for part in bars.sort("ts_close").partition_by("ts_close", maintain_order=True)
    ]
    same_bits(pl.concat(parts), compute(bars, features, bars_per_year=YEAR).frame)


@pytest.mark.parametrize("name", SETS)
def test_every_feature_says_what_it_is(name: str) -> None:
    for feature in feature_set(name).features:
        assert feature.description.endswith("."), feature.name
        assert feature.expr.dtype == "number", feature.name


def test_sets_compose() -> None:
    both = feature_set("technical", "cross_section")
    assert set(both.columns) == {*feature_set("technical").columns, *feature_set("cross_section").columns}
    assert feature_set("technical", "technical").version == feature_set("technical").version
    others = [name for name in SETS if name != "technical"]
    names = {column for name in others for column in SETS[name].columns}  # OPEN0 is in two, and the same
    assert set(feature_set(*others).columns) == names
    all_of_them = feature_set("technical", "ta")  # names that differ in their case only are one in SQL
    assert "sma_20" in all_of_them.columns
    assert "SMA_20" not in all_of_them.columns
    assert len(all_of_them.columns) == len(SETS["technical"].columns) + len(SETS["ta"].columns) - 8
    feature_set(*SETS)
    other = FeatureSet("other", (replace(SETS["ta"]["SMA_20"], expr=SETS["ta"]["WMA_20"].expr),))
    with pytest.raises(FeatureError, match=r"declares \['sma_20'"):
        SETS["technical"] + other
    with pytest.raises(FeatureError, match="no feature set"):
        feature_set("technicals")
