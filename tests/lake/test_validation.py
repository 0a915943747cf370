from __future__ import annotations

import polars as pl
import pytest

from nofx_pipelines.errors import LakeError
from nofx_pipelines.lake.schemas import BARS, FEATURES, HPO_TRIALS, LABELS
from nofx_pipelines.lake.validation import conform


def refusal(frame: pl.DataFrame, schema=LABELS) -> str:
    with pytest.raises(LakeError) as raised:
        conform(frame, schema, "cn/labels")
    assert str(raised.value).startswith("cn/labels: ")
    assert "nothing was written" in str(raised.value)
    return str(raised.value)


def test_columns_come_back_in_the_schemas_order(labels, days):
    frame = labels(days[:1])
    assert conform(frame.select(frame.columns[::-1]), LABELS, "cn/labels").equals(frame)


def test_missing_extra_and_mistyped_columns_are_named(labels, days):
    frame = labels(days[:1])
    assert "column 'weight' is missing; it is Float64" in refusal(frame.drop("weight"))
    assert "column 'huh' is not in the schema" in refusal(frame.with_columns(huh=1.0))
    assert "column 'horizon' is Int64; it must be Int32" in refusal(frame.cast({"horizon": pl.Int64}))
    naive = frame.with_columns(pl.col("ts_close").dt.replace_time_zone(None))
    assert "column 'ts_close' is Datetime" in refusal(naive)


def test_the_first_bad_row_is_named(labels, days):
    frame = labels(days[:2])
    at = pl.int_range(pl.len()) == 4
    null = refusal(frame.with_columns(weight=pl.when(~at).then("weight")))
    assert "'weight' is null in 1 rows, the first is row 4 (instrument_id=CN.SSE.000001" in null
    nan = refusal(
        frame.with_columns(forward_return=pl.when(at).then(float("nan")).otherwise("forward_return"))
    )
    assert "'forward_return' is NaN in 1 rows, the first is row 4" in nan
    twice = refusal(pl.concat([frame, frame[4:5]]))
    assert "the key (instrument_id, ts_close, horizon) repeats in 2 rows, the first is row 4" in twice


def test_nan_is_found_inside_lists():
    frame = pl.DataFrame(
        {
            "study": ["s", "s"],
            "trial": [1, 2],
            "state": ["ok", "ok"],
            "values": [[1.0], [0.5, float("nan")]],
            "params": ["{}", "{}"],
            "seed": [1, 2],
            "fidelity": [None, None],
            "started": [None, None],
            "finished": [None, None],
            "seconds": [None, None],
            "worker": ["w", "w"],
            "family": ["gbdt", "gbdt"],
        },
        schema=HPO_TRIALS.columns,
    ).with_columns(started=pl.datetime(2024, 1, 1, time_zone="UTC"))
    assert "'values' is NaN in 1 rows, the first is row 1 (study=s, trial=2)" in refusal(frame, HPO_TRIALS)


def test_open_ended_tables_take_further_floats_only(features, days):
    frame = features(days[:1], sma_5=1.0, atr_14=2.0)
    assert conform(frame, FEATURES, "cn/features").columns[-2:] == ["atr_14", "sma_5"]
    assert "further columns must be Float64" in refusal(frame.cast({"sma_5": pl.Int64}), FEATURES)
    assert "further columns must be Float64" in refusal(frame.cast({"sma_5": pl.Float32}), FEATURES)


def test_an_empty_frame_is_fine():
    assert conform(pl.DataFrame(schema=BARS.columns), BARS, "cn/bars").height == 0
