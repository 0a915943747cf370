"""Isolation forest: fitted by scikit-learn, scored by a compiled walk over complete binary trees.

Scores equal ``-IsolationForest.score_samples`` (Liu, Ting & Zhou 2008). Each tree is stored as a heap: the
children of node k are 2k + 1 and 2k + 2, and a branch that ended early is filled up with splits that
everything passes on the left. So a row takes the same number of steps in every tree, without a branch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nofx_pipelines.anomaly.detectors.protocol import BarWindow, Detector, Statistic
from nofx_pipelines.anomaly.panel import Bools, Floats, Ints
from nofx_pipelines.errors import NotEnoughData
from nofx_pipelines.kernel_cache import cached

TREES = 100
SAMPLES = 256
ROWS = 50_000
"""Reference rows that a forest is fitted on; it draws ``SAMPLES`` of them for each tree."""
_CLIP = 20.0
"""Standard deviations beyond which a feature is not read any farther."""
_EULER = 0.5772156649015329
_BLOCK = 512
"""Rows that walk a tree together, while it is in the cache."""


@dataclass(frozen=True, eq=False)
class Forest:
    """A fitted forest of ``T`` trees of ``levels`` levels; ``K`` = 2 ** levels - 1 inner nodes each."""

    feature: Ints
    """Feature that a node splits on, ``[T, K]``."""
    threshold: Floats
    """A row goes left when its value, as float32, is at most this (float32), ``[T, K]``."""
    split: Bools
    """False for the nodes that fill up an ended branch, ``[T, K]``."""
    expected: Floats
    """Path that the rows in a node still had to go in the fit, ``[T, 2 K + 1]``."""
    depth: Floats
    """Length of path for rows that end in each lowest node, ``[T, K + 1]``."""
    samples: int

    @property
    def levels(self) -> int:
        """Steps that a row takes in a tree."""
        return int(self.depth.shape[1]).bit_length() - 1

    @classmethod
    def fit(cls, rows: Floats, seed: int) -> Forest:
        """Fit on ``rows`` ``[R, F]`` without NaN; raises NotEnoughData for fewer than two rows."""
        from sklearn.ensemble import IsolationForest

        if len(rows) < 2:
            raise NotEnoughData(f"an isolation forest needs two rows, not {len(rows)}")
        samples = min(SAMPLES, len(rows))
        model = IsolationForest(n_estimators=TREES, max_samples=samples, random_state=seed, n_jobs=1)
        model.fit(rows)
        levels = max(1, math.ceil(math.log2(samples)))
        heaps = [_heap(estimator.tree_, levels) for estimator in model.estimators_]
        feature, threshold, split, expected, depth = (np.stack(parts) for parts in zip(*heaps, strict=True))
        return cls(feature, threshold, split, expected, depth, samples)

    def statistics(self, rows: Floats) -> Floats:
        """Isolation of each of ``rows`` ``[R, F]``, between 0 and 1; near .5 is ordinary."""
        total = _depths(_single(rows), self.feature, self.threshold, self.depth, self.levels)
        usual = len(self.depth) * average_path(np.array([self.samples]))[0]
        return np.asarray(np.power(2.0, -total / usual))

    def attribution(self, rows: Floats) -> Floats:
        """How much each feature shortened the path, ``[R, F]``, mean over trees.

        A split is credited with the expected length that it took away; the sum over features is the
        root's expected length less the path's. Positive marks what made the row easy to isolate.
        """
        credit = _credits(_single(rows), self.feature, self.threshold, self.split, self.expected, self.levels)
        return np.asarray(credit / len(self.depth))


class IsolationForestDetector:
    """Features that are odd together; the score belongs to the bar as a whole."""

    statistics: tuple[Statistic, ...] = (Statistic("isolation", type="contextual"),)

    def fit(self, bars: BarWindow, reference: slice, seed: int) -> FittedForest:
        """A forest of the reference's bars, thinned evenly to at most ``ROWS``."""
        z = bars.z[:, reference]
        rows = _rows(z[:, np.isfinite(z).any(axis=0)])
        return FittedForest(Forest.fit(rows[:: max(1, -(-len(rows) // ROWS))], seed))


@dataclass(frozen=True, eq=False)
class FittedForest:
    """A forest that scores bars."""

    forest: Forest

    def score(self, bars: BarWindow, span: slice) -> Floats:
        """Isolation ``[s, B, N]``, NaN where no feature is known."""
        z = bars.z[:, span]
        known = np.isfinite(z).any(axis=0)
        scores = np.full(known.shape, np.nan)
        scores[known] = self.forest.statistics(_rows(z[:, known]))
        return scores

    def parameters(self) -> dict[str, Any]:
        """The number of trees and of the rows that each has drawn; the trees are left out."""
        return {"trees": len(self.forest.depth), "samples": self.forest.samples}

    def attribution(self, z: Floats) -> Floats:
        """How much each feature of ``z`` ``[F, P]`` shortened the paths, ``[P, F]``."""
        return self.forest.attribution(_rows(z))


def _rows(z: Floats) -> Floats:
    """Bars ``[F, R]`` as rows ``[R, F]``; an unknown feature is an ordinary one."""
    return np.nan_to_num(np.clip(z.T, -_CLIP, _CLIP))


def average_path(count: Any) -> Floats:
    """Average length of an unsuccessful search among ``count`` rows in a binary tree.

    >>> [round(float(c), 4) for c in average_path(np.array([1, 2, 256]))]
    [0.0, 1.0, 10.2448]
    """
    n = np.asarray(count, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        long = 2.0 * (np.log(n - 1.0) + _EULER) - 2.0 * (n - 1.0) / n
    return np.where(n > 2, long, np.where(n == 2, 1.0, 0.0))


def _single(rows: Floats) -> Any:
    return np.ascontiguousarray(rows, dtype=np.float32)


def _heap(tree: Any, levels: int) -> tuple[Ints, Any, Bools, Floats, Floats]:
    """One of scikit-learn's trees as feature, threshold, split, expected and depth."""
    inner = 2**levels - 1
    node = np.zeros(2 * inner + 1, dtype=np.int64)  # of scikit-learn's, by place in the heap
    depth = np.zeros(2 * inner + 1)
    for level in range(levels):
        k = np.arange(2**level - 1, 2 ** (level + 1) - 1)
        splits = tree.children_left[node[k]] >= 0
        for child, side in ((2 * k + 1, tree.children_left), (2 * k + 2, tree.children_right)):
            node[child] = np.where(splits, side[node[k]], node[k])
            depth[child] = depth[k] + splits
    split = tree.children_left[node[:inner]] >= 0
    expected = average_path(tree.n_node_samples[node])
    single = tree.threshold[node[:inner]].astype(np.float32)
    above = single > tree.threshold[node[:inner]]
    single[above] = np.nextafter(single[above], np.float32(-np.inf))
    threshold = np.where(split, single, np.float32(np.inf)).astype(np.float32)
    feature = np.where(split, tree.feature[node[:inner]], 0).astype(np.int64)
    return feature, threshold, split, expected, (depth + expected)[inner:]


@cached(Path(__file__).parent, nogil=True)
def _depths(rows: Any, feature: Ints, threshold: Any, depth: Floats, levels: int) -> Floats:
    """Sum over trees of each row's path length."""
    total = np.zeros(len(rows))
    inner = feature.shape[1]
    place = np.zeros(_BLOCK, dtype=np.int64)
    for first in range(0, len(rows), _BLOCK):
        count = min(_BLOCK, len(rows) - first)
        for tree in range(len(feature)):
            place[:count] = 0
            for _ in range(levels):
                for r in range(count):
                    k = place[r]
                    place[r] = 2 * k + 1 + (rows[first + r, feature[tree, k]] > threshold[tree, k])
            for r in range(count):
                total[first + r] += depth[tree, place[r] - inner]
    return total


@cached(Path(__file__).parent, nogil=True)
def _credits(rows: Any, feature: Ints, threshold: Any, split: Bools, expected: Floats, levels: int) -> Floats:
    """Sum over trees of the length that each feature's splits took off each row's path."""
    total = np.zeros(rows.shape)
    for tree in range(len(feature)):
        for r in range(len(rows)):
            k = 0
            for _ in range(levels):
                if not split[tree, k]:
                    break
                f = feature[tree, k]
                child = 2 * k + 1 + (rows[r, f] > threshold[tree, k])
                total[r, f] += expected[tree, k] - 1.0 - expected[tree, child]
                k = child
    return total


DETECTOR: Detector = IsolationForestDetector()
