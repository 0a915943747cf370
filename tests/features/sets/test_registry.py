"""Every set: both engines agree, the stream has the batch's bits, the future leaves the past as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import polars as pl
import pytest

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features import FeatureSet, compute, feature_set
from nofx_pipelines.features.sets.registry import set_names
from nofx_pipelines.features.streaming.stream import Stream
from tests.features.worlds import YEAR, random_bars, same_bits, worst


def bars_of(name: str, seed: int | None = None, *, gaps: bool = True) -> pl.DataFrame:
    """Bars with every column that a set may read; minutes for ``intraday``; ``gaps``: missing cells too."""
    per_session, sessions = (40, 12) if name == "intraday" else (1, 400 if name == "alpha101" else 150)
    whole = not gaps or name in ("cross_section", "alpha101")  # needs most instruments at most times
    bars = random_bars(
        7,
        sessions,
        per_session=per_session,
        suspended=0.01 if whole else 0.1,
        missing=0.0 if whole else 0.03,
        flat=0.1,
        seed=len(name) if seed is None else seed,
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


@pytest.mark.parametrize("gaps", [True, False], ids=["gaps", "whole"])
@pytest.mark.parametrize("name", set_names())
def test_the_engines_agree(name: str, gaps: bool) -> None:
    bars, features = bars_of(name, gaps=gaps), feature_set(name)
    ours, oracle = (compute(bars, features, bars_per_year=YEAR, engine=e).frame for e in ("numba", "polars"))  # type: ignore[arg-type]
    apart = worst(ours, oracle, features.columns)
    assert {column: gap for column, gap in apart.items() if gap > 1e-9} == {}
    empty = [column for column in features.columns if ours[column].null_count() == ours.height]
    assert empty == [], "features that never have a value prove nothing"


@pytest.mark.parametrize("gaps", [True, False], ids=["gaps", "whole"])
@pytest.mark.parametrize("name", set_names())
def test_the_stream_has_the_batch_s_bits(name: str, gaps: bool) -> None:
    bars, features = bars_of(name, gaps=gaps), feature_set(name)
    stream = Stream(features, bars["instrument_id"].unique().to_list()[:3], bars_per_year=YEAR)
    parts = [
        stream.update(part) for part in bars.sort("ts_close").partition_by("ts_close", maintain_order=True)
    ]
    same_bits(pl.concat(parts), compute(bars, features, bars_per_year=YEAR).frame)


Compute = Callable[[pl.DataFrame], pl.DataFrame]


def check_the_past_stays(name: str, features_of: Compute) -> None:
    """Features up to a cut have the same bits with no future, with their own and with another one.

    The other future is another walk: other bars missing, other suspensions, instruments in other sectors, and
    more of them, listed after the cut; a fifth of its bars are gone.
    """
    bars, other = bars_of(name, gaps=False), bars_of(name, seed=99).sample(fraction=0.8, seed=1)
    sectors = pl.col("sector").replace_strict({"bank": "food", "food": "pulp"}, default="bank")
    listed = other.with_columns(instrument_id=pl.format("{}.LATER", "instrument_id"))
    other = pl.concat([other, listed]).with_columns(sector=sectors)
    moments = bars["ts_close"].unique().sort()
    whole = features_of(bars)
    for share in (0.4, 0.73, 0.97):
        cut = moments[int(share * len(moments))]
        past = bars.filter(pl.col("ts_close") <= cut)
        alone = features_of(past)
        mixed = features_of(pl.concat([past, other.filter(pl.col("ts_close") > cut)]))
        for frame in (whole, mixed):
            same_bits(alone, frame.filter(pl.col("ts_close") <= cut))
        assert not _after(whole, cut).equals(_after(mixed, cut)), "another future"
    rare = [c for c in feature_set(name).columns if alone[c].count() < 0.2 * alone.height]
    assert rare == [], "features that seldom have a value prove little"


def _after(frame: pl.DataFrame, cut: datetime) -> pl.DataFrame:
    return frame.filter(pl.col("ts_close") > cut).sort("instrument_id", "ts_close")


@pytest.mark.parametrize("name", set_names())
def test_the_future_does_not_change_the_past(name: str) -> None:
    check_the_past_stays(name, lambda bars: compute(bars, feature_set(name), bars_per_year=YEAR).frame)


@pytest.mark.parametrize("name", set_names())
def test_a_feature_that_looks_one_bar_ahead_is_seen(name: str) -> None:
    last = feature_set(name).columns[-1]

    def leaky(bars: pl.DataFrame) -> pl.DataFrame:
        frame = compute(bars, feature_set(name), bars_per_year=YEAR).frame.sort("instrument_id", "ts_close")
        return frame.with_columns(pl.col(last).shift(-1).over("instrument_id"))

    with pytest.raises(AssertionError, match=last):
        check_the_past_stays(name, leaky)


@pytest.mark.parametrize("name", set_names())
def test_every_feature_says_what_it_is(name: str) -> None:
    for feature in feature_set(name).features:
        assert feature.description.endswith("."), feature.name
        assert feature.expr.dtype == "number", feature.name


def test_sets_compose() -> None:
    both = feature_set("technical", "cross_section")
    assert set(both.columns) == {*feature_set("technical").columns, *feature_set("cross_section").columns}
    assert feature_set("technical", "technical").version == feature_set("technical").version
    others = [name for name in set_names() if name != "technical"]
    # OPEN0 is in two, and the same
    names = {column for name in others for column in feature_set(name).columns}
    assert set(feature_set(*others).columns) == names
    all_of_them = feature_set("technical", "ta")  # names that differ in their case only are one in SQL
    assert "sma_20" in all_of_them.columns
    assert "SMA_20" not in all_of_them.columns
    technical, ta = feature_set("technical"), feature_set("ta")
    assert len(all_of_them.columns) == len(technical.columns) + len(ta.columns) - 8
    feature_set(*set_names())
    other = FeatureSet("other", (replace(ta["SMA_20"], expr=ta["WMA_20"].expr),))
    with pytest.raises(FeatureError, match=r"declares \['sma_20'"):
        technical + other
    with pytest.raises(FeatureError, match="feature set 'technicals' is none of this installation's"):
        feature_set("technicals")
