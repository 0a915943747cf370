"""A lake in a temporary folder, and frames of labels to put into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from nofx_pipelines.lake.schemas import FEATURES, LABELS
from nofx_pipelines.lake.store import Lake

FIRST = date(2024, 1, 1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", backoff=(0.0, 0.0), sleep=lambda seconds: None)


@pytest.fixture
def days() -> list[date]:
    return [FIRST + timedelta(days=number) for number in range(40)]


def _labels(days: Sequence[date], weight: float = 1.0, instruments: int = 3) -> pl.DataFrame:
    rows = [
        {
            "instrument_id": f"CN.SSE.{number:06d}",
            "ts_close": datetime(day.year, day.month, day.day, 7, tzinfo=UTC),
            "horizon": 5,
            "session_date": day,
            "forward_return": number / 10 if number else None,
            "barrier": number % 3 - 1,
            "barrier_ts": None,
            "weight": weight,
            "known_at": None,
        }
        for day in days
        for number in range(instruments)
    ]
    return pl.DataFrame(rows, schema=LABELS.columns)


def _features(days: Sequence[date], **columns: float) -> pl.DataFrame:
    base = _labels(days).select("instrument_id", "ts_close", "session_date", version=pl.lit("v1"))
    return base.select(list(FEATURES.columns)).with_columns(**{k: pl.lit(v) for k, v in columns.items()})


@pytest.fixture
def labels() -> Callable[..., pl.DataFrame]:
    """``labels(days, weight=1.0, instruments=3)``: a frame of the labels table."""
    return _labels


@pytest.fixture
def features() -> Callable[..., pl.DataFrame]:
    """``features(days, name=value …)``: a frame of the features table, with constant features."""
    return _features
