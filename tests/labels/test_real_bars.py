"""Labels of real minutes against the definition, row by row."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.config import FoldConfig, LabelConfig
from nofx_pipelines.labels.compute import compute_labels
from nofx_pipelines.labels.folds import rows, walk_forward
from nofx_pipelines.labels.windows import LabelWindows

from .strategies import LONG_AFTER


def minutes(
    path: Path, time_column: str, zone: str, per_session: int
) -> tuple[pl.DataFrame, LabelConfig, LabelWindows]:
    """End-labelled minutes as bars; one horizon within a session and beyond a break."""
    ts_close = pl.col(time_column).str.to_datetime(time_unit="us").dt.replace_time_zone(zone)
    bars = pl.read_csv(path).select(
        instrument_id=pl.lit("X"),
        ts_close=ts_close.dt.convert_time_zone("UTC"),
        session_date=ts_close.dt.date(),
        close=pl.col("close").cast(pl.Float64),
    )
    config = LabelConfig(horizon=30, sigma_bars=60, barrier_sigmas=1.0)
    return bars, config, LabelWindows.of(config, per_session)


@pytest.mark.parametrize(
    ("file", "time_column", "zone", "per_session"),
    [
        ("hk/HK.00700_1m.csv.gz", "time_key", "Asia/Hong_Kong", 331),
        ("crypto/nautilus_btc_perp_1m_2021-12-31_2022-02-01.csv.gz", "timestamp", "UTC", 1440),
    ],
)
def test_real_minutes(real_data: Path, file: str, time_column: str, zone: str, per_session: int) -> None:
    bars, config, windows = minutes(real_data / "market" / file, time_column, zone, per_session)
    labels = compute_labels(bars, config, known_until=LONG_AFTER, windows=windows)
    bars = bars.sort("ts_close")
    close, ts_close = bars["close"].to_list(), bars["ts_close"].to_list()
    assert labels["known_at"].null_count() == config.horizon
    for t in np.random.default_rng(0).integers(config.sigma_bars, len(close) - config.horizon, 300).tolist():
        found = labels.row(t, named=True)
        moves = [math.log(x / close[t]) for x in close[t + 1 : t + 1 + config.horizon]]
        assert found["forward_return"] == pytest.approx(moves[-1], abs=1e-15)
        sigma = statistics.stdev(math.log(b / a) for a, b in pairwise(close[t - config.sigma_bars : t + 1]))
        width = sigma * math.sqrt(config.horizon)
        touch = next((k for k, move in enumerate(moves) if abs(move) >= width), None)
        side = 0 if touch is None else int(math.copysign(1, moves[touch]))
        at = t + config.horizon if touch is None else t + 1 + touch
        assert (found["barrier"], found["barrier_ts"]) == (side, ts_close[at])
    assert {-1, 0, 1} <= set(labels["barrier"].drop_nulls())

    sessions = bars["session_date"].unique().sort().to_list()
    folds = walk_forward(sessions, FoldConfig(), horizon_sessions=windows.ahead, bars_per_session=per_session)
    for fold in range(5):
        parts = [rows(labels, folds, fold, role) for role in ("train", "valid", "test")]
        for earlier, later in pairwise(parts):
            assert earlier["known_at"].max() < later["ts_close"].min()  # type: ignore[operator]
