"""The rows that a search may see."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.models.dataset import from_frame
from nofx_pipelines.search.fold_rows import study_rows


@pytest.fixture(scope="module")
def world(plant):
    return plant()


@pytest.fixture(scope="module")
def rows(world):
    return study_rows(*world)


def test_only_train_and_valid_rows_are_ever_seen(world, rows):
    frame, folds = world
    ends = folds.filter(pl.col("role") == "valid")["end"].max()
    data, _ = rows
    assert data.session_date.max() < (ends - pl.date(1970, 1, 1).pipe(pl.select).item()).days
    last = folds["fold"].max()
    start = folds.filter(fold=last, role="test")["start"].item()
    spoiled = frame.with_columns(
        pl.when(pl.col("session_date") < start).then("forward_return").otherwise(9.0).alias("forward_return")
    )
    assert study_rows(spoiled, folds)[0].fingerprint() == data.fingerprint()


def test_folds_are_the_table_s_rows_latest_first(world, rows):
    frame, folds = world
    days = from_frame(frame).session_date
    _, fold_rows = rows
    assert len(fold_rows) == 3
    for place, of_fold in enumerate(fold_rows):
        span = folds.filter(fold=2 - place).with_columns(pl.col("start", "end").to_physical())
        for role in ("train", "valid"):
            start, stop = getattr(of_fold, role)
            of_role = span.filter(role=role)
            inside = (days >= of_role["start"].item()) & (days < of_role["end"].item())
            assert np.flatnonzero(inside).tolist() == list(range(start, stop))
