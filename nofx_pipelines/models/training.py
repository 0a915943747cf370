"""From a training set and parameters to a model and its predictions, fold by fold.

A fold's model is fitted on its train and valid rows (parameters are chosen by then) and predicts its test.
The final model is fitted the same way on the last fold and predicts the hold-out once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from nofx_pipelines.engine import Engine, LocalEngine
from nofx_pipelines.errors import ConfigError
from nofx_pipelines.models.dataset import Dataset, from_frames
from nofx_pipelines.models.families import gbdt, ridge
from nofx_pipelines.models.families.gbdt import GbdtParams
from nofx_pipelines.models.families.ridge import RidgeParams
from nofx_pipelines.models.family import FittedModel

if TYPE_CHECKING:
    from nofx_pipelines.models.families.network import NetworkParams

FAMILIES = ("ridge", "gbdt", "network")


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
    """What a model is fitted with; small, so that it travels to another process."""

    family: str
    params: RidgeParams | GbdtParams | NetworkParams
    seed: int = 0

    def fit(self, data: Dataset) -> FittedModel:
        """Fit the family's model to ``data``."""
        if isinstance(self.params, RidgeParams):
            return ridge.fit(data, self.params)
        if isinstance(self.params, GbdtParams):
            return gbdt.fit(data, self.params, self.seed)
        from nofx_pipelines.models.families.network import train

        return train(data, self.params, self.seed)


def train_baseline(
    training_set: pl.DataFrame,
    folds: pl.DataFrame,
    *,
    params: RidgeParams | None = None,
    engine: Engine | None = None,
    workers: int = 1,
) -> Trained:
    """Train the ridge that every candidate has to beat."""
    return _train(training_set, folds, Recipe("ridge", params or RidgeParams()), engine, workers)


def train_candidate(
    training_set: pl.DataFrame,
    folds: pl.DataFrame,
    params: Mapping[str, Any],
    *,
    seed: int,
    family: str = "gbdt",
    engine: Engine | None = None,
    workers: int = 1,
) -> Trained:
    """Train the model of ``family`` with the parameters that a search found.

    For a network the feature columns of ``training_set`` are its window's. ``engine`` fits the folds' models
    side by side in ``workers`` processes; the result is the same.
    """
    return _train(training_set, folds, recipe_of(family, params, seed), engine, workers)


def train_final(
    training_set: pl.DataFrame, folds: pl.DataFrame, *, family: str, params: Mapping[str, Any], seed: int
) -> FittedModel:
    """The final model alone, from what was recorded with it; nothing is predicted.

    Raises ConfigError for a family that is not one of ``FAMILIES``.
    """
    data = from_frames(training_set, folds, last_fold(folds), "development")
    return recipe_of(family, params, seed).fit(data)


def recipe_of(family: str, params: Mapping[str, Any], seed: int) -> Recipe:
    """The recipe of a family from its recorded parameters; raises ConfigError for an unknown family."""
    if family == "ridge":
        return Recipe(family, RidgeParams(**params), seed)
    if family == "gbdt":
        return Recipe(family, gbdt_params(params), seed)
    if family == "network":
        from nofx_pipelines.models.families.network import NetworkParams

        return Recipe(family, NetworkParams.of(params), seed)
    raise ConfigError(f"model family {family!r} is not one of {', '.join(FAMILIES)}")


def gbdt_params(params: Mapping[str, Any]) -> GbdtParams:
    """Parameters by name; what is not named keeps its default. Raises ConfigError for an unknown name.

    >>> gbdt_params({"trees": 50}).trees
    50
    """
    try:
        return GbdtParams(**params)
    except TypeError as error:
        unknown = sorted(set(params) - set(GbdtParams.__dataclass_fields__))
        raise ConfigError(
            f"gradient boosting has no parameter {', '.join(unknown)}",
            hint=f"use {', '.join(GbdtParams.__dataclass_fields__)}",
        ) from error


def last_fold(folds: pl.DataFrame) -> int:
    """The fold whose test is the hold-out."""
    return int(folds["fold"].to_numpy().max())


def _train(
    training_set: pl.DataFrame, folds: pl.DataFrame, recipe: Recipe, engine: Engine | None, workers: int
) -> Trained:
    last = last_fold(folds)
    of_fold = partial(_fold_predictions, training_set, folds, recipe)
    earlier = (engine or LocalEngine()).map(of_fold, range(last), seed=recipe.seed, workers=workers)
    development = from_frames(training_set, folds, last, "development")
    model = recipe.fit(development)
    hold_out = _predictions(model, training_set, folds, last)
    empty = hold_out.clear().select(pl.lit(None, dtype=pl.Int32).alias("fold"), pl.all())
    return Trained(model, hold_out, pl.concat([empty, *earlier]), len(development))


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
