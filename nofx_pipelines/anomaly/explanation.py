"""Why a bar scored: the loudest detector and channel, and the three features that say most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from nofx_pipelines.anomaly.conditioning import CHANNELS, FEATURES, NAMES, Conditioned
from nofx_pipelines.anomaly.detectors.protocol import Statistic
from nofx_pipelines.anomaly.detectors.registry import Detectors
from nofx_pipelines.anomaly.ensemble import Reference, Scores, statistics_of
from nofx_pipelines.anomaly.panel import Floats, Ints

SHOWN = 3
"""Features in an explanation."""
EXPECTED = 0.99
"""Share of ordinary bars within the expected interval."""
EXPLANATION: dict[str, Any] = {
    "feature": pl.String,
    "value": pl.Float64,
    "expected_low": pl.Float64,
    "expected_high": pl.Float64,
    "contribution": pl.Float64,
}
"""Fields of one feature of an explanation; ``contribution`` is its signed -log10 p."""


def vector_names(detectors: Detectors) -> tuple[str, ...]:
    """What a bar's vector holds: each feature's signed -log10 p, and that of each rule."""
    return (*NAMES, *(statistic.name for _, _, statistic in statistics_of(detectors) if statistic.rule))


def explain(
    reference: Reference,
    conditioned: Conditioned,
    scores: Scores,
    rows: pl.DataFrame,
    at: tuple[Ints, Ints, Ints],
) -> pl.DataFrame:
    """The evidence (ANOMALY_EVIDENCE) of some bars.

    Parameters
    ----------
    reference
        What the bars were scored against.
    conditioned
        Their sessions' features, what the reference explains included.
    scores
        Of the same sessions.
    rows
        The bars' keys: instrument_id, ts_close, session_date.
    at
        Session, slot and instrument of each of ``rows`` in ``scores``.
    """
    bars = _LoudBars.of(reference, conditioned, scores, at)
    schema: dict[str, Any] = {
        "score": pl.Float64,
        "channel": pl.String,
        "detector": pl.String,
        "rule": pl.String,
        "explanation": pl.List(pl.Struct(EXPLANATION)),
        "vector": pl.List(pl.Float64),
    }
    evidence = [bars.evidence(p) for p in range(rows.height)]
    return rows.hstack(pl.DataFrame(evidence, schema=schema, orient="row"))


@dataclass(frozen=True, eq=False)
class _LoudBars:
    """P bars, and what every detector says of them; unknown scores are 0."""

    reference: Reference
    statistics: tuple[tuple[str, int, Statistic], ...]
    """Rules first: of two equally loud ones a rule is the reason."""
    conditioned: Conditioned
    """``[F, P]``."""
    scores: Mapping[str, Floats]
    """``[K, P]`` by detector."""
    attributions: Mapping[str, Floats]
    """``[P, F]`` by detector, of those that attribute."""
    size: Floats
    """The largest -log10 p of each feature, ``[F, P]``; its own z's counts whatever detectors there are."""
    channel: Floats
    """``[C, P]``."""
    ensemble: Floats
    """``[P]``."""

    @classmethod
    def of(
        cls, reference: Reference, conditioned: Conditioned, scores: Scores, at: tuple[Ints, Ints, Ints]
    ) -> _LoudBars:
        cells = (slice(None), *at)
        cubes = (conditioned.value, conditioned.center, conditioned.scale, conditioned.recent)
        own = Conditioned(*(cube[cells] for cube in cubes))
        by_detector = {name: np.nan_to_num(cube[cells]) for name, cube in scores.by_detector.items()}
        fits = {name: member.fitted for name, member in reference.members.items()}
        attributions = (
            {name: fitted.attribution(own.z) for name, fitted in fits.items()} if len(at[0]) else {}
        )
        statistics = tuple(statistics_of(reference.detectors))
        return cls(
            reference=reference,
            statistics=tuple(sorted(statistics, key=lambda item: not item[2].rule)),
            conditioned=own,
            scores=by_detector,
            attributions={name: share for name, share in attributions.items() if share is not None},
            size=_sizes(reference, own.z, statistics, by_detector),
            channel=np.nan_to_num(scores.channel[cells]),
            ensemble=scores.ensemble[at],
        )

    def evidence(self, p: int) -> tuple[Any, ...]:
        """One bar's row: score, channel, detector, rule, explanation, vector."""
        channel, detector, statistic, order = self._loudest_statistic(p)
        sign = np.sign(np.nan_to_num(self.conditioned.z[:, p]))
        rules = [(name, k, s.name) for name, k, s in self.statistics if s.rule]
        own = [(self.scores[name][k, p], rule) for name, k, rule in rules if name == detector]
        return (
            float(self.ensemble[p]),
            channel,
            detector,
            max(own, key=lambda pair: pair[0])[1] if statistic.rule else None,
            [self._line(p, int(f), float(sign[f] * self.size[f, p])) for f in order[:SHOWN]],
            [*(sign * self.size[:, p]).tolist(), *(float(self.scores[name][k, p]) for name, k, _ in rules)],
        )

    def _loudest_statistic(self, p: int) -> tuple[str, str, Statistic, Ints]:
        """Channel, detector and statistic that speak loudest, and the features by what they say."""
        order = np.argsort(-self.size[:, p], kind="stable")
        of_the_bar = [item for item in self.statistics if item[2].channel is None]
        loudest = max(of_the_bar, key=lambda item: self._score(item, p), default=None)
        if loudest is not None and self._score(loudest, p) > self.channel[:, p].max():
            name, _, statistic = loudest
            if name in self.attributions:
                order = np.argsort(-self.attributions[name][p], kind="stable")
            return FEATURES[int(order[0])].channel, name, statistic, order
        channel = CHANNELS[int(self.channel[:, p].argmax())]
        in_channel = [item for item in self.statistics if item[2].channel == channel]
        name, _, statistic = max(in_channel, key=lambda item: self._score(item, p))
        return channel, name, statistic, order

    def _score(self, item: tuple[str, int, Statistic], p: int) -> float:
        return float(self.scores[item[0]][item[1], p])

    def _line(self, p: int, f: int, contribution: float) -> dict[str, Any]:
        """One feature of an explanation: its value, where it was expected, and how much it says."""
        cubes = (self.conditioned.value, self.conditioned.center, self.conditioned.scale)
        value, center, scale = (float(cube[f, p]) for cube in cubes)
        tail = self.reference.expected[f]
        reach = tail.quantile(-np.log10(1 - EXPECTED)) if tail is not None else 0.0
        ends = (value, center - reach * scale, center + reach * scale)
        shown = [number if np.isfinite(number) else None for number in ends]
        return {
            "feature": NAMES[f],
            "value": shown[0],
            "expected_low": shown[1],
            "expected_high": shown[2],
            "contribution": contribution,
        }


def _sizes(
    reference: Reference,
    z: Floats,
    statistics: tuple[tuple[str, int, Statistic], ...],
    scores: Mapping[str, Floats],
) -> Floats:
    """The largest -log10 p of each feature ``[F, P]``: its own |z|'s, and what detectors say of it."""
    sizes = []
    for f, name in enumerate(NAMES):
        tail = reference.expected[f]
        own = np.zeros(z.shape[1]) if tail is None else np.nan_to_num(tail.score(np.abs(z[f])))
        heard = [scores[detector][k] for detector, k, s in statistics if s.feature == name]
        sizes.append(np.max([own, *heard], axis=0))
    return np.stack(sizes)
