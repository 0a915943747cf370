"""``Stream``: the features of bars as they come, bit for bit what `compute` gives over all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.algebra.clocks import TRADED
from nofx_pipelines.features.algebra.user_functions import failures_of
from nofx_pipelines.features.execution.generated import Generated, can_generate, default_folder
from nofx_pipelines.features.execution.numba_engine import plan_of
from nofx_pipelines.features.execution.panel import KEY, as_rows, bar_rows, nullable
from nofx_pipelines.features.kernel.tiles import tick
from nofx_pipelines.features.program.declaration import FeatureSet
from nofx_pipelines.features.program.state import FeatureState
from nofx_pipelines.features.streaming import late_bars as late
from nofx_pipelines.features.streaming import state_file
from nofx_pipelines.features.streaming.instrument_state import FEW, StateTiles

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
BACK, BACK_OF_FEW = 32, 256
"""Rows after which a checkpoint is taken, of many and of few instruments; what came since the one before
the last can still be corrected. One takes as long as ten rows of a few: fewer than one row in a hundred is
to wait for it."""
_UTC_US = pl.Datetime("us", "UTC")
_PUSHES_A_LOOK = 1_024
"""Rows pushed between two looks at whether the generated kernel is ready."""


@dataclass(frozen=True)
class Window:
    """The last values of a column: float64 [n], the oldest first; whether there are n; microseconds of the
    last."""

    values: F64
    full: bool
    newest_us: int | None


class Stream:
    """Features of bars as they come.

    ``instruments`` may grow by what `update` brings. Rows of all instruments of one ``ts_close`` belong
    into one call where features look across them. A bar at or before an instrument's last one (any
    instrument's, where features look across them) is a late or a corrected one: everything from the
    checkpoint before it is computed again (`late_bars`), as if it had come in time. With few instruments and
    features that look at one of them, a kernel of the set's own is compiled in the background into
    ``kernels`` (``$NOFX_HOME/kernels`` where that is set) and takes over when it is ready. With many, a
    moment is computed by up to ``threads``, all cores by default; their number changes no bit.

    >>> from datetime import datetime, timezone
    >>> from nofx_pipelines.features import Feature, close, ref
    >>> gain = FeatureSet("mine", (Feature("gain", close - ref(close, 1), "price", "Change.", False),))
    >>> stream = Stream(gain, ["A"], bars_per_year=243)
    >>> at = [datetime(2025, 1, day, 7, tzinfo=timezone.utc) for day in (2, 3)]
    >>> bars = pl.DataFrame({"instrument_id": "A", "ts_close": at, "close": [3.0, 5.0]})
    >>> bars = bars.with_columns(session_date=pl.col("ts_close").dt.date())
    >>> stream.update(bars)["gain"].to_list()
    [None, 2.0]
    """

    def __init__(
        self,
        feature_set: FeatureSet,
        instruments: Sequence[str],
        *,
        bars_per_year: float,
        kernels: Path | None = None,
        back: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.feature_set, self.bars_per_year = feature_set, bars_per_year
        self.plan = plan_of(feature_set.program)
        self.columns = feature_set.program.columns
        """The numbers of a bar that `push` takes, in order."""
        self.outputs = tuple(name for name, _ in self.plan.outputs)
        """The features in the order in which `push` gives them."""
        self._names = tuple(sorted(set(instruments)))
        self.fixed_back = back
        """What ``back`` was given as; None where it follows from how many instruments there are."""
        self._index = {name: i for i, name in enumerate(self._names)}
        self._threads = threads
        self.lanes = StateTiles(self.plan, len(self._names), bars_per_year, self.depth, threads)
        self.checkpoints: list[late.Checkpoint] = []
        self._took_ns, self._worst_ns, self._rows = 0, 0, 0
        self._generated = self._generate(kernels if kernels is not None else default_folder())
        self._kernel: Callable[..., Any] | None = None
        self._pushes = 0
        """How many may follow before the next look."""
        self._simple = can_generate(self.plan)
        self.note: dict[str, Any] = {}
        self._checkpoint()

    def _generate(self, folder: Path | None) -> Generated | None:
        if folder is None or self.lanes.w != 1 or not can_generate(self.plan):
            return None
        generated = Generated(self.plan, folder)
        generated.begin()
        return generated

    @property
    def back(self) -> int:
        """Rows between two checkpoints."""
        if self.fixed_back is not None:
            return self.fixed_back
        return BACK_OF_FEW if len(self._names) <= FEW else BACK

    @property
    def depth(self) -> int:
        """Bars that are kept of every instrument: they reach to the checkpoint before the last two."""
        return self.feature_set.lookback + 3 * (self.back + 1) + 1

    @property
    def instruments(self) -> tuple[str, ...]:
        """All instruments, in alphabetical order."""
        return self._names

    @property
    def version(self) -> str:
        """The hash of what is computed."""
        return self.feature_set.version

    def update(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Take bars, in any order; the features of every row that is new or other than it was.

        FeatureError on bars that cannot be computed on, and on those that are older than the oldest
        checkpoint: nothing has changed then.
        """
        begun = time.perf_counter_ns()
        rows = bar_rows(bars, self.columns)
        if rows.is_empty():
            return self._nothing(rows)
        self._admit(rows["instrument_id"].unique().to_list())
        at = self._numbers(rows)
        arrays = as_rows(rows, self.columns, self._names)
        last = self.lanes.last_ts.max() if late.crossing(self.plan) else self.lanes.last_ts[at]
        old = arrays.times <= last
        parts, self._pushes = [], 0
        if old.any():
            parts.append(self._replay(at[old], arrays.times[old], arrays.columns[:, old]))
        if not old.all():
            parts.append(self._moments(at[~old], arrays.times[~old], arrays.columns[:, ~old]))
        self._timed(begun, rows.height)
        if old.any():
            return self._framed(parts, rows)
        order = _by_time(at, arrays.times)
        return self._framed(parts, rows, rows["session_date"].gather(order))

    @property
    def crossing(self) -> bool:
        """Whether features look across instruments."""
        return late.crossing(self.plan)

    def count_late(self, bars: pl.DataFrame) -> int:
        """How many of these bars are at or before the last one, late or corrected."""
        times = bars["ts_close"].to_physical().to_numpy()
        if self.crossing:
            return int((times <= self.lanes.last_ts.max(initial=-(2**62))).sum())
        at = [self._index.get(name) for name in bars["instrument_id"].to_list()]
        ends = self.lanes.last_ts
        return sum(i is not None and ts <= ends[i] for i, ts in zip(at, times.tolist(), strict=True))

    def refusal(self, bar: pl.DataFrame) -> str | None:
        """Why this one bar cannot be taken by itself; None where nothing speaks against it."""
        try:
            rows = bar_rows(bar, self.columns)
        except FeatureError as error:
            return error.problem
        if rows.is_empty() or not self.count_late(bar):
            return None
        name, when = rows.row(0)[:2]
        at = np.array([self._index[name]] if name in self._index else [], np.int64)
        ts = np.full(len(at), rows["ts_close"].to_physical()[0])
        if late.fitting(self.plan, self.lanes, self.checkpoints, at, ts) is None:
            return f"the bar of {name} at {when} is older than what the stream keeps"
        return None

    def push(self, instrument: str, ts_us: int, bar: F64, out: F64 | None = None) -> F64:
        """One bar of one instrument, as fast as it goes: float64 [columns] in, float64 [outputs] out.

        ``bar`` holds `columns` in their order, NaN for missing. FeatureError for an instrument that is not
        there, a bar that does not come after the last one, and features that look across instruments.
        """
        out = np.empty(len(self.outputs)) if out is None else out
        i = self._index.get(instrument, -1)
        if i < 0 or not self._simple:
            raise FeatureError(
                f"{instrument} is not in the stream"
                if i < 0
                else "these features take more than one kernel's pass",
                hint="stream.update(bars)",
            )
        if self._pushes <= 0:
            self._look()
        self._pushes -= 1
        if self._kernel is not None:
            taken = self._kernel(self.lanes.frame, i, ts_us, bar, out, self.bars_per_year)
        else:
            taken = tick(self.lanes.frame, i, ts_us, bar, out)
        if not taken:
            raise FeatureError(
                f"the bar of {instrument} at {ts_us} does not come after its last, {self.lanes.last_ts[i]}",
                kept="the stream is as it was",
                hint="stream.update(bars) takes late and corrected bars",
            )
        return out

    def _look(self) -> None:
        """Is the generated kernel ready, is it time for a checkpoint, and when will it be at the earliest?"""
        if self._generated is not None and self._generated.ready():
            self._kernel = self._generated.kernel
        since = int((self.lanes.seen - self._marked).max(initial=0))
        if since >= self.back:
            self._checkpoint()
            since = 0
        self._pushes = min(_PUSHES_A_LOOK, self.back - since)

    def peek(self, bars: pl.DataFrame) -> pl.DataFrame:
        """The features as they would be if these forming bars closed now; the stream stays as it was.

        One bar an instrument, after its last.
        """
        rows = bar_rows(bars, self.columns)
        if rows.is_empty():
            return self._nothing(rows)
        at = self._numbers(rows)
        arrays = as_rows(rows, self.columns, self._names)
        if len(np.unique(at)) < len(at) or (arrays.times <= self.lanes.last_ts[at]).any():
            raise FeatureError(
                "peek takes one bar an instrument, after its last", hint="stream.update(bars) for closed bars"
            )
        kept = self.lanes.keep(at)
        try:
            values = self.lanes.moment(at, arrays.times, arrays.columns).copy()
        finally:
            self.lanes.put_back(kept)
        return self._framed([(at, arrays.times, values)], rows, rows["session_date"])

    def values(self) -> pl.DataFrame:
        """The newest features of every instrument: keys, how many rows it has had, whether all are warm."""
        had = self.lanes.seen > 0
        frame = pl.DataFrame(
            {
                "instrument_id": [name for name, there in zip(self._names, had, strict=True) if there],
                "ts_close": pl.Series(self.lanes.last_ts[had]).cast(_UTC_US),
                "version": [self.version] * int(had.sum()),
                "rows": self.lanes.seen[had],
                "warm": self.lanes.seen[had] > self.feature_set.warm_up,
            }
        )
        last = self.lanes.last[had].T
        return frame.hstack([nullable(n, np.ascontiguousarray(last[k])) for k, n in enumerate(self.outputs)])

    def window(self, instrument: str, column: str, n: int) -> Window:
        """The last n values of a column of bars, of at most ``depth`` that are kept."""
        if instrument not in self._index or column not in self.columns or not 1 <= n <= self.depth:
            raise FeatureError(
                f"no window of {n} rows of {column!r} of {instrument!r}",
                hint=f"up to {self.depth} rows of {list(self.columns)}",
            )
        times, bars = self.lanes.history_of(self._index[instrument], n)
        newest = int(times[-1]) if len(times) else None
        return Window(bars[:, self.columns.index(column)], len(times) == n, newest)

    def statistics(self) -> pl.DataFrame:
        """Of every feature: rows it needs, values so far, when the last, errors of its Python functions and
        the last of them; of the stream the time a row took. `feature_costs.costs` measures each by itself.
        """
        had = self.lanes.values > 0
        mean = self._took_ns / self._rows / 1e3 if self._rows else None
        exprs = self.feature_set.exprs
        failed = [failures_of(exprs[name]) for name in self.outputs]
        return (
            pl.DataFrame(
                {
                    "feature": list(self.outputs),
                    "warm_up": [exprs[name].warm_up for name in self.outputs],
                    "values": self.lanes.values,
                    "last_computed": pl.Series(np.where(had, self.lanes.newest, 0)).cast(_UTC_US),
                    "errors": [errors for errors, _ in failed],
                    "last_error": pl.Series([last for _, last in failed], dtype=pl.String),
                    "mean_us": [mean] * len(self.outputs),
                    "worst_us": [self._worst_ns / 1e3] * len(self.outputs),
                }
            )
            .with_columns(last_computed=pl.when(pl.Series(had)).then("last_computed"))
            .filter(pl.col("feature").is_in(self.feature_set.columns))
        )

    @property
    def state(self) -> FeatureState:
        """What `compute` goes on from."""
        everyone = np.arange(len(self._names))
        values = self.lanes.read(everyone) if self.plan.layout.slots else np.zeros((len(everyone), 0))
        seen, last_ts = self.lanes.seen.copy(), self.lanes.last_ts.copy()
        return FeatureState(self.version, self.bars_per_year, self._names, values, seen, last_ts)

    @classmethod
    def from_state(
        cls,
        feature_set: FeatureSet,
        state: FeatureState,
        *,
        history: pl.DataFrame | None = None,
        kernels: Path | None = None,
        threads: int | None = None,
    ) -> Stream:
        """A stream that goes on where a batch ended (`FeatureResult.state`).

        ``history`` are the last bars before, for windows to look at and late bars to be put in.
        """
        if state.version != feature_set.version:
            raise FeatureError(
                f"the state is of version {state.version}, the features are {feature_set.version}",
                hint="compute from the first bar again",
            )
        year = state.bars_per_year
        stream = cls(feature_set, state.instruments, bars_per_year=year, kernels=kernels, threads=threads)
        lanes = stream.lanes
        lanes.write(np.arange(len(state.instruments)), state.values)
        lanes.seen[:], lanes.last_ts[:], lanes.since[:] = state.rows, state.last_ts, state.rows
        if history is not None:
            rows = bar_rows(history.filter(pl.col("instrument_id").is_in(state.instruments)), stream.columns)
            arrays = as_rows(rows, stream.columns, state.instruments)
            for i in range(len(state.instruments)):
                span = slice(int(arrays.offsets[i]), int(arrays.offsets[i + 1]))
                lanes.remember(i, arrays.times[span], arrays.columns[:, span].T)
        stream.checkpoints.clear()
        stream._checkpoint()
        return stream

    def save(self, path: Path, note: dict[str, Any] | None = None) -> None:
        """Write everything to a file: portable numbers, a checksum, no pickle; whole or not at all.

        ``note`` is anything that JSON holds; the loaded stream has it as `note`.
        """
        arrays: dict[str, Any] = {name: getattr(self.lanes, name) for name in state_file.LANE_ARRAYS}
        arrays["state"] = self.state.values
        for k, one in enumerate(self.checkpoints):
            arrays |= {f"{name}_{k}": getattr(one, name) for name in ("stored", "seen", "last_ts")}
        header = {
            "version": self.version,
            "set": self.feature_set.name,
            "bars_per_year": self.bars_per_year,
            "instruments": list(self.instruments),
            "back": self.fixed_back,
            "checkpoints": len(self.checkpoints),
            "note": note or {},
        }
        state_file.write(path, header, arrays)

    @classmethod
    def load(
        cls,
        path: Path,
        feature_set: FeatureSet | None = None,
        *,
        kernels: Path | None = None,
        threads: int | None = None,
    ) -> Stream:
        """What `save` wrote; IntegrityError for a damaged file, FeatureError for another version.

        The set is found by its name unless it is given.
        """
        header, arrays = state_file.read(path)
        if feature_set is None:
            from nofx_pipelines.features.sets.registry import feature_set as named

            feature_set = named(*header["set"].split("+"))
        if header["version"] != feature_set.version:
            raise FeatureError(
                f"{path} is of version {header['version']}, the features are {feature_set.version}",
                kept="the file was left as it is",
                hint="compute the history again and hand it over: Stream.from_state(set, compute(...).state)",
            )
        stream = cls(
            feature_set,
            header["instruments"],
            bars_per_year=header["bars_per_year"],
            kernels=kernels,
            back=header["back"],
            threads=threads,
        )
        stream._restore(header, arrays)
        return stream

    def _restore(self, header: dict[str, Any], arrays: dict[str, Any]) -> None:
        """Take over what a file held."""
        if self.plan.layout.slots:
            self.lanes.write(np.arange(len(self.instruments)), arrays["state"])
        for name in state_file.LANE_ARRAYS:
            getattr(self.lanes, name)[...] = arrays[name]
        self.checkpoints[:] = [
            late.Checkpoint(*(arrays[f"{name}_{k}"] for name in ("stored", "seen", "last_ts")))
            for k in range(header["checkpoints"])
        ]
        self.mark()
        self.note = header["note"]

    def _admit(self, names: list[str]) -> None:
        """Make room for instruments that come for the first time."""
        fresh = [name for name in names if name not in self._index]
        if not fresh:
            return
        before, old = self._names, self.lanes
        self._names = tuple(sorted({*before, *fresh}))
        self._index = {name: i for i, name in enumerate(self._names)}
        self.lanes = StateTiles(self.plan, len(self._names), self.bars_per_year, self.depth, self._threads)
        moved = np.array([self._index[name] for name in before], np.int64)
        self.lanes.take(moved, old)
        self.checkpoints = [c.spread(moved, len(self._names), self.plan) for c in self.checkpoints]
        self.mark()
        if self.lanes.w != 1:
            self._generated, self._kernel = None, None

    def _numbers(self, rows: pl.DataFrame) -> I64:
        names = rows["instrument_id"].to_list()
        numbers = np.fromiter((self._index.get(name, -1) for name in names), np.int64, len(names))
        if (numbers < 0).any():
            unknown = names[int(np.flatnonzero(numbers < 0)[0])]
            raise FeatureError(f"{unknown} is not in the stream", hint="stream.update(bars) admits it")
        return numbers

    def _moments(self, at: I64, times: I64, columns: F64) -> late.Part:
        """Rows after the last, one time after the other."""
        order = _by_time(at, times)
        at, times, columns = at[order], times[order], np.ascontiguousarray(columns[:, order])
        ends = np.append(np.flatnonzero(times[1:] != times[:-1]) + 1, len(times))
        out, first = np.empty((len(self.outputs), len(at))), 0
        for end in ends.tolist():
            span = slice(first, end)
            out[:, span] = self.lanes.moment(at[span], times[span], columns[:, span])
            if (self.lanes.seen[at[span]] - self._marked[at[span]]).max() >= self.back:
                self._checkpoint()
            first = end
        return at, times, out

    def _replay(self, at: I64, times: I64, columns: F64) -> late.Part:
        part, used = late.replay(self.plan, self.lanes, self._names, self.checkpoints, at, times, columns)
        del self.checkpoints[used + 1 :]
        self.mark()
        if (self.lanes.seen - self._marked).max() >= self.back:
            self._checkpoint()
        return part

    def _checkpoint(self) -> None:
        self.checkpoints.append(late.checkpoint(self.plan, self.lanes))
        del self.checkpoints[:-3]
        self.mark()

    def mark(self) -> None:
        """Count the rows to the next checkpoint from the last one."""
        self._marked, self._pushes = self.checkpoints[-1].seen, 0

    def _timed(self, begun: int, rows: int) -> None:
        took = time.perf_counter_ns() - begun
        self._took_ns, self._rows = self._took_ns + took, self._rows + rows
        self._worst_ns = max(self._worst_ns, took // max(rows, 1))

    def _nothing(self, rows: pl.DataFrame) -> pl.DataFrame:
        none = np.zeros(0, np.int64)
        return self._framed([(none, none, np.zeros((len(self.outputs), 0)))], rows)

    def _framed(
        self, parts: list[late.Part], rows: pl.DataFrame, days: pl.Series | None = None
    ) -> pl.DataFrame:
        """The features of all parts, with the sessions ``days``, else those of the same keys in ``rows`` and
        of others their own day."""
        frames = [self._frame(*part) for part in parts]
        frame = frames[0] if len(frames) == 1 else pl.concat(frames)
        if days is None:
            keyed = rows.select(*KEY)
            frame = frame.join(keyed, on=["instrument_id", "ts_close"], how="left", maintain_order="left")
        else:
            frame = frame.with_columns(days)
        if TRADED in self.outputs:
            frame = frame.filter(pl.col(TRADED) == 1)
        frame = frame.with_columns(pl.coalesce("session_date", pl.col("ts_close").dt.date()))
        return frame.select(*KEY, "version", *self.feature_set.columns)

    def _frame(self, at: I64, times: I64, values: F64) -> pl.DataFrame:
        names = np.array(self._names, dtype=object)[at]
        frame = pl.DataFrame(
            {
                "instrument_id": pl.Series(names.tolist(), dtype=pl.String),
                "ts_close": pl.Series(times, dtype=pl.Int64).cast(_UTC_US),
                "version": pl.Series([self.version] * len(at), dtype=pl.String),
            }
        )
        own = [nullable(name, np.ascontiguousarray(values[k])) for k, name in enumerate(self.outputs)]
        return frame.hstack(own)


def _by_time(at: I64, times: I64) -> I64:
    """Places of rows, one moment after the other and in each by instrument."""
    return np.lexsort((at, times))
