"""Score the bars of some sessions against references fitted on earlier sessions only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from nofx_pipelines.anomaly.conditioning import Conditioned, condition
from nofx_pipelines.anomaly.ensemble import DETECTORS, Reference, Scores, cut, gather
from nofx_pipelines.anomaly.explanation import Place, explain
from nofx_pipelines.anomaly.panel import Ints, Panel, read_panel
from nofx_pipelines.anomaly.refit import Refit
from nofx_pipelines.anomaly.windows import Lookback, Tape
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
    bars: pl.DataFrame, freq: str, days: Sequence[date], *, seed: int, detector_version: str
) -> Scored:
    """Score ``days``; ``bars`` (adjusted) reach back as far as ``history`` says.

    A session's scores depend on bars up to its own end only: its reference ends before its period begins,
    and each bar's conditions before the bar does. Sessions whose reference is too short have no scores.
    """
    panel, refit, lookback = read_panel(bars, freq), Refit.of(freq), Lookback.of(freq)
    tape = Tape.of(panel.traded, lookback.span)
    raw = condition(panel, lookback, tape)
    scores, evidence, references = [], [], {}
    for begins in sorted({refit.begins(day) for day in days}):
        chosen = [day for day in days if refit.begins(day) == begins]
        first, last = refit.reference(panel.sessions, begins)
        if last - first < refit.minimum:
            continue
        try:
            reference = Reference.fit(raw, panel, tape, slice(first, last), seed)
        except NotEnoughData:
            continue  # bars there are, but hardly any with a history of their own
        references[begins] = reference
        scored, told = _period(panel, raw, tape, reference, chosen)
        scores.append(scored)
        evidence.append(told)
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


def _period(
    panel: Panel, raw: Conditioned, tape: Tape, reference: Reference, days: Sequence[date]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Scores and evidence of ``days``, which share a reference."""
    wanted = [panel.sessions.index(day) for day in days if day in panel.sessions]
    if not wanted:
        return pl.DataFrame(), pl.DataFrame()
    span = slice(wanted[0], wanted[-1] + 1)
    seen = cut(gather(reference.explained, raw, panel, tape), span)
    scores = reference.score(seen)
    s, b, n = panel.at
    chosen = np.flatnonzero(np.isin(s, wanted))
    rows, at = panel.rows[chosen], (s[chosen] - span.start, b[chosen], n[chosen])
    loud = np.flatnonzero(np.nan_to_num(scores.ensemble[at]) >= EVIDENT)
    places = [Place(int(at[0][k]), int(at[1][k]), int(at[2][k])) for k in loud]
    return _frame(rows, at, scores), explain(reference, seen, scores, rows[loud], places)


def _frame(rows: pl.DataFrame, at: tuple[Ints, Ints, Ints], scores: Scores) -> pl.DataFrame:
    """Long rows: one a bar for the ensemble, and one for each detector that has something to say."""
    parts = []
    for name in ("ensemble", *DETECTORS):
        score = pl.Series("neg_log10_p", scores.detector(name)[at]).fill_nan(None)
        frame = rows.with_columns(pl.lit(name).alias("detector"), score).drop_nulls("neg_log10_p")
        parts.append(frame if name == "ensemble" else frame.filter(pl.col("neg_log10_p") >= SHOWN))
    return pl.concat(parts)


def _joined(frames: Sequence[pl.DataFrame], columns: dict[str, pl.DataType]) -> pl.DataFrame:
    held = [frame for frame in frames if frame.height]
    empty = pl.DataFrame(schema=columns)
    return pl.concat([empty.select(held[0].columns), *held]) if held else empty
