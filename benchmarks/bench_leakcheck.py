"""The leak check against the way of checking by truncation, and against one pass of the stages themselves.

    python -m benchmarks.bench_leakcheck

Ours perturbs everything after each of three cuts and compares all stages, two passes a cut. The truncation
way (freqtrade's lookahead-analysis) runs the same stages once on the whole history and once more on the
history cut at each bar that is asked about; here at as many cuts as ours, and at one a session.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from benchmarks.timing import machine_table, median_seconds
from nofx_pipelines.config import FeedConfig, SourceConfig, UniverseConfig
from nofx_pipelines.features import feature_set
from nofx_pipelines.lake.schemas import CORPORATE_ACTIONS
from nofx_pipelines.leakcheck.pipeline import check_universe, pipeline_stages
from nofx_pipelines.leakcheck.stage import World
from nofx_pipelines.market.bars import refresh_bars
from nofx_pipelines.market.ingest import ingest
from nofx_pipelines.market.sessions import calendar

START, END, NOW = date(2023, 1, 1), date(2026, 1, 1), datetime.fromisoformat("2026-06-01T00:00:00+00:00")
CUTS = 3


def simulated(folder: Path, universe: UniverseConfig) -> pl.DataFrame:
    """Three years of thirty simulated daily shares, from source to bars."""
    from nofx_pipelines.lake.store import Lake

    feed = FeedConfig("cn", "1d", (SourceConfig("simulated"),), START, END)
    lake = Lake(folder)
    ingest(lake, feed, start=START, end=END, now=NOW, run_id="bench", code_version="bench")
    refresh_bars(lake, universe, feed, start=START, end=END, now=NOW, run_id="bench", code_version="bench")
    return lake.table("cn", "bars").scan().collect()


def one_pass(bars: pl.DataFrame, universe: UniverseConfig) -> None:
    """The stages that the check runs, once."""
    trading, actions = calendar("cn"), pl.DataFrame(schema=CORPORATE_ACTIONS.columns)
    results: dict[str, pl.DataFrame] = {}
    last = bars["ts_close"].max()
    assert isinstance(last, datetime)
    world = World(bars, actions, last, as_was=results, results=results)
    stages = pipeline_stages(
        universe,
        feature_set(*universe.features),
        bars_per_session=trading.bars_per_session("1d"),
        bars_per_year=trading.bars_per_year("1d"),
    )
    for stage in stages:
        results[stage.name] = stage.compute(world)


def truncated(bars: pl.DataFrame, universe: UniverseConfig, days: Sequence[date]) -> None:
    """The whole history once, and once more up to each of ``days``."""
    one_pass(bars, universe)
    for day in days:
        one_pass(bars.filter(pl.col("session_date") <= day), universe)


def main() -> None:
    """Print the table."""
    universe = UniverseConfig("cn", "cn", "1d")
    with TemporaryDirectory() as folder:
        bars = simulated(Path(folder), universe)
    sessions = bars["session_date"].unique().sort()
    late = sessions[len(sessions) // 2 :].to_list()
    few = late[:: max(1, len(late) // CUTS)][:CUTS]
    single = median_seconds(lambda: one_pass(bars, universe))
    ours = median_seconds(lambda: check_universe(bars, universe, seed=7, cuts=CUTS))
    theirs = median_seconds(lambda: truncated(bars, universe, few), repeats=3)
    sample = late[:: max(1, len(late) // 12)]
    each = (median_seconds(lambda: truncated(bars, universe, sample), repeats=1) - single) / len(sample)
    every = single + each * len(sessions)
    rows = [
        ("one pass of the stages", f"{single:.2f}", f"{single / ours:.2f}x"),
        (f"leak check, {CUTS} cuts, every row before them", f"{ours:.2f}", "1.00x"),
        (f"truncation at {CUTS} cuts, last row of each only", f"{theirs:.2f}", f"{theirs / ours:.2f}x"),
        (f"truncation at each of {len(sessions)} sessions, from {len(sample)} of them", f"{every:.0f}",
         f"{every / ours:.0f}x"),
    ]  # fmt: skip
    print(machine_table(f"Leak check, {bars.height:,} daily bars", ("", "seconds", "to ours"), rows))


if __name__ == "__main__":
    main()
