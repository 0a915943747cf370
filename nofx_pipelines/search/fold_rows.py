"""The rows that a search may see, cut into the train and valid rows of walk-forward folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from nofx_pipelines.errors import NotEnoughData
from nofx_pipelines.models.dataset import Dataset, from_frame

FOLDS_USED = 3
"""The latest folds, latest first: what is nearest to the hold-out decides first."""
ROW_BUDGET = 25_000
"""Train rows a fold; above it, whole timestamps are left out at even distances."""
_ARRAYS = ("x", "y", "weight", "ts_close", "session_date", "instrument_id")


@dataclass(frozen=True)
class FoldRows:
    """Row ranges ``[start, stop)`` of one fold's train and valid in the study's rows."""

    train: tuple[int, int]
    valid: tuple[int, int]


def study_rows(
    training_set: pl.DataFrame, folds: pl.DataFrame, folds_used: int = FOLDS_USED
) -> tuple[Dataset, tuple[FoldRows, ...]]:
    """The rows before the last fold's test and the folds that trials are measured on, latest first.

    Raises NotEnoughData where a fold has no train or valid rows.
    """
    ends = folds.filter(pl.col("role") == "valid")["end"]
    data = from_frame(training_set.filter(pl.col("session_date") < ends.max()))
    days = folds.with_columns(pl.col("start", "end").to_physical())
    spans = []
    for fold in sorted(folds["fold"].unique(), reverse=True)[:folds_used]:
        of_fold = days.filter(fold=fold).select("role", "start", "end")
        roles = {role: (start, end) for role, start, end in of_fold.iter_rows()}
        spans.append((roles["train"], roles["valid"]))
    fold_rows = valid_folds(data, spans)
    for place, rows in enumerate(fold_rows):
        if rows.train[0] >= rows.train[1] or rows.valid[0] >= rows.valid[1]:
            raise NotEnoughData(
                f"the fold {place} before last has {rows.train[1] - rows.train[0]} train and "
                f"{rows.valid[1] - rows.valid[0]} valid rows",
                kept="no trial was run",
                hint="ask for a longer history",
            )
    return data, fold_rows


def valid_folds(
    data: Dataset, spans: Sequence[tuple[tuple[int, int], tuple[int, int]]]
) -> tuple[FoldRows, ...]:
    """Folds given as session ranges in days since 1970, half-open, as row ranges."""
    return tuple(FoldRows(_between(data, train), _between(data, valid)) for train, valid in spans)


def _between(data: Dataset, span: tuple[int, int]) -> tuple[int, int]:
    start, stop = np.searchsorted(data.session_date, span)
    return int(start), int(stop)


def save_rows(folder: Path, data: Dataset, folds: Sequence[FoldRows]) -> None:
    """Write rows and folds as arrays that worker processes map."""
    for name in _ARRAYS:
        np.save(folder / f"{name}.npy", getattr(data, name), allow_pickle=False)
    np.save(folder / "folds.npy", np.array([[*f.train, *f.valid] for f in folds]))
    np.save(folder / "names.npy", np.array(data.feature_names))


def load_rows(folder: Path) -> tuple[Dataset, tuple[FoldRows, ...]]:
    """Map what ``save_rows`` wrote."""
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _ARRAYS}
    names = np.load(folder / "names.npy", allow_pickle=False)
    ranges = np.load(folder / "folds.npy", allow_pickle=False).tolist()
    data = Dataset(**arrays, feature_names=tuple(names.tolist()))
    return data, tuple(FoldRows((a, b), (c, d)) for a, b, c, d in ranges)
