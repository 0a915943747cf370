"""The stream's memory: every instrument's state in a lane of a tile, and the buffers of a moment."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.cores import cores
from nofx_pipelines.features.execution import cross_section
from nofx_pipelines.features.execution.numba_engine import Plan
from nofx_pipelines.features.kernel import blocks, tiles
from nofx_pipelines.features.kernel.cache import first_call
from nofx_pipelines.features.kernel.entries import entries_of
from nofx_pipelines.features.kernel.instruction_tables import valued
from nofx_pipelines.features.kernel.memory import aligned
from nofx_pipelines.features.kernel.simd import WIDTH

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

FEW = 16
"""Up to so many instruments each has a tile of its own: one row at a time finds its state side by side."""
LANES = 504
"""At most so many lanes has a tile else, side by side the same number of state of each: memory is read in
long stretches."""
_ROWS_A_THREAD = 400
"""Fewer rows than this are not worth a thread of their own."""
_OWN = (
    "memory", "panel", "lanes", "tiles", "bounds", "at", "times", "seen", "last_ts", "history", "history_ts",
    "last", "values", "newest",
)  # fmt: skip
"""Arrays of `StateTiles` that a frame names."""
_NOTHING = np.zeros(0)
_PLACES = {name: place for place, name in enumerate(tiles.FRAME)}


def lanes_of(instruments: int) -> int:
    """Instruments of a tile: about as many in each.

    An odd number of lines of the cache lies from one number of state to the next, so that they do not all
    fall into the same few places of it.
    """
    if instruments <= FEW:
        return 1
    tiles = -(-instruments // LANES)
    lines = -(-instruments // (tiles * WIDTH))
    return WIDTH * (lines | 1)


class StateTiles:
    """State, history and last outputs of ``instruments`` instruments, and a kernel call over them.

    ``depth`` is how many of each instrument's last rows are kept. ``threads`` over tiles, all cores by
    default; their number changes no bit.
    """

    def __init__(
        self, plan: Plan, instruments: int, bars_per_year: float, depth: int, threads: int | None = None
    ) -> None:
        self.plan, self.bars_per_year, self.depth = plan, bars_per_year, depth
        layout = plan.layout
        self.w = lanes_of(instruments)
        parts = max(1, -(-instruments // self.w))
        self.slots = max(layout.slots, 1)
        self.memory = aligned(parts, self.slots * self.w)
        self.columns, self.features = len(plan.program.columns), len(plan.outputs)
        self.seen = np.zeros(instruments, np.int64)
        self.last_ts = np.full(instruments, -(2**62), np.int64)
        self.history = np.full((instruments, depth, self.columns), np.nan)
        self.history_ts = np.zeros((instruments, depth), np.int64)
        self.since = np.zeros(instruments, np.int64)
        """The number of an instrument's first row whose bar was kept."""
        self.last = np.full((instruments, self.features), np.nan, order="C" if self.w == 1 else "F")
        self.values = np.zeros(self.features, np.int64)
        self.newest = np.full(self.features, -(2**62), np.int64)
        self.panel = aligned(plan.panel_rows, -(-max(instruments, 1) // WIDTH) * WIDTH, fill=np.nan)
        for panel_row, value in plan.fills:
            self.panel[panel_row] = valued(value, bars_per_year)
        self._base, self._apart = layout.addresses(self.w)
        if layout.slots:
            self.write(np.arange(instruments), np.tile(layout.initial_state, (instruments, 1)))
        self.at, self.times, self.lanes = (np.zeros(max(instruments, 1), np.int64) for _ in range(3))
        self.tiles, self.bounds = np.zeros(parts, np.int64), np.zeros(parts + 1, np.int64)
        self._kept: list[Any] = []
        wanted = max(1, min(threads or cores(), parts if self.w > 1 else 1))
        self.frame_sets = [[self._frame(k) for k in range(len(plan.passes))] for _ in range(wanted)]
        """Of every thread a frame a pass, with scratch of its own."""
        self.frames = self.frame_sets[0]
        self.frame = self.frames[0]
        """Of the first pass: all that a push takes."""
        first_call(tiles.tick, self.frame, -1, 0, _NOTHING, _NOTHING)  # of no tile, to have it compiled

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(len(self.frame_sets) - 1, "moment")

    def _frame(self, k: int) -> I64:
        tables, alone = self.plan.passes[k].grouped, self.w == 1
        registers = tables.registers(self.bars_per_year, FEW if alone else self.w)
        starts = np.arange(self.w + 1, dtype=np.int64)
        line = np.zeros(blocks.scratch(self.plan.layout.line, self.w, self.w))
        entries = entries_of(tables.runs, "row" if alone else "lanes")
        arrays: dict[str, Any] = {"registers": registers, "starts": starts, "entries": entries}
        arrays |= {name: getattr(tables, name) for name in ("runs", "table", "numbers", "pool", "levels")}
        if alone:
            arrays["table"], arrays["pool"] = tables.addressed(registers, self.panel)
        self._kept.append(dict(arrays, line=line))
        arrays |= {name: getattr(self, name) for name in _OWN}
        numbers = {"count": len(tables.runs), "stride": registers.shape[1] * 8, "parts": 0, "rows": 0}
        numbers |= {name: getattr(self, name) for name in ("slots", "w", "depth", "columns", "features")}
        numbers["apart"], numbers["further"] = self.last.strides
        numbers |= {"width": 0 if alone else self.panel.strides[0], "panel_row": self.panel.strides[0]}
        numbers |= {"each": 1, "line": blocks.line_of(line, self.w)}
        frame = np.zeros(len(tiles.FRAME), np.int64)
        for name, array in arrays.items():
            frame[_PLACES[name]] = array.ctypes.data
        for name, number in numbers.items():
            frame[_PLACES[name]] = number
        return frame

    def read(self, at: I64) -> F64:
        """The state of instruments, float64 [len(at), slots], in the layout of `FeatureState`."""
        tile, lane = at // self.w, at % self.w
        return self.memory[tile[:, None], self._base + lane[:, None] * self._apart]

    def write(self, at: I64, values: F64) -> None:
        """Put back what `read` gave."""
        tile, lane = at // self.w, at % self.w
        self.memory[tile[:, None], self._base + lane[:, None] * self._apart] = values

    def read_slots(self, at: I64, slots: I64) -> F64:
        """Some slots of instruments, float64 [len(at), len(slots)]."""
        tile, lane = at // self.w, at % self.w
        return self.memory[tile[:, None], self._base[slots] + lane[:, None] * self._apart[slots]]

    def history_of(self, i: int, n: int) -> tuple[I64, F64]:
        """The last up to n rows of an instrument that are known: times and bars, the oldest first."""
        have = min(n, int(self.seen[i] - self.since[i]), self.depth)
        at = np.arange(int(self.seen[i]) - have, int(self.seen[i])) % self.depth
        return self.history_ts[i, at], self.history[i, at]

    def remember(self, i: int, times: I64, bars: F64) -> None:
        """Make these the instrument's last rows, as ``seen`` counts them."""
        times, bars = times[-self.depth :], bars[-self.depth :]
        at = np.arange(int(self.seen[i]) - len(times), int(self.seen[i])) % self.depth
        self.history_ts[i, at], self.history[i, at] = times, bars
        self.since[i] = self.seen[i] - len(times)

    def take(self, at: I64, other: StateTiles) -> None:
        """All that another holds of its instruments, which stand at ``at`` here."""
        if self.plan.layout.slots:
            self.write(at, other.read(np.arange(len(at))))
        for name in ("seen", "last_ts", "since", "last"):
            getattr(self, name)[at] = getattr(other, name)
        if self.depth == other.depth:
            self.history[at], self.history_ts[at] = other.history, other.history_ts
        else:
            for before, i in enumerate(at.tolist()):
                self.remember(i, *other.history_of(before, other.depth))
        self.values[:], self.newest[:] = other.values, other.newest

    def take_last(self, at: I64, offsets: I64, outputs: F64) -> None:
        """The last outputs of rows that were computed elsewhere, float64 [features, rows]."""
        came = np.diff(offsets) > 0
        self.last[at[came]] = outputs[:, offsets[1:][came] - 1].T

    def keep(self, at: I64) -> tuple[Any, ...]:
        """All that a moment with these instruments changes."""
        place = self.seen[at] % self.depth
        return (
            at, self.read(at) if self.plan.layout.slots else None, self.seen[at], self.last_ts[at], place,
            self.history[at, place], self.history_ts[at, place], self.last[at], self.values.copy(),
            self.newest.copy(),
        )  # fmt: skip

    def put_back(self, kept: tuple[Any, ...]) -> None:
        """Undo a moment."""
        at, state, seen, last_ts, place, history, history_ts, last, values, newest = kept
        if state is not None:
            self.write(at, state)
        self.seen[at], self.last_ts[at], self.last[at] = seen, last_ts, last
        self.history[at, place], self.history_ts[at, place] = history, history_ts
        self.values[:], self.newest[:] = values, newest

    def moment(self, at: I64, times: I64, columns: F64) -> F64:
        """One row of each of some instruments, in the order of their numbers; the outputs [features, rows].

        ``columns`` float64 [columns, rows], NaN for missing. The result is a view of buffers that the next
        moment writes over.
        """
        rows = len(at)
        self.panel[: self.columns, :rows] = columns
        self.at[:rows], self.times[:rows], self.lanes[:rows] = at, times, at % self.w
        tile = at // self.w
        begins = np.flatnonzero(np.concatenate(([True], tile[1:] != tile[:-1])))
        parts = len(begins)
        self.tiles[:parts], self.bounds[:parts], self.bounds[parts] = tile[begins], begins, rows
        for k, one in enumerate(self.plan.passes):
            self._tick(k, parts, rows)
            for call in one.cross:
                cross_section.run(call, self.panel[:, :rows], np.zeros(rows, np.int64))
        for source, target in self.plan.copies:
            self.panel[target, :rows] = self.panel[source, :rows]
        tiles.note(self.frames[0])
        return self.panel[self.columns : self.columns + self.features, :rows]

    def _tick(self, k: int, parts: int, rows: int) -> None:
        """One pass over a moment's tiles, by as many threads as its rows are worth."""
        wanted = max(1, min(len(self.frame_sets), parts, rows // _ROWS_A_THREAD))
        cuts = [parts * share // wanted for share in range(wanted + 1)]
        frames = [own[k] for own in self.frame_sets[:wanted]]
        for frame, first, last in zip(frames, cuts[:-1], cuts[1:], strict=True):
            frame[_PLACES["parts"]], frame[_PLACES["rows"]] = last - first, rows
            frame[_PLACES["tiles"]] = self.tiles[first:].ctypes.data
            frame[_PLACES["bounds"]] = self.bounds[first:].ctypes.data
        waiting: list[Future[None]] = []
        try:
            waiting += [self._pool.submit(self._run, frame) for frame in frames[1:]]
            self._run(frames[0])
        finally:
            wait(waiting)  # whatever happens here: they write into these arrays
        for other in waiting:
            other.result()

    def _run(self, frame: I64) -> None:
        tiles.tick(frame, -1, 0, _NOTHING, _NOTHING)
