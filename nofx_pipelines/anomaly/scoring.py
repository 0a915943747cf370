"""Score the bars of some sessions against references fitted on earlier sessions only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path

import numpy as np
import polars as pl

from nofx_pipelines.anomaly.conditioning import Conditioned, Explained, condition
from nofx_pipelines.anomaly.detectors.protocol import BarWindow
from nofx_pipelines.anomaly.detectors.registry import ENSEMBLE, Detectors, load_detectors
from nofx_pipelines.anomaly.ensemble import Reference, Scores
from nofx_pipelines.anomaly.explanation import explain
from nofx_pipelines.anomaly.panel import Ints, Panel, read_panel
from nofx_pipelines.anomaly.refit import Refit
from nofx_pipelines.anomaly.windows import Lookback, TradedBars
from nofx_pipelines.errors import NotEnoughData
from nofx_pipelines.lake.schemas import ANOMALY_EVIDENCE, ANOMALY_SCORES

EVIDENT = 2.5
"""-log10 p from which a bar's evidence is kept."""
SHOWN = 1.0
"""-log10 p from which a single detector's score is kept; the ensemble's is kept for every bar."""


@dataclass(frozen=True, eq=False)
class Scored:
    """``scores`` (ANOMALY_SCORES) and ``evidence`` (ANOMALY_EVIDENCE) of the sessions asked for."""

    scores: pl.DataFrame
    evidence: pl.DataFrame
    references: dict[date, Reference]
    """By the first day of each period that was scored."""


def score_sessions(
    bars: pl.DataFrame,
    freq: str,
    days: Sequence[date],
    *,
    detectors: Sequence[str],
    plugins: Path | None = None,
    seed: int,
    detector_version: str,
) -> Scored:
    """Score sessions.

    A session's scores depend on bars up to its own end only: its reference ends before its period begins,
    and each bar's conditions before the bar does. Sessions whose reference is too short have no scores.

    Parameters
    ----------
    bars
        Of the table bars, adjusted; they reach back as far as `history` says.
    freq
        Their frequency.
    days
        The sessions to score, ascending.
    detectors
        Names, as ``universe.anomaly.detectors`` has them; the ensemble is of these.
    plugins
        The home's folder of plug-ins.
    seed
        Of what detectors draw when they are fitted.
    detector_version
        What the scores' column of that name says.

    Raises
    ------
    ConfigError
        For a detector that there is none of.
    PluginError
        For a user's detector that raises, or gives what it must not.
    """
    panel, refit, lookback = read_panel(bars, freq), Refit.of(freq), Lookback.of(freq)
    loaded = load_detectors(detectors, plugins)
    raw = condition(panel, lookback, TradedBars.of(panel.traded, lookback.span))
    scores, evidence = [], []
    references: dict[date, Reference] = {}
    for begins, places in _periods(panel.sessions, refit, days):
        first, last = refit.reference(panel.sessions, begins)
        if last - first < refit.minimum:
            continue
        period = _Period.of(panel, raw, lookback, first, last, places)
        try:
            reference = period.fit(loaded, seed, twice=not references)
        except NotEnoughData:
            continue  # bars there are, but hardly any with a history of their own
        references[begins] = reference
        frames = period.score(reference)
        scores.append(frames[0])
        evidence.append(frames[1])
    return Scored(
        _joined(scores, ANOMALY_SCORES.columns).with_columns(detector_version=pl.lit(detector_version)),
        _joined(evidence, ANOMALY_EVIDENCE.columns),
        references,
    )


def history(sessions: Sequence[date], days: Sequence[date], freq: str) -> int:
    """Position in ``sessions`` of the first one whose bars ``score_sessions`` needs for ``days``."""
    refit, lookback = Refit.of(freq), Lookback.of(freq)
    first, _ = refit.reference(sessions, refit.begins(days[0]))
    return max(0, first - lookback.reach)


def _periods(
    sessions: Sequence[date], refit: Refit, days: Sequence[date]
) -> Iterator[tuple[date, list[int]]]:
    """Each period's first day, and the places in ``sessions`` of those of ``days`` that lie in it."""
    place = {day: k for k, day in enumerate(sessions)}
    for begins, period in groupby(sorted(day for day in days if day in place), key=refit.begins):
        yield begins, [place[day] for day in period]


@dataclass(frozen=True, eq=False)
class _Period:
    """Sessions that share a reference; the window begins well before it and ends with the last of them."""

    panel: Panel
    explained: Explained
    conditioned: Conditioned
    bars: BarWindow
    start: int
    """Place in the panel of the window's first session."""
    reference: slice
    """In the window."""
    places: list[int]
    """Of the sessions to score, in the panel."""

    @classmethod
    def of(
        cls, panel: Panel, raw: Conditioned, lookback: Lookback, first: int, last: int, places: list[int]
    ) -> _Period:
        """The period with the reference ``[first, last)``.

        Its window begins where the panel of a single session would, and the features are unknown where such a
        panel could not tell them: so detectors read the same whichever sessions were read with it.
        """
        start = max(0, first - lookback.reach)
        explained = Explained.fit(raw.sessions(first, last))
        conditioned = explained.apply(raw.sessions(start, places[-1] + 1))
        conditioned.center[:, : max(0, first - lookback.span - start)] = np.nan
        bars = BarWindow.of(panel, conditioned.z, start, lookback.span)
        return cls(panel, explained, conditioned, bars, start, slice(first - start, last - start), places)

    def fit(self, detectors: Detectors, seed: int, *, twice: bool) -> Reference:
        """The reference; ``twice``: plug-ins are fitted again to see that they learn the same."""
        before = self.bars.until(self.reference.stop)
        reference = Reference.fit(detectors, self.explained, before, self.reference, seed)
        if twice:
            reference.require_same_again(before, self.reference, seed)
        return reference

    def score(self, reference: Reference) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Scores and evidence of the sessions."""
        span = slice(self.places[0] - self.start, self.places[-1] + 1 - self.start)
        scores = reference.score(self.bars, span)
        s, b, n = self.panel.at
        ours = np.flatnonzero(np.isin(s, self.places))
        rows, at = self.panel.rows[ours], (s[ours] - self.places[0], b[ours], n[ours])
        loud = np.flatnonzero(np.nan_to_num(scores.ensemble[at]) >= EVIDENT)
        conditioned = self.conditioned.sessions(span.start, span.stop)
        loud_at = (at[0][loud], at[1][loud], at[2][loud])
        return _frame(rows, at, scores), explain(reference, conditioned, scores, rows[loud], loud_at)


def _frame(rows: pl.DataFrame, at: tuple[Ints, Ints, Ints], scores: Scores) -> pl.DataFrame:
    """Long rows: one a bar for the ensemble, and one for each detector that has something to say."""
    parts = []
    for name in (ENSEMBLE, *scores.by_detector):
        score = pl.Series("neg_log10_p", scores.detector(name)[at]).fill_nan(None)
        frame = rows.with_columns(pl.lit(name).alias("detector"), score).drop_nulls("neg_log10_p")
        parts.append(frame if name == ENSEMBLE else frame.filter(pl.col("neg_log10_p") >= SHOWN))
    return pl.concat(parts)


def _joined(frames: Sequence[pl.DataFrame], columns: dict[str, pl.DataType]) -> pl.DataFrame:
    filled = [frame for frame in frames if frame.height]
    empty = pl.DataFrame(schema=columns)
    return pl.concat([empty.select(filled[0].columns), *filled]) if filled else empty
