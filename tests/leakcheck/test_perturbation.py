from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nofx_pipelines.lake.schemas import CORPORATE_ACTIONS
from nofx_pipelines.leakcheck.perturbation import NEWCOMER, is_past, perturbed_actions, perturbed_bars

from .worlds import FIRST_DAY, daily, intraday, with_every_column

BARS = daily()
MINUTES = intraday(2, 6, 20)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(0, 119))
def test_the_past_keeps_its_bits_and_the_future_does_not(seed: int, session: int) -> None:
    cut = BARS["ts_close"].unique().sort()[session]
    other = perturbed_bars(BARS, cut, np.random.default_rng(seed))
    assert other.schema == BARS.schema
    assert other.filter(is_past(cut)).equals(BARS.filter(is_past(cut)))
    assert other.equals(other.sort("instrument_id", "ts_open"))
    assert not other.select("instrument_id", "ts_open").is_duplicated().any()
    both = BARS.filter(~is_past(cut)).join(other, on=["instrument_id", "ts_open"], suffix="_other")
    for name in ("open", "high", "low", "close", "volume", "amount"):
        assert both.filter(pl.col(name).eq_missing(pl.col(f"{name}_other"))).is_empty()


def test_the_future_gains_and_loses_rows_sessions_and_members() -> None:
    cut = BARS["ts_close"].unique().sort()[60]
    other = perturbed_bars(BARS, cut, np.random.default_rng(1))
    was, now = (frame.filter(~is_past(cut)) for frame in (BARS, other))
    listed = set(now["instrument_id"]) - set(was["instrument_id"])
    assert [name[-len(NEWCOMER) :] for name in listed] == [NEWCOMER]
    assert now["session_date"].max() > was["session_date"].max()  # type: ignore[operator]
    assert set(was["session_date"]) - set(now["session_date"])
    assert 0 < now.filter(status="suspended").height < len(now) / 5
    assert now.filter(status="suspended")["close"].null_count() == now.filter(status="suspended").height


def test_prices_keep_their_order_within_a_bar_and_reach_beyond_the_past() -> None:
    cut = BARS["ts_close"].unique().sort()[60]
    other = perturbed_bars(BARS, cut, np.random.default_rng(2)).filter(~is_past(cut), status="traded")
    assert other.filter((pl.col("high") < pl.col("close")) | (pl.col("low") > pl.col("close"))).is_empty()
    past = BARS.filter(is_past(cut))["close"]
    assert other["close"].max() > 2 * past.max()  # type: ignore[operator]
    assert other["close"].min() < past.min() / 2  # type: ignore[operator]


def test_every_number_of_a_bar_has_another_future() -> None:
    bars = with_every_column(BARS)
    cut = bars["ts_close"].unique().sort()[60]
    other = perturbed_bars(bars, cut, np.random.default_rng(4)).filter(~is_past(cut), status="traded")
    both = bars.join(other, on=["instrument_id", "ts_close"], suffix="_other")
    numbers = [name for name, dtype in bars.schema.items() if dtype == pl.Float64]
    assert {"funding_rate", "index_price", "limit_up", "taker_volume"} <= set(numbers)
    for name in numbers:
        assert both.filter(pl.col(name) == pl.col(f"{name}_other")).is_empty(), name


def test_a_cut_inside_a_session_splits_it() -> None:
    cut = MINUTES["ts_close"].unique().sort()[30]
    other = perturbed_bars(MINUTES, cut, np.random.default_rng(3))
    day = cut.date()
    assert other.filter(is_past(cut), session_date=day).equals(MINUTES.filter(is_past(cut), session_date=day))
    assert not other.filter(session_date=day).equals(MINUTES.filter(session_date=day))


def test_the_same_seed_gives_the_same_future() -> None:
    cut = BARS["ts_close"].unique().sort()[60]
    first, second, third = (perturbed_bars(BARS, cut, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert first.equals(second)
    assert not first.equals(third)


@pytest.mark.parametrize("session", [0, 60, 118, 119])
def test_actions_up_to_the_cut_stay(session: int) -> None:
    days = BARS["session_date"].unique().sort()
    actions = pl.DataFrame(
        {
            "instrument_id": ["I00"] * 3,
            "ex_date": [days[0], days[60], days[119]],
            "kind": ["bonus"] * 3,
            "source": "x",
        }
    )
    actions = pl.concat([pl.DataFrame(schema=CORPORATE_ACTIONS.columns), actions], how="diagonal")
    cut = BARS["ts_close"].unique().sort()[session]
    other = perturbed_actions(actions, BARS, cut, np.random.default_rng(0))
    assert other.schema == actions.schema
    known = pl.col("ex_date") <= days[session]
    assert other.filter(known).equals(actions.filter(known))
    added = other.filter(~known)
    assert (added.height == 8) == (session < 119)
    assert days[0] == FIRST_DAY
