"""One trial's worth: rank IC on the folds' valid rows, fold by fold, pruned when it falls behind.

Only train and valid rows are ever touched; no fold's test is.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.models import gbdt, ridge
from nofx_pipelines.models.dataset import Dataset, thinned
from nofx_pipelines.models.gbdt import GbdtParams
from nofx_pipelines.models.portfolio import target_weights
from nofx_pipelines.models.ridge import Ridge, RidgeParams
from nofx_pipelines.models.targets import MIN_CROSS_SECTION, group_ranks, training_target

Array = NDArray[np.float64]

RETURN_BLOCKS = 250
"""Returns kept of a fold."""
_ARRAYS = ("x", "y", "weight", "ts_close", "session_date", "instrument_id")


@dataclass(frozen=True)
class Trial:
    """What a worker is asked: parameters, and per fold the running mean below which it gives up."""

    number: int
    params: Mapping[str, Any]
    thresholds: tuple[float | None, ...]


@dataclass(frozen=True)
class Outcome:
    """What a worker answers; ``steps`` are the running means of the rank IC after each fold."""

    number: int
    state: str  # COMPLETE, PRUNED or FAIL
    steps: tuple[float, ...] = ()
    folds: int = 0
    rank_ic: float | None = None
    turnover: float | None = None
    sharpe: float | None = None
    """Of the top fifth's return over one horizon less that of all; not annualised, before costs."""
    returns: tuple[float, ...] = ()
    """Those returns, in time, averaged over blocks where they are many: how alike two trials are."""
    seconds: float = 0.0
    reason: str = ""
    worker: str = "local"

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @staticmethod
    def from_dict(found: Mapping[str, Any]) -> Outcome:
        """Restore what :meth:`as_dict` gave."""
        return Outcome(**{**found, "steps": tuple(found["steps"]), "returns": tuple(found["returns"])})


@dataclass(frozen=True)
class FoldRows:
    """Row ranges ``[start, stop)`` of one fold's train and valid in the study's rows."""

    train: tuple[int, int]
    valid: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Objective:
    """The rows, the folds in the order in which trials see them, and the seed of every fit."""

    data: Dataset
    folds: tuple[FoldRows, ...]
    seed: int
    row_budget: int = 25_000
    """Train rows a fold; above it, whole timestamps are left out at even distances."""
    _prepared: dict[tuple[int, bool, str], _Prepared] = field(default_factory=dict, repr=False)

    def evaluate(self, trial: Trial) -> Outcome:
        """Fit and score fold by fold; never raises, a failure is an outcome with its reason."""
        began = time.perf_counter()
        try:
            outcome = self._walk(trial)
        except Exception as error:  # noqa: BLE001  a bad trial stops alone
            outcome = Outcome(trial.number, "FAIL", reason=f"{type(error).__name__}: {str(error).strip()}")
        return replace(outcome, folds=len(self.folds), seconds=time.perf_counter() - began)

    def _walk(self, trial: Trial) -> Outcome:
        params = GbdtParams(**trial.params)
        scores: list[float] = []
        turnovers: list[float] = []
        sharpes: list[float] = []
        returns: list[Array] = []
        steps: list[float] = []
        for place, threshold in enumerate(trial.thresholds):
            prepared = self._prepare(place, params)
            score = prepared.score(params, self.seed)
            scores.append(prepared.rank_ic(score))
            turnovers.append(prepared.turnover(score))
            active = prepared.active_returns(score)
            sharpes.append(sharpe(active))
            returns.append(block_means(active, RETURN_BLOCKS))
            steps.append(float(np.mean(scores)))
            if threshold is not None and steps[-1] < threshold:
                return Outcome(trial.number, "PRUNED", tuple(steps), turnover=float(np.mean(turnovers)))
        return Outcome(
            trial.number,
            "COMPLETE",
            tuple(steps),
            rank_ic=steps[-1],
            turnover=float(np.mean(turnovers)),
            sharpe=float(np.mean(sharpes)),
            returns=tuple(np.concatenate(returns).tolist()),
        )

    def _prepare(self, place: int, params: GbdtParams) -> _Prepared:
        key = (place, params.crosses, params.target)
        if key not in self._prepared:
            fold = self.folds[place]
            train = thinned(self.data.take(slice(*fold.train)), self.row_budget)
            valid = self.data.take(slice(*fold.valid))
            self._prepared[key] = _Prepared(train, valid, params)
        return self._prepared[key]

    def save(self, folder: Path) -> None:
        """Write what :meth:`load` needs, for workers to map."""
        save_rows(folder, self.data, self.folds)
        np.save(folder / "settings.npy", np.array([self.seed, self.row_budget]))

    @staticmethod
    def load(folder: Path) -> Objective:
        """Map what :meth:`save` wrote."""
        data, folds = load_rows(folder)
        seed, row_budget = np.load(folder / "settings.npy", allow_pickle=False).tolist()
        return Objective(data, folds, seed, row_budget)


@dataclass(eq=False)
class _Prepared:
    """One fold's rows, binned once for all trials with the same crosses and target."""

    train: Dataset
    valid: Dataset
    like: GbdtParams

    @cached_property
    def crosses(self) -> tuple[tuple[int, int], ...]:
        return gbdt.crossed_pairs(self.train.feature_names) if self.like.crosses else ()

    @cached_property
    def target(self) -> Array:
        train = self.train
        return training_target(train.y, train.ts_close, train.instrument_id, self.like.target)

    @cached_property
    def rows(self) -> Any:
        return gbdt.binned(gbdt.design(self.train.x, self.crosses), self.target, self.train.weight)

    @cached_property
    def linear(self) -> Ridge:
        train, params = self.train, RidgeParams(target=self.like.target)
        return ridge.fit_target(train.x, self.target, train.weight, params, train.feature_names)

    def score(self, params: GbdtParams, seed: int) -> Array:
        text = gbdt.boost(self.rows, params, seed)
        return gbdt.Gbdt(text, self.linear, self.crosses, params, self.train.feature_names).predict(
            self.valid.x
        )

    def rank_ic(self, score: Array) -> float:
        return rank_ic(score, self.valid)

    def turnover(self, score: Array) -> float:
        return turnover(score, self.valid)

    def active_returns(self, score: Array) -> Array:
        return active_returns(score, self.valid)


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


def rank_ic(score: Array, data: Dataset) -> float:
    """Mean over timestamps of the rank IC across instruments; below five instruments, of that over time.

    What ``models.metrics`` computes in Polars, here in NumPy for small arrays; zero where it is undefined.
    """
    time_code, instrument = _codes(data.ts_close), _codes(data.instrument_id)
    crossed = instrument.max() + 1 >= MIN_CROSS_SECTION
    groups = time_code if crossed else instrument
    product, usable = _rank_products(score, data.y, groups, MIN_CROSS_SECTION if crossed else 2)
    if not usable.any():
        return 0.0
    sums = np.bincount(time_code[usable], weights=product[usable])
    counts = np.bincount(time_code[usable])
    return float((sums[counts > 0] / counts[counts > 0]).mean())


def _rank_products(
    left: Array, right: Array, groups: NDArray[np.int64], smallest: int
) -> tuple[Array, NDArray[np.bool_]]:
    """Per row, the product of standardised ranks (its group's mean is Spearman's coefficient)."""
    count = np.bincount(groups)
    ranks = [group_ranks(values, groups) - ((count + 1) / 2)[groups] for values in (left, right)]
    first, second = (np.bincount(groups, weights=values**2) / np.maximum(count, 1) for values in ranks)
    scale = np.sqrt(first * second)[groups]
    usable = (scale > 0) & (count >= smallest)[groups]
    return np.divide(ranks[0] * ranks[1], scale, out=np.zeros(len(left)), where=usable), usable


def turnover(score: Array, data: Dataset) -> float:
    """Mean one-way turnover a bar of the portfolio behind every Sharpe, before overlapping: 0 to 1.

    Long the top fifth by score with equal weights; below five instruments, long where it is positive.
    """
    weights = target_weights(_matrix(score, data), 1)
    if len(weights) < 2:
        return 0.0
    return float(0.5 * np.abs(np.diff(weights, axis=0)).sum(axis=1).mean())


def active_returns(score: Array, data: Dataset) -> Array:
    """``[T]``: what the portfolio earned over each timestamp's label horizon, less the passive one.

    The passive portfolio holds every instrument at equal weight (below five, cash), as in
    ``models.evaluation``.
    """
    scores, earned = _matrix(score, data), _matrix(np.expm1(data.y), data)
    alike = 1.0 if scores.shape[1] >= MIN_CROSS_SECTION else -1.0
    passive = target_weights(np.where(np.isfinite(scores), alike, np.nan), 1)
    weights = target_weights(scores, 1) - passive
    return np.asarray((weights * np.nan_to_num(earned)).sum(axis=1))


def sharpe(returns: Array) -> float:
    """Mean over standard deviation, zero where they never varied.

    How much it varies between trials is what a deflated Sharpe ratio needs.
    """
    spread = float(returns.std())
    return float(returns.mean()) / spread if spread > 0 else 0.0


def block_means(values: Array, blocks: int) -> Array:
    """Means of at most ``blocks`` neighbouring parts of nearly equal length.

    >>> block_means(np.arange(5.0), 2).tolist()
    [1.0, 3.5]
    """
    if len(values) <= blocks:
        return values
    return np.array([part.mean() for part in np.array_split(values, blocks)])


def _matrix(values: Array, data: Dataset) -> Array:
    """``[T, N]``, NaN where an instrument has no row."""
    time_code, instrument = _codes(data.ts_close), _codes(data.instrument_id)
    matrix = np.full((time_code.max() + 1, instrument.max() + 1), np.nan)
    matrix[time_code, instrument] = values
    return matrix


def _codes(values: NDArray[Any]) -> NDArray[np.int64]:
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def valid_folds(
    data: Dataset, spans: Sequence[tuple[tuple[int, int], tuple[int, int]]]
) -> tuple[FoldRows, ...]:
    """Folds given as session ranges in days since 1970, half-open, as row ranges."""
    return tuple(FoldRows(_between(data, train), _between(data, valid)) for train, valid in spans)


def _between(data: Dataset, span: tuple[int, int]) -> tuple[int, int]:
    start, stop = np.searchsorted(data.session_date, span)
    return int(start), int(stop)
