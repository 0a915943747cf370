"""Bring a universe's features up to its bars, session by session, going on from the stored state.

A session's features depend on its own bars and, through recursive averages, on all bars before. So
each session's fingerprint holds the one before it: a changed early session makes all later ones
stale, a new last session only itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import sha256

import polars as pl

from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.errors import FeatureError, TableNotFound
from nofx_pipelines.features.execution.batch import FeatureResult, compute
from nofx_pipelines.features.execution.panel import bar_rows
from nofx_pipelines.features.execution.resume import missing_history, resume
from nofx_pipelines.features.program.declaration import FeatureSet
from nofx_pipelines.features.program.state import FeatureState
from nofx_pipelines.features.sets.registry import universe_features
from nofx_pipelines.lake.incremental import RefreshResult, refresh_sessions
from nofx_pipelines.lake.schemas import CORPORATE_ACTIONS, FEATURES
from nofx_pipelines.lake.stamps import fresh
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.market.adjust import adjusted, stored_factors

_CHUNK_ROWS = 400_000
"""Bars computed at once, about; the sessions of a chunk follow from it."""
_CHUNK_SESSIONS = 250
_DAY = timedelta(days=1)


def refresh_features(
    lake: Lake,
    universe: UniverseConfig,
    feed: FeedConfig | None = None,
    *,
    start: date,
    end: date,
    run_id: str,
    code_version: str,
    force: bool = False,
) -> RefreshResult:
    """Compute the features of the sessions in ``[start, end)`` that are not fresh, and commit them.

    ``feature_state`` is written with every session. Computing goes on from the last state before the
    session that is fresh, or from the first bar where there is none (and with ``force``).
    Raises TableNotFound when the universe has no bars, FeatureError for an unknown feature set.
    """
    inputs = UniverseInputs.read(lake, universe)
    chain = {day: value for day, value in inputs.chain.items() if start <= day < end}
    run = Refresh(inputs, lake.table(universe.name, "feature_state"), code_version, run_id, force)
    return refresh_sessions(
        lake.table(universe.name, "features"),
        list(chain),
        code_version=code_version,
        inputs=chain,
        compute=run.features,
        lineage=inputs.lineage,
        run_id=run_id,
        force=force,
        chunk=inputs.chunk,
    )


def feature_inputs(
    lake: Lake, universe: UniverseConfig, feed: FeedConfig, start: date, end: date
) -> dict[date, str]:
    """The fingerprint of what each session in ``[start, end)`` would be computed from."""
    if not lake.table(universe.name, "bars").exists():
        return {}
    chain = UniverseInputs.read(lake, universe).chain
    return {day: value for day, value in chain.items() if start <= day < end}


def replayed_bars(lake: Lake, universe: UniverseConfig, start: date | None, end: date | None) -> pl.DataFrame:
    """The universe's adjusted bars of the sessions in ``[start, end)``, as its features were computed
    from."""
    inputs = UniverseInputs.read(lake, universe)
    days = [d for d in inputs.rows if (start is None or d >= start) and (end is None or d < end)]
    if not days:
        return inputs.prices(date.max - _DAY, date.max - _DAY).collect()
    return inputs.prices(min(days), max(days)).collect()


@dataclass(frozen=True)
class UniverseInputs:
    """The bars of one version, their adjustment, and the chain of fingerprints over both."""

    features: FeatureSet
    bars_per_year: float
    bars_per_session: int
    bars: LakeTable
    bars_version: int
    rows: dict[date, int]
    actions: pl.DataFrame
    factors: pl.DataFrame
    """Adjustment factors of the actions, from the closes before them."""
    groups: pl.DataFrame | None
    """Sector and board of every instrument by date, where the features read them."""
    chain: dict[date, str]
    lineage: dict[str, int]

    @classmethod
    def read(
        cls, lake: Lake, universe: UniverseConfig, clock: tuple[float, int] | None = None
    ) -> UniverseInputs:
        """What the lake holds now. ``clock`` is the bars of a year and of a session where somebody knows
        them: the calendar takes most of a second to build."""
        bars, actions = lake.table(universe.name, "bars"), lake.table(universe.market, "corporate_actions")
        version = bars.version()
        if version is None:
            raise TableNotFound(
                f"{bars.key} was never written",
                kept="no feature was computed",
                hint=f"nofx run --universe {universe.name}",
            )
        features = universe_features(universe)
        per_year, per_session = _clock(universe) if clock is None else clock
        versions = {bars.key: version, actions.key: actions.version()}
        excluded = set(bars.excluded_sessions())
        stamps = {day: stamp for day, stamp in bars.stamps(version).items() if day not in excluded}
        contents = {day: stamp.content for day, stamp in stamps.items() if stamp.rows}
        written = lake.table(universe.name, "features").stamps()
        factors = stored_factors(lake, universe.name, universe.market).sort("ex_date", "instrument_id")
        groups = _groups(lake, universe, features)
        text = f"{features.version} {per_year!r}"
        text += "" if groups is None else f" {groups.write_json()}"
        return cls(
            features=features,
            bars_per_year=per_year,
            bars_per_session=per_session,
            bars=bars,
            bars_version=version,
            rows={day: stamps[day].rows for day in contents},
            actions=_known_actions(actions),
            factors=factors,
            groups=groups,
            chain=_chain(sorted({*contents, *written}), contents, factors, text),
            lineage={key: number for key, number in versions.items() if number is not None},
        )

    @property
    def chunk(self) -> int:
        """Sessions computed at once."""
        return max(1, min(_CHUNK_SESSIONS, _CHUNK_ROWS // max(self.rows.values(), default=1)))

    def prices(self, first: date, last: date) -> pl.LazyFrame:
        """Adjusted bars of the sessions ``[first, last]``."""
        bars = self.bars.scan(version=self.bars_version, start=first, end=last + _DAY)
        return with_groups(adjusted(bars, self.actions, self.factors), self.groups)

    def compute(self, days: Sequence[date], state: FeatureState | None, *, snapshots: bool) -> FeatureResult:
        """Features of contiguous sessions."""
        bars = self.prices(days[0], days[-1]).collect()
        per_year = self.bars_per_year
        return compute(bars, self.features, state=state, bars_per_year=per_year, snapshots=snapshots)


_GROUPS = ("sector", "board")


def _groups(lake: Lake, universe: UniverseConfig, features: FeatureSet) -> pl.DataFrame | None:
    """The instruments' groups, where one is read and the bars do not have it."""
    table = lake.table(universe.market, "instruments")
    if not set(_GROUPS) & set(features.program.columns) or not table.exists():
        return None
    wanted = table.scan().select("instrument_id", "valid_from", *_GROUPS).collect()
    return wanted.sort("valid_from", "instrument_id")


def with_groups(bars: pl.LazyFrame, groups: pl.DataFrame | None) -> pl.LazyFrame:
    """Bars with the groups that their instruments had at their session."""
    if groups is None:
        return bars
    return bars.sort("session_date").join_asof(
        groups.lazy(),
        left_on="session_date",
        right_on="valid_from",
        by="instrument_id",
        strategy="backward",
        check_sortedness=False,
    )


def _clock(universe: UniverseConfig) -> tuple[float, int]:
    """Bars of a year and of a session."""
    from nofx_pipelines.market.sessions import calendar

    market = calendar(universe.market)
    return market.bars_per_year(universe.freq), market.bars_per_session(universe.freq)


def _known_actions(table: LakeTable) -> pl.DataFrame:
    if not table.exists():
        return pl.DataFrame(schema=CORPORATE_ACTIONS.columns)
    return table.scan().collect()


def _chain(
    days: Collection[date], contents: Mapping[date, str], factors: pl.DataFrame, version: str
) -> dict[date, str]:
    """Each session's bars, the factors since the session before, and that session's own fingerprint."""
    chain: dict[date, str] = {}
    before, last = "", date.min
    for day in sorted(days):
        came = factors.filter((pl.col("ex_date") > last) & (pl.col("ex_date") <= day))
        link = [before, version, str(day), contents.get(day, ""), came.write_json() if came.height else ""]
        before, last = sha256("\n".join(link).encode()).hexdigest(), day
        chain[day] = before
    return chain


@dataclass
class Refresh:
    """One refresh: holds the state between chunks that follow each other."""

    inputs: UniverseInputs
    states: LakeTable
    code_version: str | None
    """Of the states that may be gone on from; None for any code's of the same features and bars."""
    run_id: str
    force: bool
    state: FeatureState | None = None
    at: int = -1
    """Position in the chain of the last session computed."""
    days: list[date] = field(init=False)

    def __post_init__(self) -> None:
        self.days = list(self.inputs.chain)

    def features(self, part: list[date]) -> pl.DataFrame:
        """The features of contiguous sessions; their states are committed on the way."""
        first = self.days.index(part[0])
        if self.at != first - 1:
            self.reach(first)
        result = self._step(part, snapshots=True)
        if result.snapshots is not None:
            self.states.replace(
                part[0],
                part[-1] + _DAY,
                result.snapshots,
                lineage=self.inputs.lineage,
                code_version=self.code_version or "",
                inputs={day: self.inputs.chain[day] for day in part},
                run_id=self.run_id,
            )
        return result.frame

    def _step(self, part: Sequence[date], *, snapshots: bool) -> FeatureResult:
        result = self.inputs.compute(part, self.state, snapshots=snapshots)
        self.state, self.at = result.state, self.days.index(part[-1])
        return result

    def reach(self, first: int) -> None:
        """Bring the state to the end of the session before ``first``."""
        self.state, begin = None, 0
        stamps = {} if self.force else self.states.stamps()
        for k in range(first - 1, -1, -1):
            day = self.days[k]
            stamp = stamps.get(day)
            if stamp is None or not stamp.rows:
                continue
            code_version = stamp.code_version if self.code_version is None else self.code_version
            if fresh(stamp, code_version, self.inputs.chain[day]):
                self.state, begin = self._stored(k), k + 1
                break
        self.at = begin - 1
        for k in range(begin, first, self.inputs.chunk):
            self._step(self.days[k : min(k + self.inputs.chunk, first)], snapshots=False)

    def _stored(self, k: int) -> FeatureState:
        """The state at the end of a session, its windows rebuilt from the bars before."""
        day = self.days[k]
        stored = self.states.scan(start=day, end=day + _DAY).collect()
        features, per_year = self.inputs.features, self.inputs.bars_per_year
        history = self.history(stored, k)
        return resume(stored, features, bars_per_year=per_year, history=history)

    def history(self, stored: pl.DataFrame, k: int) -> pl.DataFrame:
        """For each instrument its last ``lookback`` traded bars, however long ago they were."""
        program = self.inputs.features.program
        sessions = 2 + (program.lookback * 5 // 4) // max(self.inputs.bars_per_session, 1)
        last, names, found = k, stored["instrument_id"].to_list(), []
        while names and last >= 0:
            first = max(0, last + 1 - sessions)
            bars = self.inputs.prices(self.days[first], self.days[last])
            rows = bar_rows(bars.filter(pl.col("instrument_id").is_in(names)).collect(), program.columns)
            found.append(rows)
            names = missing_history(stored, pl.concat(found), program)
            last, sessions = first - 1, sessions * 4
        if names:
            raise FeatureError(
                f"the bars before {self.days[k]} are fewer than {names[0]}'s state was made of",
                kept="what was committed before stays",
                hint="refresh_features(..., force=True)",
            )
        return pl.concat(found) if found else pl.DataFrame(schema=FEATURES.columns)
