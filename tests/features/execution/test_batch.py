"""Laws of `compute`: stream, chunks, restarts and permutations give the same bits."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features import close, compute, ema, rank, ref, rolling_mean, volume
from nofx_pipelines.features.execution.batch import compute_chunks
from nofx_pipelines.features.execution.resume import resume
from tests.features.worlds import EVERY, YEAR, numbers, one_series, random_bars, same_bits, set_of

FEW = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))


def worlds() -> st.SearchStrategy[pl.DataFrame]:
    return st.builds(
        random_bars,
        st.integers(1, 7),
        st.integers(1, 45),
        seed=st.integers(0, 10_000),
        per_session=st.integers(1, 3),
        suspended=st.sampled_from([0.0, 0.1, 0.6]),
        missing=st.sampled_from([0.0, 0.1, 0.5]),
        flat=st.sampled_from([0.0, 0.5]),
    )


def chunked(bars: pl.DataFrame, cuts: list[date], features: object) -> pl.DataFrame:
    """The frame, computed from one cut to the next."""
    state, frames = None, []
    for lo, hi in zip([date.min, *cuts], [*cuts, date.max], strict=True):
        part = bars.filter(pl.col("session_date").is_between(lo, hi, closed="left"))
        result = compute(part, features, state=state, bars_per_year=YEAR)  # type: ignore[arg-type]
        state = result.state
        frames.append(result.frame)
    return pl.concat(frames)


def check_stream(bars: pl.DataFrame, features: object) -> None:
    whole = compute(bars, features, bars_per_year=YEAR).frame  # type: ignore[arg-type]
    same_bits(chunked(bars, bars["session_date"].unique().sort().to_list()[1:], features), whole)


def check_alone(bars: pl.DataFrame, day: date) -> None:
    """A session from the stored state of the one before, and only the rows that must be kept."""
    whole = compute(bars, EVERY, bars_per_year=YEAR, snapshots=True)
    assert whole.snapshots is not None
    before = whole.snapshots.filter(pl.col("session_date") < day)
    stored = before.filter(pl.col("session_date") == pl.col("session_date").max())
    past, now = bars.filter(pl.col("session_date") < day), bars.filter(pl.col("session_date") == day)
    tail = past.filter(pl.col("status") == "traded").sort("ts_close")
    tail = tail.group_by("instrument_id").tail(EVERY.lookback)
    state = resume(stored, EVERY, bars_per_year=YEAR, history=tail)
    alone = compute(now, EVERY, state=state, bars_per_year=YEAR, snapshots=True)
    same_bits(alone.frame, whole.frame.filter(pl.col("session_date") == day))
    assert alone.snapshots is not None
    assert alone.snapshots.equals(whole.snapshots.filter(pl.col("session_date") == day))


@FEW
@given(worlds())
def test_stream_equals_batch(bars: pl.DataFrame) -> None:
    check_stream(bars, EVERY)


@pytest.mark.slow
@MANY
@given(worlds(), st.lists(numbers(), min_size=1, max_size=4))
def test_stream_equals_batch_for_any_expression(bars: pl.DataFrame, exprs: list[object]) -> None:
    check_stream(bars, set_of(**{f"f{k}": e for k, e in enumerate(exprs)}))  # type: ignore[arg-type]


@FEW
@given(worlds(), st.data())
def test_a_session_alone_equals_the_full_history(bars: pl.DataFrame, data: st.DataObject) -> None:
    days = bars["session_date"].unique().sort().to_list()
    check_alone(bars, data.draw(st.sampled_from(days)))


@pytest.mark.slow
@MANY
@given(worlds(), st.data())
def test_any_session_alone_equals_the_full_history(bars: pl.DataFrame, data: st.DataObject) -> None:
    days = bars["session_date"].unique().sort().to_list()
    check_alone(bars, data.draw(st.sampled_from(days)))


@FEW
@given(worlds(), st.lists(st.integers(0, 45), max_size=4))
def test_chunks_equal_the_whole(bars: pl.DataFrame, offsets: list[int]) -> None:
    first = bars["session_date"].min()
    assert isinstance(first, date)
    cuts = sorted({first + timedelta(days=k) for k in offsets})
    same_bits(chunked(bars, cuts, EVERY), compute(bars, EVERY, bars_per_year=YEAR).frame)


@FEW
@given(worlds(), st.randoms(use_true_random=False))
def test_permuted_instruments_and_rows_permute_the_result(bars: pl.DataFrame, random: object) -> None:
    names = bars["instrument_id"].unique().sort().to_list()
    shuffled = names.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    renamed = bars.with_columns(pl.col("instrument_id").replace_strict(names, shuffled))
    mixed = compute(renamed.sample(fraction=1, shuffle=True, seed=1), EVERY, bars_per_year=YEAR).frame
    back = mixed.with_columns(pl.col("instrument_id").replace_strict(shuffled, names))
    same_bits(back, compute(bars, EVERY, bars_per_year=YEAR).frame)


@FEW
@given(worlds(), st.integers(0, 45))
def test_the_future_does_not_change_the_past(bars: pl.DataFrame, offset: int) -> None:
    first = bars["session_date"].min()
    assert isinstance(first, date)
    cut = first + timedelta(days=offset)
    past = pl.col("session_date") < cut
    prices = ["open", "high", "low", "close", "volume"]
    other = bars.with_columns(pl.when(past).then(pl.col(name)).otherwise(pl.col(name) * 3) for name in prices)
    before = compute(bars, EVERY, bars_per_year=YEAR).frame.filter(past)
    same_bits(compute(other, EVERY, bars_per_year=YEAR).frame.filter(past), before)
    same_bits(compute(bars.filter(past), EVERY, bars_per_year=YEAR).frame, before)


def test_the_state_given_is_left_as_it_was() -> None:
    bars = random_bars(3, 10)
    state = compute(bars, EVERY, bars_per_year=YEAR).state
    assert state is not None
    kept = state.values.copy()
    later = bars.with_columns(
        pl.col("ts_close").dt.offset_by("50d"), pl.col("session_date").dt.offset_by("50d")
    )
    compute(later, EVERY, state=state, bars_per_year=YEAR)
    assert kept.tobytes() == state.values.tobytes()


def test_only_traded_bars_count() -> None:
    bars = random_bars(2, 30, suspended=0.3)
    result = compute(bars, EVERY, bars_per_year=YEAR).frame
    assert result.height == bars.filter(pl.col("status") == "traded").height
    same_bits(result, compute(bars.filter(pl.col("status") == "traded"), EVERY, bars_per_year=YEAR).frame)


def test_below_five_instruments_ranks_are_null() -> None:
    features = set_of(r=rank(close))
    four = compute(random_bars(4, 5, suspended=0), features, bars_per_year=YEAR).frame
    assert four["r"].null_count() == four.height
    ranks = compute(random_bars(5, 20, suspended=0), features, bars_per_year=YEAR).frame
    whole = ranks.filter(pl.len().over("ts_close") == 5).group_by("ts_close").agg(pl.col("r").sort())
    assert whole["r"].to_list() == [[-0.5, -0.25, 0.0, 0.25, 0.5]] * whole.height


def test_no_bars_give_no_rows() -> None:
    empty = compute(random_bars(2, 3).clear(), EVERY, bars_per_year=YEAR, snapshots=True)
    assert empty.frame.height == 0
    assert empty.snapshots is not None
    assert empty.snapshots.height == 0


def test_division_by_zero_and_infinity_are_null() -> None:
    features = set_of(inverse=1 / close, huge=close * 1e308 * 1e10, copy=close + 0)
    frame = compute(
        one_series([0.0, float("inf"), float("nan"), 2.0, None]), features, bars_per_year=YEAR
    ).frame
    assert frame["inverse"].to_list() == [None, None, None, 0.5, None]
    assert frame["huge"].to_list() == [0.0, None, None, None, None]
    assert frame["copy"].to_list() == [0.0, None, None, 2.0, None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.drop("volume"), "lack \\['volume'\\]"),
        (lambda b: pl.concat([b, b.head(1)]), "two bars that close at"),
        (lambda b: b.with_columns(ts_close=pl.col("ts_close").shift()), r"without \['ts_close'\]"),
        (lambda b: b.with_columns(instrument_id=pl.lit(None, pl.String)), r"without \['instrument_id'\]"),
    ],
)
def test_unusable_bars_are_refused(change: object, message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        compute(change(random_bars(2, 5, suspended=0)), set_of(v=volume), bars_per_year=YEAR)  # type: ignore[operator]


def test_bars_of_the_past_and_foreign_states_are_refused() -> None:
    bars, mine = random_bars(2, 5), set_of(m=ema(close, 3))
    state = compute(bars, mine, bars_per_year=YEAR).state
    with pytest.raises(FeatureError, match="begin at or before the last bar"):
        compute(bars, mine, state=state, bars_per_year=YEAR)
    with pytest.raises(FeatureError, match="the state is of version"):
        compute(bars, set_of(m=ema(close, 4)), state=state, bars_per_year=YEAR)
    with pytest.raises(FeatureError, match="bars a year"):
        compute(bars, mine, state=state, bars_per_year=1.0)
    with pytest.raises(FeatureError, match="bars_per_year = 0"):
        compute(bars, mine, bars_per_year=0)
    with pytest.raises(FeatureError, match="no engine 'spark'"):
        compute(bars, mine, bars_per_year=YEAR, engine="spark")  # type: ignore[arg-type]
    with pytest.raises(FeatureError, match="keeps no state"):
        compute(bars, mine, state=state, bars_per_year=YEAR, engine="polars")


def test_a_history_that_is_too_short_is_refused() -> None:
    bars = random_bars(2, 30, suspended=0)
    features = set_of(m=rolling_mean(close, 10) + ref(close, 3))
    result = compute(bars, features, bars_per_year=YEAR, snapshots=True)
    assert result.snapshots is not None
    last = result.snapshots.filter(pl.col("session_date") == pl.col("session_date").max())
    short = bars.sort("ts_close").group_by("instrument_id").tail(8)
    with pytest.raises(FeatureError, match="has 8 bars up to its state, 9 are needed"):
        resume(last, features, bars_per_year=YEAR, history=short)
    with pytest.raises(FeatureError, match="compact states need the bars"):
        resume(last, features, bars_per_year=YEAR)
    with pytest.raises(FeatureError, match="the last at the state's own time"):
        resume(
            last,
            features,
            bars_per_year=YEAR,
            history=bars.sort("ts_close").group_by("instrument_id").head(12),
        )
    with pytest.raises(FeatureError, match="bars a year, not 12"):
        resume(last, features, bars_per_year=12.0, history=bars)


@pytest.mark.parametrize("rows", [1, 50, 10_000])
def test_chunks_of_a_lazy_frame_are_the_whole(rows: int, tmp_path: Path) -> None:
    bars = random_bars(5, 60, per_session=3, suspended=0.1)
    bars.write_parquet(tmp_path / "bars.parquet")
    parts = list(
        compute_chunks(pl.scan_parquet(tmp_path / "bars.parquet"), EVERY, bars_per_year=YEAR, rows=rows)
    )
    assert len(parts) == {1: 60, 50: 17, 10_000: 1}[rows]
    same_bits(pl.concat(parts), compute(bars, EVERY, bars_per_year=YEAR).frame)


def test_prices_that_are_texts_are_numbers_or_refused_by_name() -> None:
    bars = random_bars(3, 40)
    texts = bars.with_columns(pl.col("close").map_elements(repr, return_dtype=pl.String))
    assert texts["close"].dtype == pl.String
    gain = set_of(gain=close - ref(close, 1), mean=rolling_mean(close, 3))
    numeric = compute(bars, gain, bars_per_year=YEAR).frame
    same_bits(compute(texts, gain, bars_per_year=YEAR).frame, numeric)
    for wrong in ("1,250.5", "abc", "nan", ""):
        first = pl.int_range(pl.len()) == 0
        broken = texts.with_columns(pl.when(first).then(pl.lit(wrong)).otherwise("close").alias("close"))
        broken = broken.with_columns(status=pl.lit("traded"))
        with pytest.raises(FeatureError, match=f"column 'close' of the bars is text, and '{wrong}'"):
            compute(broken, gain, bars_per_year=YEAR)
    with pytest.raises(FeatureError, match="column 'close' of the bars is List"):
        compute(bars.with_columns(pl.concat_list("close")), gain, bars_per_year=YEAR)
