"""A served stream: from a replay and a real Redis, killed on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.cli.stream import _Stoppable
from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features import compute, feature_set
from nofx_pipelines.features.online.mapped_store import MappedStore
from nofx_pipelines.features.online.store import OnlineStore
from nofx_pipelines.features.streaming.dead_letters import FILE, DeadLetters, stored_letters
from nofx_pipelines.features.streaming.feeds.feeds import RedisFeed, Replay, bars_frame
from nofx_pipelines.features.streaming.serving import serve
from nofx_pipelines.features.streaming.stream import Stream
from tests.features.worlds import YEAR, random_bars

SET = feature_set("technical")


def bars_of(sessions: int = 120) -> pl.DataFrame:
    bars = random_bars(5, sessions, suspended=0.1)
    return bars.with_columns(ts_open=pl.col("ts_close") - pl.duration(minutes=1)).drop("sector")


def last_vectors(bars: pl.DataFrame) -> pl.DataFrame:
    frame = compute(bars, SET, bars_per_year=YEAR).frame
    return frame.sort("ts_close").group_by("instrument_id").last().sort("instrument_id")


def assert_store_holds(store: OnlineStore, wanted: pl.DataFrame) -> None:
    found = store.get(wanted["instrument_id"].to_list(), list(SET.columns))
    expected = wanted.select(pl.col(SET.columns).fill_null(np.nan)).to_numpy()
    np.testing.assert_array_equal(found.values, expected)
    np.testing.assert_array_equal(found.event_time, wanted["ts_close"].dt.epoch("us").to_numpy())


def test_a_replay_ends_where_the_batch_does(tmp_path: Path) -> None:
    bars, store = bars_of(), MappedStore(tmp_path / "f.online")
    stream = Stream(SET, [], bars_per_year=YEAR)
    done = serve(stream, Replay(bars), store, tmp_path / "s.stream", save_every=7)
    assert done.moments == bars["ts_close"].n_unique()
    assert done.bars == bars.height
    assert 0 < done.percentile(50) <= done.percentile(99)
    assert_store_holds(store, last_vectors(bars))


def test_a_stopped_replay_goes_on(tmp_path: Path) -> None:
    bars, store, state = bars_of(), MappedStore(tmp_path / "f.online"), tmp_path / "s.stream"
    serve(Stream(SET, [], bars_per_year=YEAR), Replay(bars), store, state, moments=50, save_every=100)
    again = Stream.load(state)
    done = serve(again, Replay(bars), store, state, position=again.note["position"])
    assert done.moments == bars["ts_close"].n_unique() - 50
    assert_store_holds(store, last_vectors(bars))


def run_command(home: Path, path: Path, *more: str) -> list[str]:
    stream = ["stream", "--home", str(home), "--bars", str(path), "--set", "technical"]
    return [sys.executable, "-m", "nofx_pipelines.cli", *stream, "--save-every", "20", *more]


def test_killed_it_loses_nothing_and_counts_nothing_twice(tmp_path: Path) -> None:
    """SIGKILL somewhere between two saves; the next run's file and store are those of a run without it."""
    bars, path = bars_of(2_500), tmp_path / "bars.parquet"
    bars.write_parquet(path)
    state = tmp_path / "killed" / "s.stream"
    victim = subprocess.Popen(
        run_command(tmp_path / "killed", path, "--state", str(state)), stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and not (state.exists() and Stream.load(state).note["position"]):
        time.sleep(0.01)
    time.sleep(0.3)
    assert victim.poll() is None, "it must be killed while it works"
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    position = Stream.load(state).note["position"]
    assert position["ts_close_us"] < int(bars["ts_close"].max().timestamp() * 1e6)  # type: ignore[union-attr]
    for home, own in (("killed", state), ("whole", tmp_path / "whole" / "s.stream")):
        run = subprocess.run(
            run_command(tmp_path / home, path, "--state", str(own)), capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        assert ("going on from" in run.stdout) == (home == "killed")
    one, other = Stream.load(state), Stream.load(tmp_path / "whole" / "s.stream")
    np.testing.assert_array_equal(one.lanes.seen, other.lanes.seen)
    np.testing.assert_array_equal(one.state.values, other.state.values)
    for home in ("killed", "whole"):
        store = MappedStore(tmp_path / home / "online" / "stream" / "features.online")
        found = store.get(list(one.instruments), list(SET.columns))
        np.testing.assert_array_equal(
            found.values, one.values().select(pl.col(SET.columns).fill_null(np.nan)).to_numpy()
        )


def as_json(bars: pl.DataFrame) -> str:
    rows = bars.with_columns(
        pl.col("ts_open", "ts_close").dt.epoch("us"), pl.col("session_date").cast(pl.String)
    ).to_dicts()
    return json.dumps(rows)


def test_bars_from_redis_with_a_stop_between(tmp_path: Path, redis_client: Any) -> None:
    bars, store, state = bars_of(60), MappedStore(tmp_path / "f.online"), tmp_path / "s.stream"
    parts = bars.sort("ts_close").partition_by("ts_close", maintain_order=True)
    for part in parts:
        redis_client.xadd("bars", {"bars": as_json(part)})
    feed = RedisFeed(redis_client, "bars", idle_ms=100)
    serve(Stream(SET, [], bars_per_year=YEAR), feed, store, state, moments=21)
    again = Stream.load(state)
    done = serve(again, feed, store, state, position=again.note["position"])
    assert done.moments == len(parts) - 21
    assert_store_holds(store, last_vectors(bars))


def test_trades_from_redis_become_bars(tmp_path: Path, redis_client: Any) -> None:
    """Stopped in the middle of a bar: the open bar comes with the position."""
    rng, price = np.random.default_rng(0), 10.0
    for k in range(900):
        price *= float(np.exp(rng.normal(0, 0.001)))
        trade = {
            "instrument_id": "BTC",
            "ts": k * 7_000_000,
            "price": price,
            "size": float(rng.integers(1, 9)),
            "side": "buy",
        }
        redis_client.xadd("trades", {"trade": json.dumps(trade)})
    feed = RedisFeed(redis_client, "trades", idle_ms=100)
    whole, parts = MappedStore(tmp_path / "a.online"), MappedStore(tmp_path / "b.online")
    serve(Stream(SET, [], bars_per_year=YEAR), feed, whole, None)
    state = tmp_path / "s.stream"
    serve(Stream(SET, [], bars_per_year=YEAR), feed, parts, state, moments=40)
    again = Stream.load(state)
    assert again.note["position"]["open_bars"]["bars"]
    serve(again, feed, parts, state, position=again.note["position"])
    np.testing.assert_array_equal(whole.get(["BTC"]).values, parts.get(["BTC"]).values)
    assert not np.isnan(whole.get(["BTC"], ["close_to_sma_60"]).values).any()


def test_entries_that_cannot_be_taken_are_dead_letters_and_the_stream_goes_on(
    tmp_path: Path, redis_client: Any
) -> None:
    """Also the last entry: the saved position is past it, so that it is not read again."""
    bars, store, state = bars_of(9), MappedStore(tmp_path / "f.online"), tmp_path / "s.stream"
    parts = bars.sort("ts_close").partition_by("ts_close", maintain_order=True)
    bad = [{"price": "1"}, {"bars": "{"}, {"bars": '[{"close": 1}]'}, {"trade": "[]"}, {"bars": "7"}]
    for k, part in enumerate(parts):
        redis_client.xadd("bars", {"bars": as_json(part)})
        redis_client.xadd("bars", bad[k % len(bad)])
    letters = DeadLetters(tmp_path / FILE, "test", now_us=lambda: 7)
    feed = RedisFeed(redis_client, "bars", idle_ms=100, letters=letters)
    done = serve(Stream(SET, [], bars_per_year=YEAR), feed, store, state, letters=letters)
    assert (done.moments, done.refused) == (len(parts), len(parts))
    assert_store_holds(store, last_vectors(bars))
    kept = Stream.load(state)
    last = redis_client.xrevrange("bars", count=1)[0][0].decode()
    assert kept.note["position"]["id"] == last
    again = serve(kept, feed, store, state, position=kept.note["position"])
    assert again.moments == 0
    rows = stored_letters(tmp_path / FILE)
    assert rows["entry"].n_unique() == len(parts)
    assert rows["refused_at_us"].unique().to_list() == [7]
    said = " ".join(rows["reason"])
    for reason in ("neither bars nor a trade", "not JSON", "lacks instrument_id", "is list", "are int"):
        assert reason in said


def test_a_correction_that_is_too_old_is_a_dead_letter(tmp_path: Path) -> None:
    """As an instrument's only bar, and among others of its moment, which are taken."""
    bars = bars_of(1_100)
    parts = bars.sort("ts_close").partition_by("ts_close", maintain_order=True)
    old = parts[2].with_columns(pl.col("close") * 2)
    mixed = pl.concat([parts[1_000], old.head(1)])
    moments = [*parts[:1_000], mixed, old, *parts[1_001:]]

    class Feed:
        def moments(self, position: Any) -> Any:
            yield from (({"id": str(k)}, part) for k, part in enumerate(moments))

    letters, store = DeadLetters(tmp_path / FILE, "test"), MappedStore(tmp_path / "f.online")
    done = serve(Stream(SET, [], bars_per_year=YEAR), Feed(), store, tmp_path / "s.stream", letters=letters)
    traded = old.filter(pl.col("status") == "traded").height
    assert letters.count == traded + (old.head(1)["status"][0] == "traded")
    assert done.moments == len(moments)
    assert "older than what the stream keeps" in letters.last
    assert_store_holds(store, last_vectors(bars))


def test_bars_in_json_have_times_of_either_kind() -> None:
    bars = bars_of(3)
    numbers = json.loads(as_json(bars))
    texts = [
        row | {n: datetime.fromtimestamp(row[n] / 1e6, zone).isoformat() for n in ("ts_open", "ts_close")}
        for row, zone in zip(numbers, cycle([UTC, timezone(timedelta(hours=8))]))
    ]
    assert bars_frame(numbers).equals(bars_frame(texts))
    assert bars_frame(numbers).select(bars.columns).equals(bars)
    alone = [{n: row[n] for n in ("instrument_id", "ts_close", "close")} for row in texts]
    assert bars_frame(alone)["session_date"].equals(bars["ts_close"].dt.date().alias("session_date"))
    with pytest.raises(FeatureError, match="2025-01-02T07:00:00' has no offset"):
        bars_frame([{"instrument_id": "A", "ts_close": "2025-01-02T07:00:00", "close": 1.0}])


def reading(redis_client: Any, home: Path) -> tuple[list[str], dict[str, str]]:
    """The command that reads the server's bars, and its environment."""
    port = redis_client.connection_pool.connection_kwargs["port"]
    command = [
        sys.executable,
        "-m",
        "nofx_pipelines.cli",
        "stream",
        "--home",
        str(home),
        "--set",
        "technical",
    ]
    return [*command, "--source", "redis"], {**os.environ, "NOFX_REDIS_URL": f"redis://127.0.0.1:{port}/0"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_saves_and_says_what_was_done(
    tmp_path: Path, redis_client: Any, number: int
) -> None:
    """While it waits for the next entry, which it does without an end."""
    command, environment = reading(redis_client, tmp_path)
    bars, online = bars_of(7), tmp_path / "online" / "stream" / "features.online"
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    for part in bars.sort("ts_close").partition_by("ts_close", maintain_order=True):
        last = redis_client.xadd("bars", {"bars": as_json(part)}).decode()
    wanted = bars["ts_close"].dt.epoch("us").max()
    while not online.exists() or MappedStore(online).statistics()["newest_us"] < wanted:
        assert run.poll() is None
        time.sleep(0.05)
    time.sleep(0.3)  # it waits again
    run.send_signal(number)
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 0
    assert "moments                7" in said
    stream = Stream.load(tmp_path / "streams" / "bars.redis.stream")
    assert stream.note["position"]["id"] == last
    assert stream.lanes.seen.sum() == bars.filter(pl.col("status") == "traded").height


def test_asked_to_stop_in_a_moment_it_ends_after_it() -> None:
    bars, done = bars_of(9), []
    stoppable = _Stoppable(Replay(bars))
    for position, _ in stoppable.moments(None):
        done.append(position)
        if len(done) == 4:
            stoppable.stop(signal.SIGTERM, None)
    assert len(done) == 4
    with pytest.raises(KeyboardInterrupt):
        stoppable.stop(signal.SIGTERM, None)


def test_the_command_reads_redis(tmp_path: Path, redis_client: Any) -> None:
    bars = bars_of(40)
    for part in bars.sort("ts_close").partition_by("ts_close", maintain_order=True):
        redis_client.xadd("bars", {"bars": as_json(part)})
    command, environment = reading(redis_client, tmp_path)
    run = subprocess.run([*command, "--idle", "2"], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    assert "p99" in run.stdout
    store = MappedStore(tmp_path / "online" / "stream" / "features.online")
    assert sorted(store.entities()) == sorted(bars["instrument_id"].unique())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "technical"], "whose features?"),
        (["--set", "technical", "--source", "kafka", "--bars", "x"], "no source 'kafka'"),
        (["--set", "nothing", "--bars", "x"], "feature set 'nothing' is none of"),
    ],
)
def test_what_cannot_be_streamed_is_said(tmp_path: Path, options: list[str], message: str) -> None:
    command = [sys.executable, "-m", "nofx_pipelines.cli", "stream", "--home", str(tmp_path), *options]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 2
    assert message in run.stderr
