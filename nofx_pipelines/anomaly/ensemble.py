"""One score a bar out of all detectors: the loudest in each channel, the loudest channel, calibrated again.

Detectors that see the same channel do not add up, and different channels are sparse: the largest -log p is
what finds an anomaly that only one of them sees. Taking the largest of many is no p-value any more, so the
result is calibrated against the same maximum over the reference. Rules on the data itself stand beside: what
breaks one is wrong however ordinary the rest of the bar looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nofx_pipelines.anomaly.calibration import SMALLEST, Tail
from nofx_pipelines.anomaly.conditioning import CHANNELS, NAMES, Explained
from nofx_pipelines.anomaly.detectors.checking import NamedDetector, NamedFit
from nofx_pipelines.anomaly.detectors.protocol import BarWindow, Statistic
from nofx_pipelines.anomaly.detectors.registry import ENSEMBLE, Detectors
from nofx_pipelines.anomaly.panel import Bools, Floats

DATA = CHANNELS.index("data")


@dataclass(frozen=True, eq=False)
class Scores:
    """-log10 p; NaN where nothing can be said."""

    by_detector: Mapping[str, Floats]
    """Of each detector's K statistics, ``[K, S, B, N]``; a rule's is 0 where it did not fire."""
    channel: Floats
    """The loudest statistic in each of ``CHANNELS``, ``[C, S, B, N]``."""
    ensemble: Floats
    """``[S, B, N]``."""

    def detector(self, name: str) -> Floats:
        """The score of a detector, its loudest statistic's, or of the ensemble, ``[S, B, N]``."""
        return self.ensemble if name == ENSEMBLE else _largest(self.by_detector[name])


@dataclass(frozen=True, eq=False)
class Member:
    """A fitted detector and the tails that calibrate its statistics."""

    detector: NamedDetector
    fitted: NamedFit
    tails: tuple[Tail | None, ...]
    """None for rules, which have their own odds, and for features that the reference hardly has."""

    @classmethod
    def fit(
        cls, detector: NamedDetector, bars: BarWindow, reference: slice, seed: int
    ) -> tuple[Member, Floats]:
        """The member, and the calibrated scores ``[K, S, B, N]`` of the reference itself."""
        fitted = detector.fit(bars, reference, seed)
        values = fitted.score(bars, reference)
        tails = tuple(_tail_of(s, x) for s, x in zip(detector.statistics, values, strict=True))
        member = cls(detector, fitted, tails)
        return member, member._calibrated(values)

    def score(self, bars: BarWindow, span: slice) -> Floats:
        """-log10 p of the statistics of the sessions ``span``, ``[K, S, B, N]``."""
        return self._calibrated(self.fitted.score(bars, span))

    def parameters(self) -> dict[str, Any]:
        """The detector's own parameters, and its statistics' tails."""
        tails = {
            statistic.name: None if tail is None else tail.parameters()
            for statistic, tail in zip(self.detector.statistics, self.tails, strict=True)
            if not statistic.rule
        }
        return {"parameters": self.fitted.parameters, "tails": tails}

    def _calibrated(self, values: Floats) -> Floats:
        statistics = zip(self.detector.statistics, self.tails, values, strict=True)
        return np.stack([x if statistic.rule else _scored(tail, x) for statistic, tail, x in statistics])


@dataclass(frozen=True, eq=False)
class Reference:
    """Everything that was learned from earlier sessions, frozen until the next refit."""

    explained: Explained
    expected: tuple[Tail | None, ...]
    """Of each feature's |z|: what an ordinary bar may do; None where the reference hardly has the feature."""
    members: Mapping[str, Member]
    """By the detector's name."""
    total: Tail | None
    """Of the largest statistic of a bar; None where no detector speaks of anything but the data."""

    @classmethod
    def fit(
        cls, detectors: Detectors, explained: Explained, bars: BarWindow, reference: slice, seed: int
    ) -> Reference:
        """Learn from the sessions ``reference`` of ``bars``; raises NotEnoughData when they are too few."""
        members, scores = {}, {}
        for name, detector in detectors.items():
            members[name], scores[name] = Member.fit(detector, bars, reference, seed)
        statistical = any(s.channel != CHANNELS[DATA] for _, _, s in statistics_of(detectors))
        total = None
        if statistical:
            channel = _channels(detectors, scores)
            total = Tail.fit(_max_score(detectors, scores, channel, bars.traded[reference]))
        expected = tuple(_tail(np.abs(z)) for z in bars.z[:, reference])
        return cls(explained, expected, members, total)

    def parameters(self) -> dict[str, Any]:
        """What was fitted, in words and numbers, for a person to read; the bodies and trees are left out."""
        return {
            "explained": asdict(self.explained),
            "expected": {
                name: None if tail is None else tail.parameters()
                for name, tail in zip(NAMES, self.expected, strict=True)
            },
            "detectors": {name: member.parameters() for name, member in self.members.items()},
            "ensemble": None if self.total is None else self.total.parameters(),
        }

    @property
    def detectors(self) -> Detectors:
        """The detectors that were fitted."""
        return {name: member.detector for name, member in self.members.items()}

    def score(self, bars: BarWindow, span: slice) -> Scores:
        """The scores of the sessions ``span``, which are none of the reference's."""
        scores = {name: member.score(bars, span) for name, member in self.members.items()}
        channel = _channels(self.detectors, scores)
        broken = channel[DATA]
        ensemble = np.where(broken > 0, broken, np.nan)
        if self.total is not None:
            largest = _max_score(self.detectors, scores, channel, bars.traded[span])
            ensemble = np.fmax(self.total.score(largest), ensemble)
        return Scores(scores, channel, ensemble)

    def require_same_again(self, bars: BarWindow, reference: slice, seed: int) -> None:
        """Refuse a plug-in that does not learn the same from the same sessions with the same seed."""
        for member in self.members.values():
            member.detector.require_same_again(member.fitted, bars, reference, seed)


def statistics_of(detectors: Detectors) -> Iterator[tuple[str, int, Statistic]]:
    """Every statistic with its detector's name and its place among that one's."""
    for name, detector in detectors.items():
        for k, statistic in enumerate(detector.statistics):
            yield name, k, statistic


def _max_score(detectors: Detectors, scores: Mapping[str, Floats], channel: Floats, traded: Bools) -> Floats:
    """The largest of the statistical channels and of what belongs to no channel, ``[S, B, N]``."""
    of_the_bar = [scores[name][k] for name, k, s in statistics_of(detectors) if s.channel is None]
    return np.where(traded, _largest(np.stack([*np.delete(channel, DATA, axis=0), *of_the_bar])), np.nan)


def _channels(detectors: Detectors, scores: Mapping[str, Floats]) -> Floats:
    """The loudest statistic of each channel, ``[C, S, B, N]``; NaN where a channel has none."""
    shape = next(iter(scores.values())).shape[1:]
    by_channel = []
    for channel in CHANNELS:
        own = [scores[name][k] for name, k, s in statistics_of(detectors) if s.channel == channel]
        by_channel.append(_largest(np.stack(own)) if own else np.full(shape, np.nan))
    return np.stack(by_channel)


def _largest(stack: Floats) -> Floats:
    """The largest along the first axis, NaN where all are."""
    filled = np.where(np.isfinite(stack), stack, -1.0).max(axis=0)
    return np.where(filled >= 0, filled, np.nan)


def _tail_of(statistic: Statistic, x: Floats) -> Tail | None:
    """A statistic's tail. A feature may be missing for good; what is about the bar must be there."""
    if statistic.rule:
        return None
    return _tail(x) if statistic.feature is not None else Tail.fit(x)


def _tail(x: Floats) -> Tail | None:
    """A feature's tail; None where the reference hardly has it (no trades reported, too few instruments)."""
    return Tail.fit(x) if np.isfinite(x).sum() >= SMALLEST else None


def _scored(tail: Tail | None, x: Floats) -> Floats:
    return np.full(x.shape, np.nan) if tail is None else tail.score(x)
