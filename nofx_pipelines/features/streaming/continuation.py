"""A live stream as the batch's continuation: the lake's state, and the live bars as the lake would have them.

The batch has the last word for its sessions. A stream starts from the state at the end of the last session
that the lake holds, passes over bars that the lake has, adjusts prices by the corporate actions as the batch
does, and notes which session and inputs it went on from. A later start goes on from the stream's own file
while the lake still ends there, with the same content; else from the lake again, the feed rewound to the
first session that the lake does not hold.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from datetime import date, timedelta
from io import BytesIO
from typing import Any

import numpy as np
import polars as pl

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.execution.refresh import Refresh, UniverseInputs, with_groups
from nofx_pipelines.features.online.store import OnlineStore, other_version
from nofx_pipelines.features.program.state import FeatureState, decode
from nofx_pipelines.features.sets.registry import universe_features
from nofx_pipelines.features.streaming.feeds.feeds import Position
from nofx_pipelines.features.streaming.instrument_state import FEW
from nofx_pipelines.features.streaming.stream import BACK, BACK_OF_FEW, Stream
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.adjust import FACTORS, action_factors, adjusted

_UTC_US = pl.Datetime("us", "UTC")
_CLOSES_BACK = timedelta(days=130)
"""How far before the hand-over a last close is looked for; `action_factors` looks 120 days back."""
_SESSIONS_NOTED = 15
_NEVER = -(2**62)


@dataclass(frozen=True)
class HandOver:
    """The batch's state at the end of ``session``, and what its bars were made of."""

    inputs: UniverseInputs
    state: FeatureState
    session: date
    fingerprint: str
    """Of all bars and factors up to the session, and of the features."""

    def stream(self) -> Stream:
        """A stream that goes on from it, with the last bars to look back at."""
        return Stream.from_state(self.inputs.features, self.state, history=self._history())

    def _history(self) -> pl.DataFrame:
        back = BACK_OF_FEW if len(self.state.instruments) <= FEW else BACK
        rows = self.inputs.features.lookback + 3 * (back + 1) + 1
        days = [day for day in self.inputs.rows if day <= self.session]
        sessions = 2 + rows * 5 // 4 // max(self.inputs.bars_per_session, 1)
        return self.inputs.prices(days[-sessions:][0], self.session).collect()

    @property
    def last_us(self) -> dict[str, int]:
        """Of every instrument the close of its last bar."""
        return dict(zip(self.state.instruments, self.state.last_ts.tolist(), strict=True))


def hand_over(lake: Lake, universe: UniverseConfig, before: date | None = None) -> HandOver | None:
    """The state at the end of the lake's bars (before a session, where one is given); None without bars.

    From the newest stored state of these features and bars; the bars after it are computed from the lake.
    """
    if not lake.table(universe.name, "bars").exists():
        return None
    inputs = UniverseInputs.read(lake, universe, _stored_clock(lake, universe))
    days = [day for day in inputs.chain if before is None or day < before]
    if not any(day in inputs.rows for day in days):
        return None
    run = Refresh(inputs, lake.table(universe.name, "feature_state"), None, "stream", force=False)
    run.reach(len(days))
    assert run.state is not None
    return HandOver(inputs, run.state, days[-1], inputs.chain[days[-1]])


def _stored_clock(lake: Lake, universe: UniverseConfig) -> tuple[float, int] | None:
    """Bars of a year, as the newest stored state has them, and about of a session; None without a state.

    The fingerprints hold the former too, so that only states with it are gone on from.
    """
    states, bars = lake.table(universe.name, "feature_state"), lake.table(universe.name, "bars")
    days = [day for day, stamp in states.stamps().items() if stamp.rows]
    if not days:
        return None
    stored = states.scan(start=days[-1], end=days[-1] + timedelta(1)).collect()
    program = universe_features(universe).program
    if stored["version"][0] != universe_features(universe).version:
        return None
    first = decode(stored["instrument_id"][0], stored["state"][0], program)
    stamp = bars.stamps().get(days[-1])
    rows = stamp.rows if stamp is not None else stored.height
    return first.bars_per_year, max(1, rows // stored.height)


@dataclass
class LiveBars:
    """Makes a feed's bars those of the batch, and notes what a later start needs.

    ``adjust`` is off for bars that are adjusted already. Prices without a ``price_basis`` are unadjusted.
    """

    base: HandOver
    store: str
    adjust: bool = True
    sessions: dict[str, Position | None] = field(default_factory=dict)
    """By session after the base the feed's position before its first bar, the newest ones."""
    pending: pl.DataFrame | None = None
    """Unadjusted bars since the hand-over of instruments with an action to come: its factor is made of the
    close before it, and where that is corrected the bars after it are adjusted anew."""
    _later: pl.DataFrame | None = None

    def __post_init__(self) -> None:
        inputs, day = self.base.inputs, self.base.session
        self._last = self.base.last_us
        self._coming = inputs.actions.filter(pl.col("ex_date") > day)
        self._names = set(self._coming["instrument_id"].unique())
        self._before = inputs.factors.filter(pl.col("ex_date") <= day)
        self._lake_closes = self._closes_of_lake()

    def _closes_of_lake(self) -> pl.DataFrame:
        day, bars = self.base.session, self.base.inputs.bars
        scan = bars.scan(
            version=self.base.inputs.bars_version, start=day - _CLOSES_BACK, end=day + timedelta(1)
        )
        own = pl.col("instrument_id").is_in(sorted(self._names)) & pl.col("close").is_not_null()
        if not self._names:
            own = pl.lit(value=False)
        rows = scan.filter(own & (pl.col("price_basis") == "unadjusted")).sort("ts_open")
        return rows.group_by("instrument_id", "session_date").agg(pl.col("close").last()).collect()

    def restore(self, note: dict[str, Any]) -> None:
        """Go on from a `note`."""
        self.sessions = dict(note.get("sessions", {}))
        if note.get("pending"):
            self.pending = pl.read_ipc_stream(BytesIO(b64decode(note["pending"])))
            self._later = self._later_factors()

    def note(self) -> dict[str, Any]:
        """What goes into the stream's file, as JSON."""
        return {
            "lake": {"session": self.base.session.isoformat(), "fingerprint": self.base.fingerprint},
            "sessions": self.sessions,
            "pending": "" if self.pending is None else b64encode(_as_bytes(self.pending)).decode(),
            "store": self.store,
        }

    def bars(self, arriving: pl.DataFrame, position: Position | None) -> pl.DataFrame:
        """The bars that the lake does not hold, adjusted and with their groups."""
        times = arriving["ts_close"].dt.epoch("us").to_list()
        ends = [self._last.get(name, _NEVER) for name in arriving["instrument_id"].to_list()]
        newest, session = max(self._last.values(), default=_NEVER), self.base.session
        days = arriving["session_date"].to_list()  # the lake's last session may have gone on since
        later = [
            ts > end and (day > session or ts > newest)
            for ts, end, day in zip(times, ends, days, strict=True)
        ]
        bars = arriving.filter(pl.Series(later, dtype=pl.Boolean))
        if bars.is_empty():
            return bars
        for day in bars["session_date"].unique().sort().to_list():
            self.sessions.setdefault(day.isoformat(), position)
        self.sessions = dict(sorted(self.sessions.items())[-_SESSIONS_NOTED:])
        inputs = self.base.inputs
        if self.adjust:
            if "price_basis" not in bars.columns:
                bars = bars.with_columns(price_basis=pl.lit("unadjusted"))
            bars = self._with_changed(bars)
            later = [] if self._later is None else [self._later]
            bars = adjusted(bars, inputs.actions, pl.concat([self._before, *later]))
        groups = inputs.groups
        if groups is None:
            return bars
        bare = bars.drop([n for n in groups.columns if n not in ("instrument_id",)], strict=False)
        return with_groups(bare.lazy(), groups).collect()

    def _with_changed(self, bars: pl.DataFrame) -> pl.DataFrame:
        """The bars, and those before them that an action's factor changes for: its close was corrected."""
        own = bars.filter(pl.col("instrument_id").is_in(sorted(self._names)))
        if own.is_empty() or "close" not in bars.columns:
            return bars
        parts = [own] if self.pending is None else [self.pending, own]
        key = ["instrument_id", "ts_close"]
        self.pending = pl.concat(parts, how="diagonal_relaxed").unique(key, keep="last", maintain_order=True)
        before, self._later = self._later, self._later_factors()
        if before is None:
            return bars
        changed = self._later.join(before, on=list(FACTORS), how="anti", nulls_equal=True)
        if changed.is_empty():
            return bars
        first = changed.group_by("instrument_id").agg(pl.col("ex_date").min())
        again = self.pending.join(first, on="instrument_id").filter(
            pl.col("session_date") >= pl.col("ex_date")
        )
        again = again.drop("ex_date").join(bars.select(key), on=key, how="anti")
        return pl.concat([bars, again], how="diagonal_relaxed")

    def _later_factors(self) -> pl.DataFrame:
        """Factors of actions after the hand-over, from the closes of the lake and of the stream."""
        assert self.pending is not None
        own = self.pending.filter(pl.col("close").is_not_null() & (pl.col("price_basis") == "unadjusted"))
        last = own.sort("ts_close").group_by("instrument_id", "session_date").agg(pl.col("close").last())
        live = last.select(self._lake_closes.columns).cast(self._lake_closes.schema)
        return action_factors(self._coming, pl.concat([self._lake_closes, live]))


def _as_bytes(frame: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.write_ipc_stream(buffer)
    return buffer.getvalue()


def still_continues(note: dict[str, Any], base: HandOver) -> bool:
    """Whether a stream with this note went on from what the lake ends with now.

    A lake without a part of what it had, or with more, or with other bars, is gone on from anew.
    """
    lake = note.get("lake", {})
    return (lake.get("session"), lake.get("fingerprint")) == (base.session.isoformat(), base.fingerprint)


def rewound(note: dict[str, Any], base: HandOver) -> Position | None:
    """The feed's position before the lake's last session, which may have gone on, else before the first that
    the lake does not hold; where the stream has seen none, the position that it was left at."""
    later = sorted(day for day in note.get("sessions", {}) if day >= base.session.isoformat())
    position: Position | None = note["sessions"][later[0]] if later else note.get("position")
    return position


def require_behind(store: OnlineStore, stream: Stream, note: dict[str, Any]) -> None:
    """FeatureError where the store holds another version's vectors, or newer ones than the stream has, unless
    the stream itself wrote them before it was stopped."""
    version = store.version
    if version is None:
        return
    if version != stream.version:
        raise other_version(store.place, version, stream.version)
    newest, last = store.statistics()["newest_us"], int(stream.lanes.last_ts.max(initial=_NEVER))
    if newest > last and note.get("store") != store.place:
        raise FeatureError(
            f"{store.place} holds vectors up to {_moment(newest)}, the stream stands at {_moment(last)}",
            kept="the store is as it was",
            hint="nofx run brings the lake up to it; --namespace NAME writes beside it",
        )


def _moment(us: int) -> str:
    return "nothing" if us <= 0 else str(np.datetime64(us, "us").astype("datetime64[s]"))
