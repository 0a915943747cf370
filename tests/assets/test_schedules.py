"""What the sources revised is materialised again, one run a contiguous range."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import polars as pl

from assets.schedules import RANGE_END, RANGE_START, key_ranges, revision_schedule
from nofx_pipelines.market.revisions import revised_sessions
from tests.chain import Chain

SATURDAY = datetime(2025, 6, 7, 6, tzinfo=UTC)


def _fired(chain: Chain) -> list[dg.RunRequest] | dg.SkipReason:
    schedule = revision_schedule(chain.universe, chain.feed, chain.home, chain.config.lake)
    said = schedule(dg.build_schedule_context(scheduled_execution_time=SATURDAY))
    assert isinstance(said, (list, dg.SkipReason))
    return said


def _revise(chain: Chain, day: date) -> None:
    """One share of one session closes higher, as a new revision of its source bar."""
    source = chain.lake.table("cn", "source_bars_1d")
    bars = source.scan(start=day, end=day + timedelta(days=1)).collect()
    one = bars.filter(pl.col("high") > pl.col("close") * 1.001).sort("instrument_id").head(1)
    stamp = source.stamps()[day]
    source.append(
        one.with_columns(pl.col("close") * 1.001, revision=pl.col("revision") + 1, row_hash=pl.lit("x")),
        code_version=stamp.code_version,
        inputs={day: stamp.inputs},
    )


def test_nothing_revised_nothing_run(finished_chain: Chain) -> None:
    assert isinstance(_fired(finished_chain), dg.SkipReason)


def test_each_range_of_revised_sessions_is_a_run(chain: Chain) -> None:
    days = [day for day, stamp in chain.table("bars").stamps().items() if stamp.rows]
    chosen = [
        next(d for d in days if d >= first)
        for first in (date(2024, 3, 4), date(2024, 4, 8), date(2024, 9, 2))
    ]
    for day in chosen:
        _revise(chain, day)
    assert revised_sessions(chain.lake, chain.universe, chain.feed, chain.home, now=SATURDAY) == chosen
    requests = _fired(chain)
    assert isinstance(requests, list)
    spans = [(r.tags[RANGE_START], r.tags[RANGE_END]) for r in requests]
    assert spans == [("2024-03-01", "2024-04-01"), ("2024-09-01", "2024-09-01")]
    assert len({r.run_key for r in requests}) == 2
    chain.run(until="bars")
    assert isinstance(_fired(chain), dg.SkipReason)


def test_a_source_that_delivers_otherwise_makes_its_sessions_suspects(chain: Chain) -> None:
    (link,) = chain.feed.sources
    other = dataclasses.replace(chain.feed, sources=(dataclasses.replace(link, seed=8),))
    known = [day for day, stamp in chain.lake.table("cn", "source_bars_1d").stamps().items() if stamp.rows]
    found = revised_sessions(chain.lake, chain.universe, other, chain.home, now=SATURDAY)
    assert set(known) <= set(found)


def test_ranges_of_intraday_partitions_are_sessions(finished_chain: Chain) -> None:
    feed = dataclasses.replace(finished_chain.feed, freq="5m")
    days = [date(2024, 3, 4), date(2024, 3, 5), date(2024, 3, 7)]
    assert list(key_ranges(feed, days, SATURDAY)) == [
        ("2024-03-04", "2024-03-05"),
        ("2024-03-07", "2024-03-07"),
    ]
