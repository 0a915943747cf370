"""A plug-in's source: every call is guarded, everything delivered is checked, and an error names the plug-in.

What is wrong with one row is the row's matter: the plug-in's own rejects, and the checks of ingestion. Here
stand the promises of the protocol `Source`; a source that breaks one delivers nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import TypeVar

import polars as pl

from nofx_pipelines.config import SourceConfig
from nofx_pipelines.errors import DataError
from nofx_pipelines.lake.schemas import (
    CORPORATE_ACTIONS,
    INSTRUMENTS,
    QUARANTINE,
    SOURCE_BARS,
    TRUTH_ANOMALIES,
    TRUTH_SIGNAL,
)
from nofx_pipelines.market.checks import ACTION_KINDS, WORDS
from nofx_pipelines.market.instruments import parse_instrument_id
from nofx_pipelines.market.sources import Decision, Source, SourceBatch, SourceKind
from nofx_pipelines.market.sources.frame_checks import FrameShape, Promise, broken_promise
from nofx_pipelines.plugins import Reference

_METHODS = ("instruments", "batches", "corporate_actions", "truth", "fingerprint", "span", "decisions")
_BARS = FrameShape.of(
    SOURCE_BARS, without=["revision"], optional=["source", "quality", "is_final", "row_hash"]
)
_REJECTS = FrameShape.of(QUARANTINE, without=["run_id"], optional=["source"])
_INSTRUMENTS = FrameShape.of(INSTRUMENTS)
_ACTIONS = FrameShape.of(CORPORATE_ACTIONS, optional=["source"])
_TRUTH = {table.name: FrameShape.of(table) for table in (TRUTH_SIGNAL, TRUTH_ANOMALIES)}
_WORDS = {**WORDS, "knowledge_kind": ("observed", "assumed")}
_END = object()
_T = TypeVar("_T")


def open_plugin(
    reference: Reference,
    config: SourceConfig,
    *,
    market: str,
    freq: str,
    start: date,
    end: date,
    now: datetime,
) -> PluginSource:
    """The source that a plug-in opens, behind its checks.

    Raises ``PluginError`` where it does not load, raises, or what it opens is no source.
    """
    kind: SourceKind = reference.load()
    reference.require(kind, "open(config, *, market, freq, start, end, now)")
    with reference.guard("opening it"):
        source = kind.open(config, market=market, freq=freq, start=start, end=end, now=now)
        lacking = [name for name in _METHODS if not callable(getattr(source, name, None))]
        name = getattr(source, "name", None)
    if lacking:
        raise reference.refuse(f"opened {type(source).__name__}, which lacks {', '.join(lacking)}")
    if name != reference.name:
        raise reference.refuse(f"opened a source with name = {name!r}; it is config.kind: {reference.name!r}")
    return PluginSource(reference, source, market, freq)


@dataclass
class PluginSource:
    """One opened source of a plug-in."""

    reference: Reference
    source: Source
    market: str
    freq: str

    @property
    def name(self) -> str:
        """As ``nofx.toml`` names it, by which a chain of sources is ordered."""
        return self.reference.name

    def instruments(self) -> pl.DataFrame:
        """Instruments of this market, columns of ``INSTRUMENTS``."""
        return self._listed

    @cached_property
    def _listed(self) -> pl.DataFrame:
        frame = self._call("instruments()", self.source.instruments)
        market = Promise("market", pl.col("market") != self.market, f"is not {self.market!r}")
        whole = self._sound("instruments()", frame, _INSTRUMENTS, [*self._of_market(), market])
        for text in whole["instrument_id"]:
            try:
                parse_instrument_id(text)
            except DataError as error:
                raise self.reference.refuse(f"delivered wrong instruments(): {error.problem}") from error
        return whole

    def batches(self, start: date, end: date) -> Iterator[SourceBatch]:
        """Batches of the sessions in ``[start, end)``."""
        promises = self._of_bars(start, end)
        batches = self._call("batches()", lambda: iter(self.source.batches(start, end)))
        while (batch := self._call("batches()", lambda: next(batches, _END))) is not _END:
            if not isinstance(batch, SourceBatch):
                raise self.reference.refuse(f"gave {type(batch).__name__} as a batch, not a SourceBatch")
            yield SourceBatch(
                self._sound("bars of batches()", batch.bars, _BARS, promises),
                self._sound("rejects of batches()", batch.rejects, _REJECTS, self._of_source()),
            )

    def corporate_actions(self) -> pl.DataFrame:
        """Columns of ``CORPORATE_ACTIONS``."""
        frame = self._call("corporate_actions()", self.source.corporate_actions)
        promises = [*self._of_source(), *self._of_market(), _one_of("kind", ACTION_KINDS)]
        return self._sound("corporate_actions()", frame, _ACTIONS, promises)

    def truth(self) -> dict[str, pl.DataFrame]:
        """``truth_signal`` and ``truth_anomalies``, or neither."""
        tables = self._call("truth()", self.source.truth)
        if not isinstance(tables, dict) or not set(tables) <= set(_TRUTH):
            raise self.reference.refuse(f"gave truth() = {tables!r:.200}, not a dict of {', '.join(_TRUTH)}")
        return {
            name: self._sound(f"{name} of truth()", frame, _TRUTH[name], self._of_market())
            for name, frame in tables.items()
        }

    def fingerprint(self) -> str:
        """Hex digits that change whenever what would be delivered changes."""
        text = self._call("fingerprint()", self.source.fingerprint)
        if not isinstance(text, str) or not re.fullmatch(r"[0-9a-fA-F]{8,200}", text):
            raise self.reference.refuse(f"gave fingerprint() = {text!r:.200}, not 8 to 200 hex digits")
        return text

    def span(self) -> tuple[date, date]:
        """``[first session, last session + 1 day)``."""
        span = self._call("span()", self.source.span)
        if not isinstance(span, tuple) or [type(day) for day in span] != [date, date] or span[0] > span[1]:
            raise self.reference.refuse(f"gave span() = {span!r:.200}, not two dates in order")
        return span

    def decisions(self) -> list[Decision]:
        """What was recognised, and why."""
        decisions = self._call("decisions()", lambda: list(self.source.decisions()))
        for each in decisions:
            if not isinstance(each, Decision) or not all(
                isinstance(text, str) for text in vars(each).values()
            ):
                raise self.reference.refuse(f"gave {each!r:.200} among decisions(), not a Decision of texts")
        return decisions

    def _call(self, asked: str, call: Callable[[], _T]) -> _T:
        with self.reference.guard(f"asked for {asked}"):
            return call()

    def _sound(
        self, what: str, frame: object, shape: FrameShape, promises: Sequence[Promise]
    ) -> pl.DataFrame:
        """The frame with all columns, when it is as promised."""
        problem = shape.problem(frame)
        if problem is None and isinstance(frame, pl.DataFrame):
            whole = shape.completed(frame, source=self.name)
            problem = broken_promise(whole, promises)
            if problem is None:
                return whole
        raise self.reference.refuse(f"delivered wrong {what}: {problem}")

    def _of_source(self) -> list[Promise]:
        return [Promise("source", pl.col("source") != self.name, f"is not {self.name!r}, or left out")]

    def _of_market(self) -> list[Promise]:
        prefix = f"{self.market.upper()}."
        foreign = ~pl.col("instrument_id").str.starts_with(prefix)
        return [Promise("instrument_id", foreign, f"does not begin with {prefix}")]

    def _of_bars(self, start: date, end: date) -> list[Promise]:
        day, known_ids = pl.col("session_date"), self._listed["instrument_id"].unique().to_list()
        return [
            *self._of_source(),
            Promise("instrument_id", ~pl.col("instrument_id").is_in(known_ids), "is not in instruments()"),
            Promise("freq", pl.col("freq") != self.freq, f"is not {self.freq!r}"),
            Promise("session_date", (day < start) | (day >= end), f"is not in [{start}, {end})"),
            Promise(
                "knowledge_time",
                pl.col("knowledge_time") < pl.col("ts_close"),
                "is before the bar's ts_close",
            ),
            *(_one_of(column, words) for column, words in _WORDS.items()),
        ]


def _one_of(column: str, words: Sequence[str]) -> Promise:
    return Promise(column, ~pl.col(column).is_in(words), f"is none of {', '.join(words)}")
