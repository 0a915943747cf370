"""Units, limits, previous closes and tags by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from nofx_pipelines.market.bars import BarsResult, build_bars
from nofx_pipelines.market.sessions import calendar

NOW = datetime(2026, 11, 1, tzinfo=UTC)
A, B, INDEX = "CN.SSE.600000", "CN.SZSE.000001", "CN.SSE.000001"
START, END = date(2024, 1, 2), date(2024, 1, 31)

Make = Callable[..., pl.DataFrame]
Cells = dict[str, object]


def with_cells(frame: pl.DataFrame, instrument: str, day: date, **values: object) -> pl.DataFrame:
    at = (pl.col("instrument_id") == instrument) & (pl.col("session_date") == day)
    return frame.with_columns(
        pl.when(at).then(pl.lit(value, frame.schema[name])).otherwise(name).alias(name)
        for name, value in values.items()
    )


@pytest.fixture
def build(make_bars: Make, make_instruments: Make) -> Callable[..., BarsResult]:
    def run(
        bars: pl.DataFrame, ids: Sequence[str] = (A, B), freq: str = "1d", **options: object
    ) -> BarsResult:
        facts = options.pop("facts", {})
        listed = make_instruments(list(ids), **facts)  # type: ignore[arg-type]
        market = ids[0].split(".")[0].lower()
        days = bars["session_date"].unique().sort().to_list()
        rows = bars.with_columns(pl.lit(0, pl.Int32).alias("revision"), pl.lit("h").alias("row_hash"))
        return build_bars(
            rows,
            listed,
            calendar(market),
            freq=freq,
            sessions=days,
            now=NOW,
            **options,  # type: ignore[arg-type]
        )

    return run


def of(result: BarsResult, instrument: str, day: date) -> Cells:
    rows = result.bars.filter((pl.col("instrument_id") == instrument) & (pl.col("session_date") == day))
    return rows.row(0, named=True)


@pytest.mark.parametrize("factor", [100.0, 0.01, 10.0])
def test_a_session_in_other_units_is_refused_and_becomes_a_hole(
    make_bars: Make, build: Callable[..., BarsResult], factor: float
) -> None:
    bars = make_bars([A, B], "1d", START, END)
    day = date(2024, 1, 9)
    volume = bars.filter((pl.col("instrument_id") == A) & (pl.col("session_date") == day))["volume"].item()
    result = build(with_cells(bars, A, day, volume=volume * factor))
    assert result.rejects["rule"].to_list() == ["units"]
    row = of(result, A, day)
    assert (row["status"], row["close"], row["volume"]) == ("source_hole", None, None)
    assert row["quality"] == ["quarantined"]
    assert of(result, B, day)["status"] == "traded"
    assert result.excluded.is_empty()


def test_a_switch_inside_a_session_costs_its_bars_only(
    make_bars: Make, build: Callable[..., BarsResult]
) -> None:
    day = date(2024, 1, 9)
    minutes = make_bars([A], "1m", day, day + timedelta(days=1))
    late = pl.int_range(pl.len()) >= 230
    switched = minutes.with_columns(pl.when(late).then(pl.col("volume") / 100).otherwise("volume"))
    result = build(switched, [A], freq="1m")
    assert result.rejects["ts_open"].to_list() == minutes["ts_open"][230:].to_list()
    early = minutes.with_columns(
        pl.when(~late).then(pl.col("volume") / 100).otherwise("volume"),
        pl.when(late).then(None).otherwise("amount").alias("amount"),
    )
    assert build(early, [A], freq="1m").rejects.height == 240


def test_units_are_not_judged_on_adjusted_prices_or_an_index(
    make_bars: Make, build: Callable[..., BarsResult]
) -> None:
    forward = make_bars([A], "1d", START, END).with_columns(
        pl.lit("forward").alias("price_basis"), pl.col("amount") * 30
    )
    assert build(forward, [A]).rejects.is_empty()
    index = make_bars([INDEX], "1d", START, END).with_columns(pl.col("amount") * 3000)
    assert build(index, [INDEX]).rejects.is_empty()


def test_the_previous_close_is_the_last_one_and_sets_the_limits(
    make_bars: Make, build: Callable[..., BarsResult]
) -> None:
    bars = make_bars([A], "1d", START, END)
    bars = with_cells(bars, A, date(2024, 1, 8), open=10.0, high=10.1, low=9.9, close=10.05, amount=None)
    result = build(bars, [A])
    assert of(result, A, START)["prev_close"] is None
    row = of(result, A, date(2024, 1, 9))
    assert (row["prev_close"], row["limit_up"], row["limit_down"]) == (10.05, 11.06, 9.05)
    earlier = pl.DataFrame(
        {
            "instrument_id": [A],
            "session_date": [date(2023, 12, 29)],
            "close": [9.9],
            "price_basis": ["unadjusted"],
        }
    )
    assert of(build(bars, [A], previous_close=earlier), A, START)["prev_close"] == 9.9


def test_the_source_s_own_previous_close_wins(make_bars: Make, build: Callable[..., BarsResult]) -> None:
    bars = with_cells(make_bars([A], "1d", START, END), A, date(2024, 1, 9), prev_close=10.2)
    row = of(build(bars, [A]), A, date(2024, 1, 9))
    assert (row["prev_close"], row["limit_up"]) == (10.2, 11.22)


def test_a_suspension_is_bridged_and_an_action_on_it_counts(
    make_bars: Make, build: Callable[..., BarsResult]
) -> None:
    bars = make_bars([A, B], "1d", START, END)
    gone = [date(2024, 1, 9), date(2024, 1, 10)]
    bars = bars.filter(~((pl.col("instrument_id") == A) & pl.col("session_date").is_in(gone)))
    bars = with_cells(bars, A, date(2024, 1, 8), open=12.0, high=12.1, low=11.9, close=12.0, amount=None)
    bars = with_cells(bars, A, date(2024, 1, 11), open=10.0, high=10.1, low=9.9, close=10.0, amount=None)
    actions = pl.DataFrame(
        {"instrument_id": [A], "ex_date": [gone[1]], "kind": ["bonus"], "ratio": [0.2], "cash": [None]},
        schema_overrides={"cash": pl.Float64},
    )
    result = build(bars, actions=actions)
    assert [of(result, A, day)["close"] for day in gone] == [None, None]
    row = of(result, A, date(2024, 1, 11))
    assert (row["prev_close"], row["limit_up"], row["limit_down"]) == (10.0, 11.0, 9.0)
    assert of(result, A, date(2024, 1, 12))["prev_close"] == 10.0


def test_an_action_counts_on_its_own_day_only(make_bars: Make, build: Callable[..., BarsResult]) -> None:
    bars = make_bars([A], "1d", START, END)
    ex_day, following = date(2024, 1, 9), date(2024, 1, 10)
    bars = with_cells(bars, A, date(2024, 1, 8), open=12.0, high=12.1, low=11.9, close=12.0, amount=None)
    bars = with_cells(bars, A, ex_day, open=10.0, high=10.1, low=9.9, close=10.1, amount=None)
    actions = pl.DataFrame(
        {"instrument_id": [A], "ex_date": [ex_day], "kind": ["bonus"], "ratio": [0.2], "cash": [None]},
        schema_overrides={"cash": pl.Float64},
    )
    result = build(bars, [A], actions=actions)
    assert of(result, A, ex_day)["prev_close"] == 10.0
    assert of(result, A, following)["prev_close"] == 10.1
    forward = build(bars.with_columns(pl.lit("forward").alias("price_basis")), [A], actions=actions)
    assert of(forward, A, ex_day)["prev_close"] == 12.0


def test_a_bad_print_is_refused_and_an_unknown_reference_is_marked(
    make_bars: Make, build: Callable[..., BarsResult]
) -> None:
    bars = with_cells(make_bars([A, B], "1d", START, END), A, date(2024, 1, 9), high=14.0)
    result = build(bars)
    assert result.rejects["rule"].to_list() == ["price_limit"]
    assert of(result, A, date(2024, 1, 9))["status"] == "source_hole"
    split = with_cells(
        make_bars([A], "1d", START, END),
        A,
        date(2024, 1, 9),
        open=5.0,
        high=5.1,
        low=4.9,
        close=5.0,
        amount=None,
    )
    result = build(split, [A])
    assert result.rejects.is_empty()
    assert of(result, A, date(2024, 1, 9))["quality"] == ["beyond_limit"]
    cent_over = with_cells(make_bars([A], "1d", START, END), A, date(2024, 1, 9), prev_close=9.3, amount=None)
    assert build(cent_over, [A]).rejects.is_empty()


def test_limits_apply_to_unadjusted_shares_only(make_bars: Make, build: Callable[..., BarsResult]) -> None:
    forward = make_bars([A], "1d", START, END).with_columns(pl.lit("forward").alias("price_basis"))
    spiked = with_cells(forward, A, date(2024, 1, 9), high=40.0, close=30.0)
    result = build(spiked, [A])
    assert result.rejects.is_empty()
    assert result.bars["limit_up"].null_count() == result.bars.height
    index = build(make_bars([INDEX], "1d", START, END), [INDEX])
    assert index.bars["limit_up"].null_count() == index.bars.height
    hong_kong = build(make_bars(["HK.SEHK.00700"], "1d", START, END), ["HK.SEHK.00700"])
    assert hong_kong.bars["limit_up"].null_count() == hong_kong.bars.height
    assert hong_kong.bars["prev_close"].null_count() == 1


def test_first_days_have_no_limit(make_bars: Make, build: Callable[..., BarsResult]) -> None:
    result = build(make_bars([A], "1d", START, END), [A], facts={"valid_from": START, "listed_on": START})
    limits = result.bars["limit_up"].to_list()
    assert limits[:5] == [None] * 5
    assert all(limits[5:])


def test_tags_name_locks_ticks_and_repeats(make_bars: Make, build: Callable[..., BarsResult]) -> None:
    bars = make_bars([A], "1d", START, END)
    bars = with_cells(bars, A, date(2024, 1, 9), prev_close=10.0, open=11.0, high=11.0, low=11.0, close=11.0)
    bars = with_cells(bars, A, date(2024, 1, 10), prev_close=10.0, open=9.0, high=9.0, low=9.0, close=9.0)
    bars = with_cells(
        bars, A, date(2024, 1, 11), prev_close=10.0, open=10.0, high=10.1, low=9.9, close=10.005
    )
    result = build(bars.with_columns(pl.lit(None, pl.Float64).alias("amount")), [A])
    tags = [of(result, A, date(2024, 1, day))["quality"] for day in (8, 9, 10, 11)]
    assert tags == [[], ["limit_up_lock"], ["limit_down_lock"], ["off_tick"]]
    day = date(2024, 1, 9)
    minutes = make_bars([A], "1m", day, day + timedelta(days=1))
    repeated = minutes.with_columns(
        pl.col("open", "high", "low", "close", "volume", "amount").gather(pl.int_range(pl.len()).clip(0, 237))
    )
    stale = build(repeated, [A], freq="1m").bars["quality"].list.contains("stale").arg_true().to_list()
    assert stale == [238, 239]


def test_archived_knowledge_is_marked(make_bars: Make, build: Callable[..., BarsResult]) -> None:
    bars = make_bars([A], "1d", START, END).with_columns(pl.lit("assumed").alias("knowledge_kind"))
    assert set(build(bars, [A]).bars["quality"].explode()) == {"assumed_knowledge"}
