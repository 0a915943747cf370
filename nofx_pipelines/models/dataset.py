"""Rows of a training set as arrays, the form in which models take them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nofx_pipelines.errors import NotEnoughData
from nofx_pipelines.labels.folds import rows
from nofx_pipelines.lake.schemas import TRAINING_SET, UTC_US

Array = NDArray[np.float64]

Rows = Literal["train", "valid", "test", "development"]
"""``development`` is everything from the train's start to the valid's end."""


@dataclass(frozen=True)
class Dataset:
    """Rows ordered by time, then instrument; NaN in ``x`` is a feature that is not known."""

    x: Array  # [N, F]
    y: Array  # [N] forward log return
    weight: Array  # [N]
    ts_close: NDArray[np.int64]  # [N] microseconds UTC
    session_date: NDArray[np.int32]  # [N] days since 1970-01-01
    instrument_id: NDArray[np.str_]  # [N]
    feature_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.y)

    def take(self, chosen: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Dataset:
        """The chosen rows, in their order."""
        return Dataset(
            self.x[chosen],
            self.y[chosen],
            self.weight[chosen],
            self.ts_close[chosen],
            self.session_date[chosen],
            self.instrument_id[chosen],
            self.feature_names,
        )

    def fingerprint(self) -> str:
        """SHA-256 of the feature names, keys and values, in row order."""
        sha = hashlib.sha256("\n".join(self.feature_names).encode())
        for values in (self.x, self.y, self.weight, self.ts_close, self.session_date):
            sha.update(np.ascontiguousarray(values).tobytes())
        sha.update("\n".join(self.instrument_id.tolist()).encode())
        return sha.hexdigest()

    def predictions(self, score: Array) -> pl.DataFrame:
        """A predictions frame: instrument_id, ts_close, session_date, score, forward_return."""
        return pl.DataFrame(
            {
                "instrument_id": self.instrument_id.tolist(),
                "ts_close": pl.Series(self.ts_close).cast(UTC_US),
                "session_date": pl.Series(self.session_date).cast(pl.Date),
                "score": score,
                "forward_return": self.y,
            },
            schema_overrides={"instrument_id": pl.String},
        )


def feature_columns(training_set: pl.DataFrame) -> tuple[str, ...]:
    """The feature columns of a training set: all that its schema does not name."""
    return tuple(name for name in training_set.columns if name not in TRAINING_SET.columns)


def from_frame(training_set: pl.DataFrame) -> Dataset:
    """All rows of a training set as arrays, oldest first; null features become NaN.

    Raises NotEnoughData when there are no rows or no feature columns.
    """
    names = feature_columns(training_set)
    if training_set.is_empty() or not names:
        raise NotEnoughData(
            f"a training set of {training_set.height} rows and {len(names)} features cannot be learned from",
            kept="no model was trained",
            hint="ask for a longer history, or for a feature set with scale-free features",
        )
    frame = training_set.sort("ts_close", "instrument_id")
    return Dataset(
        x=np.ascontiguousarray(
            frame.select(pl.col(names).cast(pl.Float64).fill_null(float("nan"))).to_numpy()
        ),
        y=_floats(frame["forward_return"]),
        weight=_floats(frame["weight"]),
        ts_close=frame["ts_close"].cast(UTC_US).to_physical().to_numpy(),
        session_date=frame["session_date"].to_physical().to_numpy(),
        instrument_id=np.asarray(frame["instrument_id"].to_list(), dtype=np.str_),
        feature_names=names,
    )


def from_frames(training_set: pl.DataFrame, folds: pl.DataFrame, fold: int, role: Rows) -> Dataset:
    """The rows of one role of one fold.

    ``development`` spans train and valid with the sessions between them: what a model may see before it
    is tested. Raises ConfigError for an unknown fold, NotEnoughData when no row is left.
    """
    if role != "development":
        return from_frame(rows(training_set, folds, fold, role))
    of_fold = folds.filter(pl.col("fold") == fold, pl.col("role").is_in(["train", "valid"]))
    start, end = of_fold["start"].min(), of_fold["end"].max()
    return from_frame(training_set.filter(pl.col("session_date") >= start, pl.col("session_date") < end))


def thinned(data: Dataset, budget: int) -> Dataset:
    """Every k-th timestamp, for at most about ``budget`` rows; neighbouring labels overlap anyway."""
    if len(data) <= budget:
        return data
    _, time_number = np.unique(data.ts_close, return_inverse=True)
    return data.take(time_number % -(-len(data) // budget) == 0)


def _floats(column: pl.Series) -> Array:
    return column.cast(pl.Float64).to_numpy()
