"""From a training set and parameters to a model and its predictions, fold by fold.

A fold's model is fitted on its train and valid rows (parameters are chosen by then) and predicts its test.
The final model is fitted the same way on the last fold and predicts the hold-out once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from nofx_pipelines.engine import Engine, LocalEngine
from nofx_pipelines.models.dataset import Dataset, from_frames
from nofx_pipelines.models.families import family
from nofx_pipelines.models.family import FittedModel


@dataclass(frozen=True, eq=False)
class Trained:
    """A model and what it predicted on rows that it had not seen.

    ``hold_out``: predictions frame of the last fold's test. ``folds``: predictions frames of the earlier
    folds' tests, each by a model fitted on what lies before, with a leading column fold.
    """

    model: FittedModel
    hold_out: pl.DataFrame
    folds: pl.DataFrame
    rows: int
    """Rows that the final model was fitted on."""


@dataclass(frozen=True)
class Recipe:
    """What a model is fitted with; names and plain values only, so that it travels to another process."""

    family: str
    """By name, as ``nofx.toml`` writes it."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """JSON values; what is not named keeps the family's default."""
    seed: int = 0
    plugins: Path | None = None
    """The home's folder of plug-ins."""
    device: str = "cpu"

    def fit(self, data: Dataset) -> FittedModel:
        """Fit the family's model to ``data``; raises ConfigError for an unknown family or parameter."""
        return family(self.family, self.plugins).fit(data, self.params, self.seed, self.device)


def train_baseline(
    training_set: pl.DataFrame,
    folds: pl.DataFrame,
    *,
    engine: Engine | None = None,
    workers: int = 1,
) -> Trained:
    """Train the ridge that every candidate has to beat."""
    return train(training_set, folds, Recipe("ridge"), engine=engine, workers=workers)


def train(
    training_set: pl.DataFrame,
    folds: pl.DataFrame,
    recipe: Recipe,
    *,
    engine: Engine | None = None,
    workers: int = 1,
) -> Trained:
    """Train the model of a recipe, and one for each earlier fold's test.

    Parameters
    ----------
    training_set:
        Rows; its feature columns are what the model reads, for a network its window's.
    folds:
        Walk-forward folds; the last one's test is the hold-out.
    recipe:
        Family, parameters, seed.
    engine:
        Fits the folds' models side by side; the result is the same.
    workers:
        Processes of the engine.
    """
    last = last_fold(folds)
    of_fold = partial(_fold_predictions, training_set, folds, recipe)
    earlier = (engine or LocalEngine()).map(of_fold, range(last), seed=recipe.seed, workers=workers)
    development = from_frames(training_set, folds, last, "development")
    model = recipe.fit(development)
    hold_out = _predictions(model, training_set, folds, last)
    empty = hold_out.clear().select(pl.lit(None, dtype=pl.Int32).alias("fold"), pl.all())
    return Trained(model, hold_out, pl.concat([empty, *earlier]), len(development))


def train_final(training_set: pl.DataFrame, folds: pl.DataFrame, recipe: Recipe) -> FittedModel:
    """The final model alone, from what was recorded with it; nothing is predicted."""
    return recipe.fit(from_frames(training_set, folds, last_fold(folds), "development"))


def last_fold(folds: pl.DataFrame) -> int:
    """The fold whose test is the hold-out."""
    return int(folds["fold"].to_numpy().max())


def _fold_predictions(
    training_set: pl.DataFrame, folds: pl.DataFrame, recipe: Recipe, fold: int, _: int
) -> pl.DataFrame:
    """What a model fitted before a fold's test predicts there; the seed is the recipe's on every fold."""
    model = recipe.fit(from_frames(training_set, folds, fold, "development"))
    predictions = _predictions(model, training_set, folds, fold)
    return predictions.select(pl.lit(fold, dtype=pl.Int32).alias("fold"), pl.all())


def _predictions(
    model: FittedModel, training_set: pl.DataFrame, folds: pl.DataFrame, fold: int
) -> pl.DataFrame:
    test = from_frames(training_set, folds, fold, "test")
    return test.predictions(model.predict(test.x))
