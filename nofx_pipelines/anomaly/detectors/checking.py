"""Detectors under their names: whatever one raises, or gives that it must not, is refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nofx_pipelines.anomaly.calibration import SMALLEST
from nofx_pipelines.anomaly.detectors.protocol import BarWindow, Detector, FittedDetector, Statistic
from nofx_pipelines.anomaly.panel import Floats
from nofx_pipelines.errors import NotEnoughData
from nofx_pipelines.plugins import Reference as Source

_BESIDE = (
    "scores a session otherwise beside later ones than by itself: to the last bit, a bar's score must not "
    "depend on what is scored with it"
)
_METHODS = (("score", "(bars, span)"), ("parameters", "()"))


@dataclass(frozen=True, eq=False)
class NamedDetector:
    """A detector, and where it was loaded from."""

    source: Source
    detector: Detector
    statistics: tuple[Statistic, ...]

    @classmethod
    def of(cls, source: Source, member: Any) -> NamedDetector:
        """The member with its shape checked; PluginError where it is no detector."""
        source.require(member, "fit(bars, reference, seed)")
        with source.guard("asking for its statistics"):
            statistics = getattr(member, "statistics", None)
        if not (isinstance(statistics, tuple) and statistics):
            raise source.refuse(f"needs statistics, a tuple of Statistic; it has {statistics!r}")
        strange = [item for item in statistics if not isinstance(item, Statistic)]
        if strange:
            raise source.refuse(f"has {strange[0]!r} among its statistics, which is no Statistic")
        names = [statistic.name for statistic in statistics]
        if len({*names}) < len(names):
            raise source.refuse(f"has two statistics of one name: {', '.join(names)}")
        return cls(source, member, statistics)

    @property
    def name(self) -> str:
        """As ``nofx.toml`` writes it, and as the table ``anomaly_scores`` holds it."""
        return self.source.name

    def fit(self, bars: BarWindow, reference: slice, seed: int) -> NamedFit:
        """The detector as it learns from the sessions ``reference``; NotEnoughData where they are too few."""
        with self.source.guard("fitting it", passing=(NotEnoughData,)):
            fitted = self.detector.fit(bars, reference, seed)
            methods = {f"{name}{of}": getattr(fitted, name, None) for name, of in _METHODS}
        lacking = [method for method, attribute in methods.items() if not callable(attribute)]
        if lacking:
            what = type(fitted).__name__
            raise self.source.refuse(f"gave a {what} when fitted, which has no method {lacking[0]}")
        return NamedFit(self, fitted, self._parameters(fitted))

    def require_same_again(self, fitted: NamedFit, bars: BarWindow, reference: slice, seed: int) -> None:
        """Refuse a plug-in that, fitted once more with the same seed and bars, scores otherwise."""
        if self.source.origin == "built-in":
            return
        scores = fitted.one_session(bars, reference)
        again = self.fit(bars, reference, seed).one_session(bars, reference)
        if not np.array_equal(scores, again, equal_nan=True):
            raise self.source.refuse("is another one when it is fitted again with the same seed and bars")

    def _parameters(self, fitted: FittedDetector) -> Mapping[str, Any]:
        with self.source.guard("asking for its parameters"):
            parameters = fitted.parameters()
        if not isinstance(parameters, Mapping):
            raise self.source.refuse(f"gave parameters of type {type(parameters).__name__}, not a mapping")
        try:
            return dict(json.loads(json.dumps(dict(parameters), sort_keys=True, allow_nan=False)))
        except (TypeError, ValueError) as error:
            raise self.source.refuse(f"gave parameters that JSON cannot hold: {error}") from error

    def type_of(self, rule: str | None) -> str:
        """The type of anomaly that a rule speaks for, or without one the other statistics."""
        own = (s for s in self.statistics if (s.name == rule if rule else not s.rule))
        return next((statistic.type for statistic in own), "statistical")


@dataclass(frozen=True, eq=False)
class NamedFit:
    """A detector fitted on a reference."""

    of: NamedDetector
    fitted: FittedDetector
    parameters: Mapping[str, Any]

    def score(self, bars: BarWindow, span: slice) -> Floats:
        """The statistics of the sessions ``span``, ``[K, s, B, N]``, checked.

        A plug-in is also asked for one of the sessions as if it were the last one.
        """
        scores = self._scores(bars, span)
        if self.of.source.origin != "built-in":
            self._require_known(scores, bars, span)
            self._require_steady(scores, bars, span)
        return scores

    def _require_known(self, scores: Floats, bars: BarWindow, span: slice) -> None:
        """Refuse unknown scores throughout, where there are bars with features."""
        z_known = bars.traded[span] & np.isfinite(bars.z[:, span]).any(axis=0)
        count = int(z_known.sum())
        if count >= SMALLEST and not np.isfinite(scores[:, z_known]).any():
            raise self.of.source.refuse(f"gave NaN for each of {count} traded bars")

    def _require_steady(self, scores: Floats, bars: BarWindow, span: slice) -> None:
        """Refuse scores of a session that are others when it is asked for again, as the last one."""
        middle = _middle(span)
        alone = self._alone(bars, middle)
        if not np.array_equal(alone, scores[:, middle - span.start, None], equal_nan=True):
            steady = np.array_equal(alone, self._alone(bars, middle), equal_nan=True)
            raise self.of.source.refuse(_BESIDE if steady else "gives other scores when it is asked again")

    def one_session(self, bars: BarWindow, span: slice) -> Floats:
        """The scores of the middle session of ``span`` as if it were the last one, ``[K, 1, B, N]``."""
        return self._alone(bars, _middle(span))

    def attribution(self, z: Floats) -> Floats | None:
        """Each feature's share in the scores of bars ``z`` ``[F, P]``, ``[P, F]``; None: it does not say."""
        with self.of.source.guard("attributing a score to features"):
            method = getattr(self.fitted, "attribution", None)
            if method is None:
                return None
            shares = method(z)
        shape = z.shape[::-1]
        if not (isinstance(shares, np.ndarray) and shares.shape == shape and np.isfinite(shares).all()):
            raise self.of.source.refuse(f"must give finite shares of shape {shape}, not {_shown(shares)}")
        return shares

    def _alone(self, bars: BarWindow, session: int) -> Floats:
        return self._scores(bars.until(session + 1), slice(session, session + 1))

    def _scores(self, bars: BarWindow, span: slice) -> Floats:
        source, statistics = self.of.source, self.of.statistics
        with source.guard("scoring"):
            scores = self.fitted.score(bars, span)
        shape = bars.z[0, span].shape
        if isinstance(scores, np.ndarray) and len(statistics) == 1 and scores.ndim == len(shape):
            scores = scores[None]
        shape = (len(statistics), *shape)
        if not (isinstance(scores, np.ndarray) and scores.shape == shape and scores.dtype.kind == "f"):
            raise source.refuse(f"must give an array of floats of shape {shape}, not {_shown(scores)}")
        if np.isinf(scores).any():
            raise source.refuse("gave an infinite score; NaN says that it cannot tell")
        rules = [k for k, statistic in enumerate(statistics) if statistic.rule]
        if rules and (scores[rules] < 0).any():
            raise source.refuse("gave a rule a score below 0; it is -log10 p, and 0 where it does not fire")
        return np.asarray(scores, dtype=np.float64)


def _middle(span: slice) -> int:
    return int((span.start + span.stop - 1) // 2)


def _shown(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"one of {value.dtype} of shape {value.shape}"
    return f"a {type(value).__name__}"
