"""The Numba executor: plans a program's passes and runs the kernel over each instrument's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.features import cross_section, kernel
from nofx_pipelines.features.lower import LEAVES, Instruction, Program
from nofx_pipelines.features.operators import OPERATORS
from nofx_pipelines.features.state import FeatureState

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Pass:
    """One pass over the instruments and the cross-sectional operators after it."""

    table: I64
    numbers: F64
    loads: I64
    saves: I64
    stored: I64
    """Slots that go into a snapshot, all of them this pass's own."""
    snapshot_columns: I64
    cross: tuple[tuple[int, int, int], ...]
    """Panel row read, panel row written, least number of instruments."""


@dataclass(frozen=True)
class Plan:
    """Passes over a panel: float64 [panel rows, bars], first the columns, then what is saved."""

    program: Program
    passes: tuple[Pass, ...]
    panel_rows: int
    outputs: tuple[tuple[str, int], ...]
    constants: tuple[tuple[int, float], ...]
    parameters: tuple[tuple[int, str], ...]
    fills: tuple[tuple[int, int], ...]
    """Panel row and register of constants that are themselves outputs or ranked."""


@lru_cache(maxsize=64)
def plan_of(program: Program) -> Plan:
    """Passes, and where each register lies in the panel."""
    code = program.instructions
    cross = [i for i in code if OPERATORS[i.op].kind == "cross"]
    steps = [i for i in code if i.op not in LEAVES and OPERATORS[i.op].kind != "cross"]
    outer = (
        {register for _, register in program.outputs} | {i.args[0] for i in cross} | {i.dst for i in cross}
    )
    outer |= {a for i in steps for a in i.args if code[a].stage < i.stage}
    columns = [i.dst for i in code if i.op == "column"]
    rows = {r: k for k, r in enumerate([*columns, *sorted(outer - set(columns))])}
    fixed = {i.dst for i in code if i.op in ("constant", "parameter")}
    passes = tuple(
        _pass(
            program,
            [i for i in steps if i.stage == stage],
            [i for i in cross if i.stage == stage],
            {r: k for r, k in rows.items() if r not in fixed},
        )
        for stage in range(program.stages)
    )
    return Plan(
        program=program,
        passes=passes,
        panel_rows=len(rows),
        outputs=tuple((name, rows[register]) for name, register in program.outputs),
        constants=tuple((i.dst, float(i.params[0])) for i in code if i.op == "constant"),
        parameters=tuple((i.dst, str(i.params[0])) for i in code if i.op == "parameter"),
        fills=tuple((rows[r], r) for r in sorted(fixed & set(rows))),
    )


def _pass(program: Program, steps: list[Instruction], cross: list[Instruction], rows: dict[int, int]) -> Pass:
    made = {i.dst for i in steps}
    loads = sorted({a for i in steps for a in i.args if a not in made and a in rows})
    stored = [(slot, k) for k, slot in enumerate(program.stored_slots)]
    own = {slot for i in steps for slot in range(i.slot, i.slot + i.slots)}
    stored = [(slot, k) for slot, k in stored if slot in own]
    return Pass(
        table=np.array([_table_row(i) for i in steps], np.int64).reshape(-1, kernel.FIELDS),
        numbers=np.array([_numbers(i) for i in steps], np.float64).reshape(-1, 2),
        loads=_pairs([(r, rows[r]) for r in loads]),
        saves=_pairs([(r, rows[r]) for r in sorted(made) if r in rows]),
        stored=np.array([slot for slot, _ in stored], np.int64),
        snapshot_columns=np.array([k for _, k in stored], np.int64),
        cross=tuple((rows[i.args[0]], rows[i.dst], int(i.params[0])) for i in cross),
    )


def _pairs(pairs: Sequence[tuple[int, int]]) -> I64:
    return np.array(pairs, np.int64).reshape(-1, 2)


def _table_row(i: Instruction) -> tuple[int, ...]:
    a, b, c = (*i.args, *(i.args[-1:] * 3))[:3]
    n = int(i.params[1]) if i.op == "ewm" else int(i.params[0]) if i.params else 0
    return kernel.CODES[i.op], i.dst, a, b, c, n, i.slot


def _numbers(i: Instruction) -> tuple[float, float]:
    """What the kernel calls ``least`` and ``number``."""
    if i.op == "ewm":
        return float(i.params[2]), float(i.params[0])
    least = float(i.params[1]) if len(i.params) > 1 else 0.0
    return least, float(i.params[2]) if len(i.params) > 2 else 0.0


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
    values = np.tile(np.array(program.initial_state, np.float64), (len(instruments), 1))
    zeros = np.zeros(len(instruments), np.int64)
    return FeatureState(
        program.version, bars_per_year, instruments, values, zeros, np.full_like(zeros, -(2**62))
    )


def execute(
    plan: Plan, bars: Rows, state: FeatureState, ends: list[I64] | None = None
) -> tuple[F64, list[F64]]:
    """Run all passes over ``bars``, changing ``state`` in place.

    ``state`` holds the instruments of ``bars`` in the same order. Returns the panel and, where ``ends``
    gives the row numbers at which to note it, the stored slots float64 [ends, stored] of each instrument.
    """
    total = bars.columns.shape[1]
    panel = np.full((plan.panel_rows, total), np.nan)
    panel[: len(bars.columns)] = bars.columns
    registers = _registers(plan, state.bars_per_year)
    for row, register in plan.fills:
        panel[row] = registers[register, 0]
    stops = (
        ends
        if ends is not None
        else [bars.offsets[i + 1 : i + 2].copy() for i in range(len(bars.instruments))]
    )
    stored = len(plan.program.stored_slots) if ends is not None else 0
    noted = [np.zeros((len(stop), stored)) for stop in stops]
    groups = (
        np.unique(bars.times, return_inverse=True)[1] if any(p.cross for p in plan.passes) else bars.times
    )
    for one in plan.passes:
        _run_pass(one, bars, stops, panel, registers, state, noted, ends is not None)
        for source, target, least in one.cross:
            panel[target] = cross_section.rank(panel[source], groups, least)
    _advance(bars, state)
    return panel, noted


def _registers(plan: Plan, bars_per_year: float) -> F64:
    registers = np.full((max(plan.program.registers, 1), kernel.BLOCK), np.nan)
    for register, value in plan.constants:
        registers[register] = value
    for register, _name in plan.parameters:
        registers[register] = bars_per_year
    return registers


def _run_pass(
    one: Pass,
    bars: Rows,
    stops: list[I64],
    panel: F64,
    registers: F64,
    state: FeatureState,
    noted: list[F64],
    noting: bool,
) -> None:
    stored = one.stored if noting else one.stored[:0]
    for i, stop in enumerate(stops):
        if bars.offsets[i] == bars.offsets[i + 1]:
            continue
        snapshots = np.zeros((len(stop), len(stored)))
        memory = state.values[i].reshape(-1, 1)
        start = int(bars.offsets[i])
        kernel.run(
            one.table,
            one.numbers,
            one.loads,
            one.saves,
            panel,
            start,
            stop,
            registers,
            memory,
            stored,
            snapshots,
        )
        if noting:
            noted[i][:, one.snapshot_columns] = snapshots


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
    for i in plan.program.instructions:
        if i.period:
            state.values[:, i.slot] = before % i.period
    first = Plan(plan.program, plan.passes[:1], plan.panel_rows, (), plan.constants, plan.parameters, ())
    execute(first, history, state)
    state.values[:, list(plan.program.stored_slots)] = stored
    state.rows[:], state.last_ts[:] = final_rows, final_ts
