"""Steps as the kernel reads them: tables of numbers, with registers given out and taken back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.features.kernel import codes
from nofx_pipelines.features.kernel.memory import UNWANTED, aligned, in_panel
from nofx_pipelines.features.program.steps import Step

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Fixed = float | str
"""A constant, or the name of a parameter."""

_SEVERAL = frozenset({"refs", "counts", "shape", "trend", "pair", "order", "highest", "lowest"})


@dataclass(frozen=True)
class Tables:
    """The arrays of `blocks.step`, and what its registers begin with."""

    runs: I64
    table: I64
    numbers: F64
    pool: I64
    levels: F64
    width: int
    """Registers needed."""
    fixed: tuple[tuple[int, Fixed], ...]

    @property
    def arrays(self) -> tuple[I64, I64, F64, I64, F64]:
        """The first arguments of every kernel."""
        return self.runs, self.table, self.numbers, self.pool, self.levels

    def registers(self, bars_per_year: float, rows: int) -> F64:
        """Registers for blocks of ``rows``, constants and parameters filled in."""
        registers = aligned(max(self.width, 1), rows, fill=math.nan)
        for register, value in self.fixed:
            registers[register] = valued(value, bars_per_year)
        return registers

    def addressed(self, registers: F64, panel: F64) -> tuple[I64, I64]:
        """``table`` and ``pool`` with addresses for places, as `memory.at_row` takes them."""

        def addresses(places: I64) -> I64:
            here = registers.ctypes.data + places * registers.strides[0]
            there = panel.ctypes.data + (-2 - places) * panel.strides[0]
            return np.where(places == UNWANTED, UNWANTED, np.where(places >= 0, here, there))

        table, pool = self.table.copy(), self.pool.copy()
        table[:, 1:5], pool[:, 0] = addresses(table[:, 1:5]), addresses(pool[:, 0])
        return table, pool


def valued(value: Fixed, bars_per_year: float) -> float:
    """The number that a constant or a parameter stands for."""
    return bars_per_year if isinstance(value, str) else value


def tables_of(
    steps: Sequence[Step],
    rows: Mapping[int, Sequence[int]],
    fixed: Mapping[int, Fixed],
    moved: Sequence[tuple[int, int]] = (),
    *,
    eights: bool = False,
) -> Tables:
    """The tables of one pass.

    ``rows`` says where values lie in the panel: operands are read and written there; what lies in several
    places is copied to the others; ``moved`` are panel rows that are copied to others. With ``eights`` the
    panel's rows are not those of the registers: values are loaded before their first use and saved to all
    places. A register is free again after its last use.
    """
    drawn = _Drawn(rows, fixed, _last_uses(steps), eights)
    for source, target in moved:
        drawn.copy(source, target)
    for place, step in enumerate(steps):
        drawn.turn(step.clock)
        drawn.add(place, step)
    drawn.turn(-1)
    table = np.array(drawn.table, np.int64).reshape(-1, codes.FIELDS)
    return Tables(
        runs=_runs(table[:, 0]),
        table=table,
        numbers=np.array(drawn.numbers, np.float64).reshape(-1, 2),
        pool=np.array(drawn.pool, np.int64).reshape(-1, 2),
        levels=np.array(drawn.levels, np.float64).reshape(-1, 2),
        width=drawn.width,
        fixed=tuple((drawn.at[r], fixed[r]) for r in drawn.at if r in fixed),
    )


def _runs(codes: I64) -> I64:
    """Code, first and one after the last of the instructions of one operator that follow each other."""
    if len(codes) == 0:
        return np.zeros((0, 3), np.int64)
    first = np.flatnonzero(np.concatenate(([True], codes[1:] != codes[:-1])))
    return np.stack([codes[first], first, np.append(first[1:], len(codes))], axis=1)


def grouped(steps: Sequence[Step]) -> list[Step]:
    """The steps with those of one operator together, as far as operands allow: the most ready ones first."""
    made = {register: place for place, step in enumerate(steps) for register, _ in step.outs}
    needs = [{made[a] for a in step.reads if a in made} for step in steps]
    waiting, done, order, clock = list(range(len(steps))), set[int](), list[int](), -1
    while waiting:
        ready: dict[tuple[int, str], list[int]] = {}
        for place in waiting:
            if needs[place] <= done:
                ready.setdefault((steps[place].clock, steps[place].op), []).append(place)
        clock = clock if any(own == clock for own, _ in ready) else next(iter(ready))[0]
        chosen = max((places for (own, _), places in ready.items() if own == clock), key=len)
        order += chosen
        done |= set(chosen)
        waiting = [place for place in waiting if place not in done]
    return [steps[place] for place in order]


def _last_uses(steps: Sequence[Step]) -> dict[int, int]:
    """The last step that needs each register, its condition's too."""
    return {a: place for place, step in enumerate(steps) for a in step.reads}


def clustered(steps: Sequence[Step]) -> list[Step]:
    """The steps in their order, those of one clock together as far as operands allow."""
    if all(step.clock < 0 for step in steps):
        return list(steps)
    made = {register for step in steps for register, _ in step.outs}
    waiting, order, clock = list(steps), list[Step](), -1
    while waiting:
        ready = [s for s in waiting if not made.intersection(s.reads)]
        own = [s for s in ready if s.clock == clock]
        if not own:
            clock = ready[0].clock
            continue
        order.append(own[0])
        waiting.remove(own[0])
        made -= {register for register, _ in own[0].outs}
    return order


@dataclass
class _Drawn:
    """The tables while they are being written."""

    rows: Mapping[int, Sequence[int]]
    fixed: Mapping[int, Fixed]
    last: Mapping[int, int]
    eights: bool
    table: list[tuple[int, ...]] = field(default_factory=list)
    numbers: list[tuple[float, float]] = field(default_factory=list)
    pool: list[tuple[int, int]] = field(default_factory=list)
    levels: list[tuple[float, float]] = field(default_factory=list)
    at: dict[int, int] = field(default_factory=dict)
    """Where the program's registers lie in the kernel's."""
    free: list[int] = field(default_factory=list)
    width: int = 0
    clock: int = -1

    def turn(self, clock: int) -> None:
        """Go on with the rows of a condition, or with all rows (-1)."""
        if clock != self.clock:
            at = UNWANTED if clock < 0 else self._operand(clock)
            self._row((codes.TURN, 0, at, *[0] * 6), (0.0, 0.0))
            self.clock = clock

    def add(self, place: int, step: Step) -> None:
        """The step's row, with the loads before it and the saves after it."""
        args = [self._operand(a) for a in step.args]
        made = [(self._given(r) if r >= 0 else UNWANTED, r, lag) for r, lag in step.outs]
        first, outs = len(self.pool), [(at, lag) for at, _, lag in made]
        if step.op in _SEVERAL:
            self.pool += outs
            self.levels += step.levels or [(0.0, 0.0)] * len(outs)
        a, b, c = (*args, *(args[-1:] * 3))[:3]
        row = (codes.CODES[step.op], outs[0][0], a, b, c, step.n, step.slot, first, len(self.pool))
        self._row(row, (step.least, step.number))
        for at, register, _ in made:
            for other in self.rows.get(register, ())[0 if self.eights else 1 :]:
                if self.eights:
                    self._move(codes.SAVE, other, at)
                else:
                    self._move(codes.COPY, in_panel(other), at)
        used = (*step.reads, *(r for r, _ in step.outs))
        done = {r for r in used if r >= 0 and self.last.get(r, place) <= place} - set(self.fixed)
        self.free += [self.at[r] for r in sorted(done) if self.at[r] >= 0]

    def copy(self, source: int, target: int) -> None:
        """A panel row to another."""
        if self.eights:
            at = self._given(-1)
            self._move(codes.LOAD, at, source)
            self._move(codes.SAVE, target, at)
            self.free.append(self.at.pop(-1))
        else:
            self._move(codes.COPY, in_panel(target), in_panel(source))

    def _move(self, code: int, target: int, source: int) -> None:
        self._row((code, target, source, *[0] * 6), (0.0, 0.0))

    def _row(self, row: tuple[int, ...], numbers: tuple[float, float]) -> None:
        self.table.append(row)
        self.numbers.append(numbers)

    def _given(self, register: int) -> int:
        if register in self.rows and not self.eights:
            self.at[register] = in_panel(self.rows[register][0])
            return self.at[register]
        if not self.free:
            self.free.append(self.width)
            self.width += 1
        self.at[register] = self.free.pop()
        return self.at[register]

    def _operand(self, register: int) -> int:
        if register not in self.at and register in self.fixed:
            self.at[register] = self.width
            self.width += 1
        elif register not in self.at and self.eights:
            self._move(codes.LOAD, self._given(register), self.rows[register][0])
        elif register not in self.at:
            self.at[register] = in_panel(self.rows[register][0])
        return self.at[register]
