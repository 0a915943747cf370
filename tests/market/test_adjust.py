"""Adjustment against hand cases, published ex-reference arithmetic and real corporate actions."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines.market.adjust import action_factors, action_terms, adjusted, ex_reference

FIRST = date(2024, 1, 1)
Action = tuple[str, int, str, float | None, float | None]


def bars(
    closes: list[float | None], instrument: str = "CN.SSE.600000", basis: str = "unadjusted"
) -> pl.DataFrame:
    days = [FIRST + timedelta(days=n) for n in range(len(closes))]
    return pl.DataFrame(
        {
            "instrument_id": [instrument] * len(closes),
            "session_date": days,
            "ts_open": [datetime(d.year, d.month, d.day, 1, 30, tzinfo=UTC) for d in days],
            "close": closes,
            "volume": [1000.0] * len(closes),
            "amount": [7.0] * len(closes),
            "price_basis": [basis] * len(closes),
        },
        schema_overrides={"close": pl.Float64},
    )


def actions(*rows: Action) -> pl.DataFrame:
    return pl.DataFrame(
        [(name, FIRST + timedelta(days=day), kind, ratio, cash) for name, day, kind, ratio, cash in rows],
        schema={
            "instrument_id": pl.String,
            "ex_date": pl.Date,
            "kind": pl.String,
            "ratio": pl.Float64,
            "cash": pl.Float64,
        },
        orient="row",
    )


A = "CN.SSE.600000"


@pytest.mark.parametrize(
    ("acts", "close", "reference"),
    [
        ([(A, 1, "dividend", None, 0.5)], 10.0, 9.5),
        ([(A, 1, "bonus", 0.3, None)], 13.0, 10.0),
        ([(A, 1, "rights", 0.2, 5.0)], 11.0, 10.0),  # (11 + .2 * 5) / 1.2
        ([(A, 1, "split", 4.0, None)], 100.0, 25.0),
        ([(A, 1, "split", 0.1, None)], 1.5, 15.0),
        ([(A, 1, "dividend", None, 0.16), (A, 1, "bonus", 0.3, None)], 26.16, 20.0),
        ([(A, 1, "bonus", 0.3, None), (A, 1, "rights", 0.2, 5.0), (A, 1, "dividend", None, 1.0)], 15.0, 10.0),
    ],
)
def test_reference_prices_by_hand(acts: list[Action], close: float, reference: float) -> None:
    terms = action_terms(actions(*acts)).with_columns(pl.lit(close).alias("close"))
    assert terms.select(ex_reference(pl.col("close"))).item() == pytest.approx(reference, abs=1e-12)
    factor = action_factors(actions(*acts), bars([close, reference]))["factor"].item()
    assert factor == pytest.approx(close / reference, rel=1e-15)


def test_an_adjusted_ex_day_has_the_true_return_and_keeps_the_amount() -> None:
    frame = adjusted(bars([12.0, 10.0, 11.0]), actions((A, 1, "bonus", 0.2, None)))
    assert frame["close"].to_list() == pytest.approx([12.0, 12.0, 13.2])
    assert frame["volume"].to_list() == pytest.approx([1000.0, 1000.0 / 1.2, 1000.0 / 1.2])
    assert frame["amount"].to_list() == [7.0, 7.0, 7.0]


def test_factors_multiply_and_skip_days_without_a_trade() -> None:
    acts = actions((A, 2, "split", 2.0, None), (A, 4, "dividend", None, 1.0))
    frame = adjusted(bars([20.0, None, 10.0, 11.0, 10.0]), acts)
    assert frame["close"].to_list() == [20.0, None, 20.0, 22.0, pytest.approx(10 * 2 * 1.1)]


def test_forward_prices_and_other_instruments_stay() -> None:
    acts = actions((A, 1, "split", 2.0, None))
    forward = bars([10.0, 10.0], basis="forward")
    other = bars([10.0, 10.0], instrument="CN.SSE.600519")
    assert adjusted(forward, acts).equals(forward)
    assert adjusted(other, acts).equals(other)
    assert adjusted(other, acts.clear()).equals(other)


def test_an_action_before_the_history_or_above_the_price_has_no_factor() -> None:
    assert action_factors(actions((A, 0, "bonus", 0.5, None)), bars([10.0, 10.0])).is_empty()
    assert action_factors(actions((A, 1, "dividend", None, 10.0)), bars([10.0, 10.0])).is_empty()


def test_a_lazy_frame_stays_lazy_and_gives_the_same() -> None:
    acts = actions((A, 1, "bonus", 0.2, None))
    lazy = adjusted(bars([12.0, 10.0, 11.0]).lazy(), acts)
    assert isinstance(lazy, pl.LazyFrame)
    assert lazy.collect().equals(adjusted(bars([12.0, 10.0, 11.0]), acts))


ACTION = st.tuples(
    st.sampled_from([A, "CN.SSE.600519"]),
    st.integers(0, 30),
    st.sampled_from(["dividend", "bonus", "split"]),
    st.floats(0.1, 2.0),
    st.floats(0.01, 0.5),
)


@given(st.lists(ACTION, max_size=12, unique_by=lambda a: a[:3]), st.integers(1, 29))
def test_the_future_never_changes_the_past(acts: list[Action], cut: int) -> None:
    frame = pl.concat([bars([10.0 + n / 7 for n in range(31)], name) for name in (A, "CN.SSE.600519")])
    whole = adjusted(frame, actions(*acts))
    past = frame.filter(pl.col("session_date") < FIRST + timedelta(days=cut))
    known = [act for act in acts if act[1] < cut]
    assert adjusted(past, actions(*known)).equals(
        whole.filter(pl.col("session_date") < FIRST + timedelta(days=cut))
    )
    factors = action_factors(actions(*acts), frame)
    late = frame.filter(pl.col("session_date") >= FIRST + timedelta(days=cut))
    alone = adjusted(late, actions(*acts), factors)
    assert alone.equals(whole.filter(pl.col("session_date") >= FIRST + timedelta(days=cut)))


def test_real_actions_of_600000_explain_its_jumps(real_data: Path) -> None:
    """Raw closes fall by a quarter on ex-days of bonus shares; adjusted ones move like any other day."""
    folder = real_data / "market/ashare"
    raw = pl.read_csv(folder / "hikyuu_SH600000_1d.csv.gz", schema_overrides={"date": pl.String})
    frame = raw.select(
        pl.lit(A).alias("instrument_id"),
        pl.col("date").str.to_date("%Y%m%d").alias("session_date"),
        pl.col("close"),
        pl.lit("unadjusted").alias("price_basis"),
        pl.col("date").str.to_datetime("%Y%m%d").alias("ts_open"),
    )
    table = pl.read_csv(
        folder / "hikyuu_corporate_actions.csv.gz", schema_overrides={"date": pl.String}
    ).filter(pl.col("code") == "SH600000")
    day = pl.col("date").str.to_date("%Y%m%d").alias("ex_date")
    kinds = {
        "bonus": (
            (pl.col("countAsGift") + pl.col("countOfIncreasement")) / 100_000,
            pl.lit(None, pl.Float64),
        ),
        "rights": (pl.col("countForSell") / 100_000, pl.col("priceForSell") / 1000),
        "dividend": (pl.lit(None, pl.Float64), pl.col("bonus") / 10_000),
    }
    parts = [
        table.select(
            pl.lit(A).alias("instrument_id"),
            day,
            pl.lit(kind).alias("kind"),
            ratio.alias("ratio"),
            cash.alias("cash"),
        )
        for kind, (ratio, cash) in kinds.items()
    ]
    acts = pl.concat(parts).filter((pl.col("ratio").fill_null(0) > 0) | (pl.col("cash").fill_null(0) > 0))
    result = adjusted(frame, acts).with_columns((pl.col("close").log().diff()).alias("r"))
    raw_return = frame.with_columns(pl.col("close").log().diff().alias("r"))
    ex_days = [date(2008, 4, 24), date(2009, 6, 9), date(2010, 6, 10), date(2011, 6, 3), date(2002, 8, 22)]
    raw_moves = raw_return.filter(pl.col("session_date").is_in(ex_days))["r"].to_list()
    moves = result.filter(pl.col("session_date").is_in(ex_days))["r"].to_list()
    assert all(move < -0.15 for move in raw_moves)
    assert all(abs(move) < 0.106 for move in moves)
    assert result.filter(pl.col("session_date") < date(2000, 7, 6))["close"].equals(
        frame.filter(pl.col("session_date") < date(2000, 7, 6))["close"]
    )
