"""A live stream goes on from the batch: against a batch over the final bars, in a lake that has them all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features import feature_set
from nofx_pipelines.features.execution.refresh import refresh_features
from nofx_pipelines.features.online.mapped_store import MappedStore
from nofx_pipelines.features.online.refresh import newest_vectors
from nofx_pipelines.features.sets.registry import universe_features
from nofx_pipelines.features.streaming import state_file
from nofx_pipelines.features.streaming.continuation import (
    HandOver,
    LiveBars,
    hand_over,
    require_behind,
    rewound,
    still_continues,
)
from nofx_pipelines.features.streaming.dead_letters import DeadLetters
from nofx_pipelines.features.streaming.feeds.feeds import Position
from nofx_pipelines.features.streaming.serving import serve
from nofx_pipelines.features.streaming.stream import Stream
from nofx_pipelines.lake.schemas import CORPORATE_ACTIONS
from nofx_pipelines.lake.store import Lake
from tests.features.execution.test_refresh import FEED, FOREVER, UNIVERSE, table_bars

_LIVE = ("instrument_id", "ts_open", "ts_close", "session_date", "status", "open", "high", "low", "close")
_LIVE_COLUMNS = (*_LIVE, "volume", "amount")


def dividends(bars: pl.DataFrame, days: list[date], seed: int = 0) -> pl.DataFrame:
    """A dividend at each of the days, of changing instruments: its factor depends on the close before it."""
    names = bars["instrument_id"].unique().sort().to_list()
    rows = [
        {"instrument_id": names[(k + seed) % len(names)], "ex_date": day, "kind": "dividend", "cash": 1.0 + k}
        for k, day in enumerate(days)
    ]
    full = dict.fromkeys(CORPORATE_ACTIONS.columns)
    knowledge = {"source": "test", "knowledge_time": bars["knowledge_time"][0]}
    return pl.DataFrame([full | row | knowledge for row in rows], schema=CORPORATE_ACTIONS.columns)


def lake_with(path: Path, bars: pl.DataFrame, actions: pl.DataFrame) -> Lake:
    lake = Lake(path)
    if actions.height:
        lake.table("cn", "corporate_actions").overwrite(actions)
    commit(lake, bars)
    return lake


def commit(lake: Lake, bars: pl.DataFrame, universe: Any = UNIVERSE) -> None:
    first, last = bars["session_date"].min(), bars["session_date"].max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    lake.table(UNIVERSE.name, "bars").replace(first, last + timedelta(days=1), bars)
    compute_features(lake, universe)


def compute_features(lake: Lake, universe: Any = UNIVERSE) -> None:
    refresh_features(lake, universe, FEED, start=date(2000, 1, 1), end=FOREVER, run_id="r", code_version="v1")


def moments_of(bars: pl.DataFrame) -> list[pl.DataFrame]:
    """What a feed brings: unadjusted bars without the lake's own columns."""
    return bars.select(_LIVE_COLUMNS).sort("ts_close").partition_by("ts_close", maintain_order=True)


class Killed(Exception):
    """Nothing after it happens, as at SIGKILL."""


class Feed:
    """Moments with their numbers as positions; raises at ``ends_at``, as a kill does."""

    def __init__(self, moments: list[pl.DataFrame], ends_at: int | None = None) -> None:
        self.all, self.ends_at = moments, ends_at

    def moments(self, position: Position | None) -> Iterator[tuple[Position, pl.DataFrame]]:
        for k in range(0 if position is None else int(position["id"]) + 1, len(self.all)):
            if k == self.ends_at:
                raise Killed
            yield {"id": str(k)}, self.all[k]


def begin(lake: Lake, state: Path, store: MappedStore, universe: Any) -> tuple[Stream, Any, LiveBars, bool]:
    """As ``nofx stream`` begins."""
    base = hand_over(lake, universe)
    assert base is not None
    live = LiveBars(base, store.place)
    note = state_file.read(state)[0]["note"] if state.exists() else {}
    if note and still_continues(note, base):
        live.restore(note)
        stream = Stream.load(state, universe_features(universe))
        require_behind(store, stream, note)
        return stream, note["position"], live, True
    stream = base.stream()
    require_behind(store, stream, note)
    return stream, rewound(note, base) if note else None, live, False


def run(
    lake: Lake, feed: Feed, folder: Path, universe: Any = UNIVERSE, space: str = "", save_every: int = 3
) -> bool:
    """One run of a stream to its end or kill; whether it went on from its own file."""
    store, state = MappedStore(folder / f"s{space}.online"), folder / f"s{space}.stream"
    stream, position, live, own = begin(lake, state, store, universe)
    if not state.exists():
        stream.save(state, {**live.note(), "position": position})
    try:
        serve(stream, feed, store, state, position=position, save_every=save_every, prepare=live)
    except Killed:
        pass
    finally:
        store.close()
    return own


def differences(lake: Lake, folder: Path, universe: Any = UNIVERSE, space: str = "") -> int:
    """Bits of the store's vectors that are not those of the lake's newest, of instruments that it has."""
    wanted, names = newest_vectors(lake, universe), list(universe_features(universe).columns)
    with MappedStore(folder / f"s{space}.online") as store:
        known = store.entities()
        assert known
        wanted = wanted.filter(pl.col("instrument_id").is_in(known))
        got = store.get(wanted["instrument_id"].to_list(), names)
    assert got.event_time.tolist() == wanted["ts_close"].dt.epoch("us").to_list()
    want = wanted.select(pl.col(names).fill_null(np.nan)).to_numpy()
    assert not np.isnan(want).all()
    return int(
        (
            (want.view(np.uint64) != got.values.view(np.uint64)) & ~(np.isnan(want) & np.isnan(got.values))
        ).sum()
    )


def publish(lake: Lake, folder: Path, universe: Any) -> None:
    """What ``nofx run`` puts into the store after its features."""
    vectors, names = newest_vectors(lake, universe), list(universe_features(universe).columns)
    values = vectors.select(pl.col(names).fill_null(np.nan)).to_numpy()
    times = vectors["ts_close"].dt.epoch("us").to_numpy()
    with MappedStore(folder / "s.online") as store:
        store.put(vectors["instrument_id"].to_list(), times, vectors["version"][0], names, values)


def split_bars(n: int = 60) -> tuple[pl.DataFrame, pl.DataFrame, list[date]]:
    """A lake's bars, those that follow, and the days that follow."""
    bars = table_bars(n)
    days = bars["session_date"].unique().sort().to_list()
    return (
        bars.filter(pl.col("session_date") < days[-12]),
        bars.filter(pl.col("session_date") >= days[-12]),
        days[-12:],
    )


def test_a_stream_goes_on_from_the_lake_with_its_factors(tmp_path: Path) -> None:
    """Dividends before the hand-over, after its close, and after a close that is streamed."""
    past, coming, days = split_bars()
    actions = dividends(past, [days[0] - timedelta(days=9), days[0], days[5]])
    lake = lake_with(tmp_path / "lake", past, actions)
    run(lake, Feed(moments_of(coming)), tmp_path)
    commit(lake, coming)
    assert differences(lake, tmp_path) == 0


def test_without_the_factors_it_would_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    past, coming, days = split_bars()
    lake = lake_with(tmp_path / "lake", past, dividends(past, [days[5]]))
    monkeypatch.setattr(LiveBars, "_with_changed", lambda _, bars: bars)
    run(lake, Feed(moments_of(coming)), tmp_path)
    commit(lake, coming)
    assert differences(lake, tmp_path) > 0


def test_bars_that_the_lake_has_are_passed_over(tmp_path: Path) -> None:
    past, coming, days = split_bars()
    lake = lake_with(tmp_path / "lake", past, dividends(past, []))
    base = hand_over(lake, UNIVERSE)
    assert isinstance(base, HandOver)
    live = LiveBars(base, "s")
    assert live.bars(moments_of(past)[-1], None).is_empty()
    assert live.bars(moments_of(coming)[0], {"id": "3"}).height
    assert live.sessions == {days[0].isoformat(): {"id": "3"}}


def test_the_lakes_bars_after_the_stored_state_are_caught_up(tmp_path: Path) -> None:
    """The bars are ahead of the features: a run was stopped between the two."""
    past, coming, days = split_bars()
    lake = lake_with(tmp_path / "lake", past, dividends(past, [days[2]]))
    first = coming.filter(pl.col("session_date") < days[6])
    lake.table(UNIVERSE.name, "bars").replace(days[0], days[6], first)
    base = hand_over(lake, UNIVERSE)
    assert base is not None
    assert base.session == days[5]
    run(lake, Feed(moments_of(coming)), tmp_path)
    commit(lake, coming)
    assert differences(lake, tmp_path) == 0


def test_a_store_ahead_or_of_another_version_is_refused(tmp_path: Path) -> None:
    past, coming, _ = split_bars()
    lake = lake_with(tmp_path / "lake", past, dividends(past, []))
    run(lake, Feed(moments_of(coming)), tmp_path)
    (tmp_path / "s.stream").unlink()
    with pytest.raises(FeatureError, match=r"holds vectors up to .*, the stream stands at"):
        run(lake, Feed(moments_of(coming)), tmp_path)
    other = replace(UNIVERSE, features=("intraday",))
    with pytest.raises(FeatureError, match=r"holds version .*, the stream computes"):
        run(lake, Feed(moments_of(coming)), tmp_path, other)
    with MappedStore(tmp_path / "s.online") as store:
        assert store.version == feature_set("technical").version


def test_two_versions_serve_side_by_side(tmp_path: Path) -> None:
    past, coming, days = split_bars()
    lake = lake_with(tmp_path / "lake", past, dividends(past, [days[3]]))
    other = replace(UNIVERSE, features=("technical", "ta"))
    run(lake, Feed(moments_of(coming)), tmp_path)
    run(lake, Feed(moments_of(coming)), tmp_path, other, "next")
    commit(lake, coming)
    assert differences(lake, tmp_path) == 0
    compute_features(lake, other)
    assert differences(lake, tmp_path, other, "next") == 0


def session_with_faults(tmp_path: Path, seed: int) -> dict[str, int]:
    """Gaps, late and corrected bars, kills, batches meanwhile, a version change; counts of each."""
    rng = np.random.default_rng(seed)
    past, coming, days = split_bars()
    actions = dividends(past, [days[int(k)] for k in rng.choice(len(days), 3, replace=False)], seed)
    lake = lake_with(tmp_path / "lake", past, actions)
    final = coming.filter(pl.Series(rng.random(coming.height) > 0.1))  # gaps
    moments: list[pl.DataFrame] = []
    waiting: list[pl.DataFrame] = []
    counts = {"late": 0, "corrected": 0, "kills": 0, "batches": 0, "own": 0}
    for part in moments_of(final):
        is_late = rng.random(part.height) < 0.15
        is_wrong = ~is_late & (rng.random(part.height) < 0.15)
        wrong = pl.when(pl.Series(is_wrong)).then(pl.col("close") * 1.5).otherwise("close").alias("close")
        moments.append(part.with_columns(wrong).filter(pl.Series(~is_late)))
        counts["late"] += int(is_late.sum())
        counts["corrected"] += int(is_wrong.sum())
        moments += waiting
        waiting = [part.filter(pl.Series(is_late | is_wrong))]
    moments = [part for part in [*moments, *waiting] if part.height]
    kills = sorted(rng.choice(np.arange(1, len(moments)), 5, replace=False).tolist())
    universe: Any = UNIVERSE
    change = int(rng.integers(1, 5))
    for k, ends_at in enumerate([*kills, None]):
        if k == change:
            universe = replace(UNIVERSE, features=("technical", "ta"))
            (tmp_path / "s.online").unlink()  # nofx run publishes the new version
            compute_features(lake, universe)
        counts["own"] += run(lake, Feed(moments, ends_at), tmp_path, universe, "", int(rng.integers(1, 5)))
        counts["kills"] += 1
        base = hand_over(lake, universe)
        assert base is not None
        if rng.random() < 0.4 and ends_at is not None:  # a batch takes a session that is complete
            seen = {b["session_date"][0] for b in moments[: max(ends_at - 3, 0)]}
            whole = [d for d in days if d > base.session and d in seen][:-1]
            if whole:
                commit(lake, final.filter(pl.col("session_date").is_between(days[0], whole[0])), universe)
                publish(lake, tmp_path, universe)
                counts["batches"] += 1
    commit(lake, final, universe)
    assert differences(lake, tmp_path, universe) == 0
    return counts


def test_a_recorded_session_with_every_fault_equals_the_batch(tmp_path: Path) -> None:
    totals = dict.fromkeys(("late", "corrected", "kills", "batches", "own"), 0)
    for seed in range(3):
        folder = tmp_path / str(seed)
        for name, count in session_with_faults(folder, seed).items():
            totals[name] += count
    assert all(totals.values()), totals


@pytest.mark.slow
def test_many_recorded_sessions_equal_the_batch(tmp_path: Path) -> None:
    for seed in range(100, 140):
        session_with_faults(tmp_path / str(seed), seed)


def test_letters_are_counted_without_a_table() -> None:
    letters = DeadLetters()
    letters.add("1-0", {"a": 1}, "why")
    assert (letters.count, letters.last) == (1, "why")
