"""One score a bar out of all detectors: the loudest in each channel, the loudest channel, calibrated again.

Detectors that see the same channel do not add up, and different channels are sparse: the largest -log p is
what finds an anomaly that only one of them sees. Taking the largest of many is no p-value any more, so the
result is calibrated against the same maximum over the reference. Rules on the data itself stand beside: what
breaks one is wrong however ordinary the rest of the bar looks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nofx_pipelines.anomaly.calibration import SMALLEST, Tail
from nofx_pipelines.anomaly.conditioning import CHANNELS, FEATURES, NAMES, Conditioned, Explained
from nofx_pipelines.anomaly.detectors import ewma, robust_z
from nofx_pipelines.anomaly.detectors.isolation_forest import Forest
from nofx_pipelines.anomaly.detectors.rules import CHANNEL, RULES, RuleHits, RuleOdds, apply_rules
from nofx_pipelines.anomaly.panel import Bools, Floats, Panel
from nofx_pipelines.anomaly.windows import Tape

DETECTORS = ("robust_z", "ewma", "isolation_forest", "rules")
FOREST_ROWS = 50_000
"""Reference rows that a forest is fitted on; it draws 256 of them for each tree."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What detectors see in some sessions, before any p-value."""

    conditioned: Conditioned
    averages: Floats
    """EWMA of z, ``[F, S, B, N]``."""
    hits: RuleHits
    traded: Bools


@dataclass(frozen=True, eq=False)
class Scores:
    """-log10 p; NaN where nothing can be said."""

    feature: Floats
    """Of robust z and EWMA by feature, ``[2, F, S, B, N]``."""
    forest: Floats
    """``[S, B, N]``."""
    rule: Floats
    """``[R, S, B, N]``; 0 where a rule did not fire."""
    channel: Floats
    """The loudest z, average or rule in each of ``CHANNELS``, ``[C, S, B, N]``."""
    ensemble: Floats
    """``[S, B, N]``."""

    def detector(self, name: str) -> Floats:
        """The score of one of ``DETECTORS`` or of ``ensemble``, ``[S, B, N]``."""
        if name == "ensemble":
            return self.ensemble
        if name == "isolation_forest":
            return self.forest
        if name == "rules":
            return self.rule.max(axis=0)
        return _largest(self.feature[0 if name == "robust_z" else 1])


@dataclass(frozen=True, eq=False)
class Reference:
    """Everything that was learned from earlier sessions, frozen until the next refit."""

    explained: Explained
    tails: tuple[tuple[Tail | None, ...], ...]
    """By robust z and EWMA, by feature; None where a feature has no reference."""
    forest: Forest
    forest_tail: Tail
    odds: RuleOdds
    total: Tail

    @classmethod
    def fit(cls, raw: Conditioned, panel: Panel, tape: Tape, span: slice, seed: int) -> Reference:
        """Learn from the sessions ``span`` of the panel; raises NotEnoughData when they are too few."""
        explained = Explained.fit(raw.sessions(span.start, span.stop))
        seen = gather(explained, raw, panel, tape)
        part = cut(seen, span)
        z = part.conditioned.z
        tails = tuple(tuple(_tail(x) for x in statistic) for statistic in (z, part.averages))
        rows = forest_rows(z)
        forest = Forest.fit(rows[:: -(-len(rows) // FOREST_ROWS)], seed)
        odds = RuleOdds.fit(part.hits, part.traded)
        draft = cls(explained, tails, forest, Tail.fit(forest.statistics(rows)), odds, _FLAT)
        _, isolated, _, channel = draft._parts(part)
        total = Tail.fit(_loudest(channel, isolated, part.traded))
        return cls(explained, tails, forest, draft.forest_tail, odds, total)

    def parameters(self) -> dict[str, Any]:
        """What was fitted, in words and numbers, for a person to read; the bodies and trees are left out."""
        tails = {
            f"{detector} {name}": None if tail is None else tail.parameters()
            for detector, row in zip(("robust_z", "ewma"), self.tails, strict=True)
            for name, tail in zip(NAMES, row, strict=True)
        }
        return {
            "explained": asdict(self.explained),
            "tails": {
                **tails,
                "isolation_forest": self.forest_tail.parameters(),
                "ensemble": self.total.parameters(),
            },
            "rules": dict(zip(RULES, self.odds.rule, strict=True)),
            "forest": {"trees": len(self.forest.depth), "samples": self.forest.samples},
        }

    def score(self, seen: Evidence) -> Scores:
        """The scores of sessions that the reference does not hold."""
        feature, forest, rule, channel = self._parts(seen)
        statistical = self.total.score(_loudest(channel, forest, seen.traded))
        broken = channel[_DATA]
        ensemble = np.fmax(statistical, np.where(broken > 0, broken, np.nan))
        return Scores(feature, forest, rule, channel, ensemble)

    def _parts(self, seen: Evidence) -> tuple[Floats, Floats, Floats, Floats]:
        statistics = (robust_z.statistics(seen.conditioned), seen.averages)
        feature = np.stack(
            [
                np.stack([_scored(tail, np.abs(x)) for tail, x in zip(tails, statistic, strict=True)])
                for tails, statistic in zip(self.tails, statistics, strict=True)
            ]
        )
        z = seen.conditioned.z
        known = np.asarray(np.isfinite(z).any(axis=0))
        forest = np.full(known.shape, np.nan)
        forest[known] = self.forest_tail.score(self.forest.statistics(forest_rows(z, known)))
        rule = self.odds.score(seen.hits)
        return feature, forest, rule, _channels(feature, rule)


_DATA = CHANNELS.index("data")
_FLAT = Tail(np.zeros(1), 0.0, 0.0, 1.0)


def gather(explained: Explained, raw: Conditioned, panel: Panel, tape: Tape) -> Evidence:
    """What detectors see in all sessions of a panel, given a reference's frozen explanation."""
    conditioned = explained.apply(raw)
    z = conditioned.z
    return Evidence(conditioned, ewma.statistics(z, tape), apply_rules(panel, z, tape), panel.traded)


def cut(seen: Evidence, span: slice) -> Evidence:
    """The sessions ``span`` of what was seen."""
    return Evidence(
        seen.conditioned.sessions(span.start, span.stop),
        seen.averages[:, span],
        seen.hits.sessions(span.start, span.stop),
        seen.traded[span],
    )


def _loudest(channel: Floats, forest: Floats, traded: Bools) -> Floats:
    """The loudest of the statistical channels and of the forest, which belongs to none, ``[S, B, N]``."""
    return np.where(traded, _largest(np.stack([*np.delete(channel, _DATA, axis=0), forest])), np.nan)


def _channels(feature: Floats, rule: Floats) -> Floats:
    """The loudest z, average or rule of each channel, ``[C, S, B, N]``."""
    by_channel = []
    for channel in CHANNELS:
        own = [f for f, spec in enumerate(FEATURES) if spec.channel == channel]
        broken = [r for r, name in enumerate(RULES) if CHANNEL[name] == channel]
        heard = [*feature[0, own], *feature[1, own], *rule[broken]]
        by_channel.append(_largest(np.stack(heard)))
    return np.stack(by_channel)


def _largest(stack: Floats) -> Floats:
    """The largest along the first axis, NaN where all are."""
    filled = np.where(np.isfinite(stack), stack, -1.0).max(axis=0)
    return np.where(filled >= 0, filled, np.nan)


def _tail(x: Floats) -> Tail | None:
    """A feature's tail; None where the reference hardly has it (no trades reported, too few instruments)."""
    return Tail.fit(np.abs(x)) if np.isfinite(x).sum() >= SMALLEST else None


def _scored(tail: Tail | None, x: Floats) -> Floats:
    return np.full(x.shape, np.nan) if tail is None else tail.score(x)


def forest_rows(z: Floats, known: Bools | None = None) -> Floats:
    """Bars with any feature as rows ``[R, F]``; an unknown feature is an ordinary one."""
    where = np.isfinite(z).any(axis=0) if known is None else known
    return np.nan_to_num(np.clip(z[:, where].T, -20.0, 20.0))
