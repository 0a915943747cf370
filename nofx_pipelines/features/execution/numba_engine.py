"""The Numba executor: plans a program's passes and runs the kernel over each instrument's rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.cores import cores
from nofx_pipelines.features.execution import cross_section
from nofx_pipelines.features.kernel import blocks, histories
from nofx_pipelines.features.kernel.cache import first_call
from nofx_pipelines.features.kernel.codes import BLOCK
from nofx_pipelines.features.kernel.entries import entries_of
from nofx_pipelines.features.kernel.instruction_tables import (
    Fixed,
    Tables,
    clustered,
    grouped,
    tables_of,
    valued,
)
from nofx_pipelines.features.kernel.memory import aligned
from nofx_pipelines.features.kernel.simd import WIDTH
from nofx_pipelines.features.program.lowering import Program, kind_of
from nofx_pipelines.features.program.state import FeatureState
from nofx_pipelines.features.program.steps import Layout, Step, layout_of

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

_ROWS_A_THREAD = 20_000
"""Fewer rows than this are not worth a thread of their own."""
_ROWS_FOR_EIGHTS = 200_000
"""Fewer rows than this are not worth another half of the operators, compiled or read from the cache."""
_ROWS_IN_EIGHTS = 64
"""Of fewer rows than this it takes longer to put eight states side by side than it gains."""


@dataclass(frozen=True)
class Pass:
    """One pass over the instruments and the cross-sectional operators after it."""

    tables: Tables
    """In the order of the program: what a block makes is used while it is near."""
    grouped: Tables
    """Steps of one operator together, for few rows at a time."""
    eights: Tables | None
    """For eight instruments at once; None where steps run at the rows of a condition alone."""
    stored: I64
    """Slots that go into a snapshot, all of them this pass's own."""
    snapshot_columns: I64
    cross: tuple[cross_section.Call, ...]


@dataclass(frozen=True)
class Plan:
    """Passes over a panel: float64 [panel rows, bars], the columns, the outputs, what else is saved."""

    program: Program
    layout: Layout
    passes: tuple[Pass, ...]
    panel_rows: int
    outputs: tuple[tuple[str, int], ...]
    copies: tuple[tuple[int, int], ...]
    """Panel rows of cross-sectional operators that are features under several names."""
    fills: tuple[tuple[int, Fixed], ...]
    """Panel rows of constants and parameters that are themselves outputs or ranked."""


@lru_cache(maxsize=64)
def plan_of(program: Program) -> Plan:
    """Passes, and where each register lies in the panel."""
    code, layout = program.instructions, layout_of(program)
    cross = [i for i in code if kind_of(i.op) == "cross"]
    outer = {register for _, register in program.outputs}
    outer |= {a for i in cross for a in (*i.args, i.dst)}
    outer |= {
        a for s in layout.steps for a in s.reads if code[a].stage < s.stage or kind_of(code[a].op) == "cross"
    }
    columns = [i.dst for i in code if i.op == "column"]
    made_outputs = [register for _, register in program.outputs]
    inner = sorted(outer - set(columns) - set(made_outputs))
    places: dict[int, list[int]] = {}
    for k, register in enumerate([*columns, *made_outputs, *inner]):
        places.setdefault(register, []).append(k)
    rows = {register: found[0] for register, found in places.items()}
    moved = [(found[0], k) for r, found in places.items() if code[r].op == "column" for k in found[1:]]
    crossed = [found for r, found in places.items() if kind_of(code[r].op) == "cross"]
    fixed: dict[int, Fixed] = {
        i.dst: float(i.params[0]) if i.op == "constant" else str(i.params[0])
        for i in code
        if i.op in ("constant", "parameter")
    }
    passes = tuple(
        _pass(
            layout,
            [s for s in layout.steps if s.stage == stage],
            tuple(cross_section.call_of(i, rows) for i in cross if i.stage == stage),
            places,
            fixed,
            moved if stage == 0 else [],
        )
        for stage in range(program.stages)
    )
    return Plan(
        program=program,
        layout=layout,
        passes=passes,
        panel_rows=len(columns) + len(made_outputs) + len(inner),
        outputs=tuple((name, len(columns) + k) for k, (name, _) in enumerate(program.outputs)),
        copies=tuple((found[0], k) for found in crossed for k in found[1:]),
        fills=tuple((k, value) for r, value in fixed.items() for k in places.get(r, ())),
    )


def _pass(
    layout: Layout,
    steps: list[Step],
    cross: tuple[cross_section.Call, ...],
    places: dict[int, list[int]],
    fixed: dict[int, Fixed],
    moved: list[tuple[int, int]],
) -> Pass:
    own = {slot for s in steps for slot in range(s.slot, s.slot + len(s.initial))}
    stored = [(slot, k) for k, slot in enumerate(layout.stored_slots) if slot in own]
    return Pass(
        tables=tables_of(clustered(steps), places, fixed, moved),
        grouped=tables_of(grouped(steps), places, fixed, moved),
        eights=None
        if any(s.clock >= 0 or s.op in ("sample", "hold") for s in steps)
        else tables_of(steps, places, fixed, moved, eights=True),
        stored=np.array([slot for slot, _ in stored], np.int64),
        snapshot_columns=np.array([k for _, k in stored], np.int64),
        cross=cross,
    )


@dataclass(frozen=True)
class Rows:
    """Bars sorted by instrument and time.

    ``columns`` float64 [columns, N] with NaN for missing; ``offsets`` int64 [instruments + 1];
    ``times`` int64 [N] microseconds; ``sessions`` int64 [N] days since 1970.
    """

    instruments: tuple[str, ...]
    offsets: I64
    columns: F64
    times: I64
    sessions: I64


def empty_state(program: Program, instruments: tuple[str, ...], bars_per_year: float) -> FeatureState:
    """The state of instruments before their first row."""
    values = np.tile(np.array(plan_of(program).layout.initial_state, np.float64), (len(instruments), 1))
    zeros = np.zeros(len(instruments), np.int64)
    return FeatureState(
        program.version, bars_per_year, instruments, values, zeros, np.full_like(zeros, -(2**62))
    )


def execute(
    plan: Plan, bars: Rows, state: FeatureState, ends: list[I64] | None = None, threads: int | None = None
) -> tuple[F64, list[F64]]:
    """Run all passes over ``bars``, changing ``state`` in place.

    ``state`` holds the instruments of ``bars`` in the same order. Returns the panel and, where ``ends``
    gives the row numbers at which to note it, the stored slots float64 [ends, stored] of each instrument.
    ``threads`` defaults to the cores; their number changes no bit.
    """
    panel = np.empty((plan.panel_rows, bars.columns.shape[1]))
    panel[: len(bars.columns)] = bars.columns
    for row, value in plan.fills:
        panel[row] = valued(value, state.bars_per_year)
    stops = ends if ends is not None else [bars.offsets[i + 1 : i + 2] for i in range(len(bars.instruments))]
    spans, offsets = _spans(bars, stops)
    stored = len(plan.layout.stored_slots) if ends is not None else 0
    noted = np.zeros((len(spans), stored))
    moments = None
    for one in plan.passes:
        _run_pass(plan, one, panel, spans, offsets, state, noted, threads)
        if one.cross:
            moments = np.unique(bars.times, return_inverse=True)[1] if moments is None else moments
            for call in one.cross:
                cross_section.run(call, panel, moments)
    for source, target in plan.copies:
        panel[target] = panel[source]
    _advance(bars, state)
    return panel, [noted[offsets[i] : offsets[i + 1]] for i in range(len(stops))]


def _spans(bars: Rows, stops: list[I64]) -> tuple[I64, I64]:
    """Rows from and to, for every stop of every instrument, and where each instrument's stops begin."""
    offsets = np.concatenate(([0], np.cumsum([len(stop) for stop in stops]))).astype(np.int64)
    spans = np.zeros((int(offsets[-1]), 2), np.int64)
    spans[:, 1] = np.concatenate(stops) if stops else 0
    if len(spans):
        spans[1:, 0] = spans[:-1, 1]
        begun = offsets[:-1][np.diff(offsets) > 0]
        spans[begun, 0] = bars.offsets[:-1][np.diff(offsets) > 0]
    return spans, offsets


def _run_pass(
    plan: Plan,
    one: Pass,
    panel: F64,
    spans: I64,
    offsets: I64,
    state: FeatureState,
    noted: F64,
    threads: int | None,
) -> None:
    """The kernel over all instruments, in as many parts as there are threads."""
    stored = one.stored if noted.shape[1] else one.stored[:0]
    snapshots = np.zeros((len(spans), len(stored)))
    spans, begins = spans.copy(), offsets[:-1].copy()  # what is done in eights is noted there
    alone = entries_of(one.tables.runs, "rows")
    rows = np.add.reduceat(np.append(spans[:, 1] - spans[:, 0], 0), offsets[:-1]) * (np.diff(offsets) > 0)
    scratch = blocks.scratch(plan.layout.line, BLOCK, 1)

    def part(first: int, last: int) -> None:
        own, begin, states = offsets[first : last + 1], begins[first:last], state.values[first:last]
        members = eights_of(rows[first:last], state.rows[first:last])
        if one.eights is not None and panel.shape[1] >= _ROWS_FOR_EIGHTS and len(members):
            base, apart = plan.layout.addresses(WIDTH)
            first_call(
                histories.run_eights,
                *(one.eights.runs, entries_of(one.eights.runs, "lanes"), *one.eights.arrays[1:]),
                *(panel, members, begin, own, spans),
                one.eights.registers(state.bars_per_year, BLOCK),
                *(states, base, apart, aligned(plan.layout.slots * WIDTH), stored, snapshots),
                np.zeros(scratch),
            )
        first_call(
            histories.run,
            *(one.tables.runs, alone, *one.tables.arrays[1:]),
            *(panel, begin, own, spans),
            one.tables.registers(state.bars_per_year, BLOCK),
            *(states, stored, snapshots, np.zeros(scratch)),
        )

    cuts = _cuts(spans, offsets, panel.shape[1], threads)
    if len(cuts) == 2:
        part(0, len(offsets) - 1)
    elif len(cuts) > 2:
        with ThreadPoolExecutor(len(cuts) - 1) as pool:
            list(pool.map(part, cuts[:-1], cuts[1:]))
    if noted.shape[1]:
        noted[:, one.snapshot_columns] = snapshots


def eights_of(rows: I64, seen: I64) -> I64:
    """Instruments that can be computed eight at a time, int64 [eights, 8]: they have seen as many rows, so
    that their windows stand at the same position, and of those of about as many rows to come.
    """
    order = np.lexsort((rows, seen))
    order = order[rows[order] >= _ROWS_IN_EIGHTS]
    found = [
        same[len(same) % WIDTH :].reshape(-1, WIDTH)
        for same in np.split(order, np.flatnonzero(np.diff(seen[order])) + 1)
    ]
    return np.concatenate(found).astype(np.int64)


def _cuts(spans: I64, offsets: I64, total: int, threads: int | None) -> list[int]:
    """The instruments at which each thread's part begins, parts of about as many rows."""
    instruments = len(offsets) - 1
    wanted = max(1, min(threads or cores(), total // _ROWS_A_THREAD, instruments))
    if wanted == 1 or not len(spans):
        return [0, instruments]
    done = np.concatenate(([0], np.cumsum(spans[:, 1] - spans[:, 0])))[offsets]
    inner = np.searchsorted(done, np.arange(1, wanted) * done[-1] / wanted)
    return sorted({0, instruments, *(int(k) for k in inner)})


def _advance(bars: Rows, state: FeatureState) -> None:
    counts = np.diff(bars.offsets)
    state.rows[:] += counts
    came = counts > 0
    state.last_ts[came] = bars.times[bars.offsets[1:][came] - 1]


def rebuild(plan: Plan, history: Rows, state: FeatureState, stored: F64) -> None:
    """Fill ``state`` from the last rows of bars and the stored slots, bit for bit what it was.

    Windows depend on the values in them and on their position in blocks of n rows, nothing else; so
    they are run again over the last ``lookback`` rows, starting at the position that those rows had.
    """
    final_rows, final_ts = state.rows.copy(), state.last_ts.copy()
    before = state.rows - np.diff(history.offsets)
    for s in plan.layout.steps:
        if s.period:
            state.values[:, s.slot] = (before + s.phase) % s.period
    execute(replace(plan, passes=plan.passes[:1]), history, state)
    state.values[:, list(plan.layout.stored_slots)] = stored
    state.rows[:], state.last_ts[:] = final_rows, final_ts
