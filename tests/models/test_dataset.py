from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.errors import ConfigError, NotEnoughData
from nofx_pipelines.labels.folds import rows
from nofx_pipelines.models.dataset import Dataset, from_frame, from_frames, thinned


def test_rows_come_in_time_order_whatever_the_frame_s_order(plant):
    frame, _ = plant(sessions=60)
    shuffled = from_frame(frame.sample(fraction=1.0, shuffle=True, seed=3))
    assert shuffled.fingerprint() == from_frame(frame).fingerprint()
    order = np.lexsort((shuffled.instrument_id, shuffled.ts_close))
    assert (order == np.arange(len(shuffled))).all()


def test_nulls_become_nan_and_values_keep_their_bits(plant):
    frame, _ = plant(sessions=60)
    data = from_frame(frame)
    gap = frame.sort("ts_close", "instrument_id")["gap"]
    assert (np.isnan(data.x[:, data.feature_names.index("gap")]) == gap.is_null().to_numpy()).all()
    assert gap.null_count() > 0
    assert data.y.tolist() == frame.sort("ts_close", "instrument_id")["forward_return"].to_list()


def test_roles_are_the_folds_rows_and_development_ends_before_the_test(plant):
    frame, folds = plant()
    last = folds["fold"].max()
    for role in ("train", "valid", "test"):
        assert len(from_frames(frame, folds, last, role)) == rows(frame, folds, last, role).height
    development = from_frames(frame, folds, last, "development")
    test = from_frames(frame, folds, last, "test")
    valid = from_frames(frame, folds, last, "valid")
    assert development.session_date.max() == valid.session_date.max() < test.session_date.min()
    assert development.session_date.min() == from_frames(frame, folds, last, "train").session_date.min()


def test_predictions_carry_the_keys_back(plant):
    frame, _ = plant(sessions=60)
    data = from_frame(frame)
    back = data.predictions(np.arange(len(data), dtype=np.float64))
    keys = ["instrument_id", "ts_close", "session_date", "forward_return"]
    assert back.select(keys).equals(frame.sort("ts_close", "instrument_id").select(keys))


def test_what_cannot_be_learned_from_is_refused(plant):
    frame, folds = plant(sessions=60)
    with pytest.raises(NotEnoughData, match="0 rows and 5 features"):
        from_frame(frame.clear())
    with pytest.raises(NotEnoughData, match="0 features"):
        from_frame(frame.drop("rank_a", "rank_b", "rank_c", "drift", "gap"))
    with pytest.raises(ConfigError, match="fold 9"):
        from_frames(frame, folds, 9, "train")


def test_the_fingerprint_sees_every_column(plant):
    frame, _ = plant(sessions=60)
    whole = from_frame(frame).fingerprint()
    for column in ("forward_return", "weight", "drift"):
        moved = frame.with_columns(
            pl.when(pl.int_range(pl.len()) == 5).then(9.0).otherwise(column).alias(column)
        )
        assert from_frame(moved).fingerprint() != whole


def test_thinning_leaves_whole_timestamps_at_even_distances():
    time = np.repeat(np.arange(100), 6)
    data = Dataset(
        x=np.zeros((600, 1)),
        y=np.zeros(600),
        weight=np.ones(600),
        ts_close=time.astype(np.int64) * 1_000_000,
        session_date=time.astype(np.int32),
        instrument_id=np.array([f"i{n}" for n in range(6)] * 100),
        feature_names=("a",),
    )
    kept = thinned(data, 150)
    assert len(kept) == 25 * 6
    assert np.unique(kept.session_date).tolist() == list(range(0, 100, 4))
    assert thinned(data, 600) is data
