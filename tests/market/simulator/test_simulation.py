"""The past does not depend on the end, on the chunks, or on where a read begins."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nofx_pipelines.market.sessions import calendar
from nofx_pipelines.market.simulator import frames
from nofx_pipelines.market.simulator.session import Plan
from nofx_pipelines.market.simulator.simulation import Simulation

START = date(2024, 3, 1)


def bars(market: str, freq: str, end: date, chunk_sessions: int | None = None) -> pl.DataFrame:
    plan = Plan(market, freq, START, 11, 5, signal=True, anomalies=True)
    trading = calendar(market)
    run = Simulation(plan, trading, trading.sessions(START, end), chunk_sessions=chunk_sessions)
    parts = [
        frames.bars_frame(run.chunk(i), run.market.model, run.market.roster, freq=freq, source="simulated")
        for i in range(run.chunks)
    ]
    return pl.concat(parts)


@pytest.fixture(scope="module")
def whole() -> dict[tuple[str, str], pl.DataFrame]:
    ends = {"1d": date(2024, 9, 1), "1h": date(2024, 4, 1)}
    return {
        (market, freq): bars(market, freq, end)
        for market in ("cn", "hk", "crypto")
        for freq, end in ends.items()
    }


@settings(max_examples=15, deadline=None)
@given(
    market=st.sampled_from(["cn", "hk", "crypto"]),
    freq=st.sampled_from(["1d", "1h"]),
    days=st.integers(5, 120),
    chunk=st.integers(1, 40),
)
def test_bars_up_to_a_session_depend_neither_on_the_end_nor_on_chunks(
    whole: dict[tuple[str, str], pl.DataFrame], market: str, freq: str, days: int, chunk: int
) -> None:
    end = START + timedelta(days=days if freq == "1d" else days % 25 + 4)
    shorter = bars(market, freq, end, chunk)
    assert shorter.equals(whole[market, freq].filter(pl.col("session_date") < end))


def test_reading_the_end_first_gives_the_same_bars(simulate: Any) -> None:
    end, start = date(2024, 12, 1), date(2023, 6, 1)
    parameters = {"market": "cn", "start": start, "end": end, "instruments": 8, "anomalies": True}
    late = simulate(**parameters, seed=31)
    tail = pl.concat([b.bars for b in late.batches(date(2024, 11, 1), end)])
    late_again = pl.concat([b.bars for b in late.batches(start, end)])
    other = simulate(**parameters, seed=31, now=datetime(2025, 6, 2, tzinfo=UTC))
    straight = pl.concat([b.bars for b in other.batches(start, end)])
    assert late_again.equals(straight)
    assert tail.equals(straight.filter(pl.col("session_date") >= date(2024, 11, 1)))


def test_another_seed_gives_another_market() -> None:
    trading = calendar("cn")
    sessions = trading.sessions(START, date(2024, 4, 1))
    closes = []
    for seed in (1, 2):
        run = Simulation(Plan("cn", "1d", START, 6, seed, signal=True, anomalies=False), trading, sessions)
        closes.append(run.chunk(0)[-1].bars.close)
    assert (closes[0] != closes[1]).all()


def test_chunks_of_minutes_stay_small_whatever_the_span() -> None:
    trading = calendar("crypto")
    sessions = trading.sessions(date(2022, 1, 1), date(2025, 1, 1))
    run = Simulation(
        Plan("crypto", "1m", date(2022, 1, 1), 30, 1, signal=True, anomalies=True), trading, sessions
    )
    (session,) = run.chunk(0)
    assert session.bars.close.shape == (1440, 30)
    assert run.chunks == len(sessions)
