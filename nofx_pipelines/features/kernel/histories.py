"""The batch executor: the rows of many instruments, one instrument after the other or eight at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.features.kernel import rows as row
from nofx_pipelines.features.kernel.blocks import step
from nofx_pipelines.features.kernel.cache import cached
from nofx_pipelines.features.kernel.codes import SEGMENTS, TURNS
from nofx_pipelines.features.kernel.simd import WIDTH, bits, get_eight

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]


@cached(**row.COMPILE)
def run(
    runs: I64, entries: I64, table: I64, numbers: F64, pool: I64, levels: F64, panel: F64, begins: I64,
    offsets: I64, ends: I64, registers: F64, states: F64, stored: I64, snapshots: F64, scratch: F64,
) -> None:  # fmt: skip
    """The rows of many instruments, one after the other, each with its state noted at its ends.

    ``runs`` to ``levels`` as in `blocks.step`; ``panel`` float64 [rows, N]. Instrument i has the ends
    ``begins[i]`` to ``offsets[i + 1]`` of ``ends`` int64 [E, 2]: the row to begin at and the row after
    the last. ``registers`` float64 [registers, BLOCK], ``states`` float64 [instruments, slots];
    ``snapshots`` float64 [E, stored] receives the slots ``stored``; ``scratch`` as `blocks.scratch` counts.
    """
    z = np.zeros(8, np.int64)
    z[0], z[1], z[2] = table.ctypes.data, numbers.ctypes.data, pool.ctypes.data
    z[3], z[4], z[5] = levels.ctypes.data, registers.ctypes.data, registers.shape[1] * 8
    z[7] = panel.shape[1] * 8
    g = np.zeros(SEGMENTS + 3, np.int64)  # then two starts and a lane
    starts = g.ctypes.data + SEGMENTS * 8
    g[1], g[2], g[3], g[5] = starts, starts + 16, 1, scratch.ctypes.data + 8 * (SEGMENTS + 3)
    for i in range(len(offsets) - 1):
        m = states.ctypes.data + i * states.shape[1] * 8
        for e in range(begins[i], offsets[i + 1]):
            t, end = ends[e, 0], ends[e, 1]
            while t < end:
                g[0] = g[SEGMENTS + 1] = min(registers.shape[1], end - t)
                z[6] = panel.ctypes.data + t * 8
                step(runs.ctypes.data, len(runs), entries.ctypes.data, z.ctypes.data, g.ctypes.data, m, 1)
                t += g[0]
            for j in range(len(stored)):
                snapshots[e, j] = states[i, stored[j]]


@cached(**row.COMPILE)
def run_eights(
    runs: I64, entries: I64, table: I64, numbers: F64, pool: I64, levels: F64, panel: F64, members: I64,
    begins: I64, offsets: I64, ends: I64, registers: F64, states: F64, base: I64, apart: I64, memory: F64,
    stored: I64, snapshots: F64, scratch: F64,
) -> None:  # fmt: skip
    """The rows that eight instruments all have, eight after eight: ``members`` int64 [eights, 8].

    As `run`, with the tables and entries of lanes. What is done is noted in ``begins`` and ``ends``, so that
    `run` goes on with the rest. ``memory`` float64 [slots * 8] holds eight states side by side, slot k of
    lane s at ``base[k] + s * apart[k]``.
    """
    z = np.zeros(8, np.int64)
    z[0], z[1], z[2] = table.ctypes.data, numbers.ctypes.data, pool.ctypes.data
    z[3], z[4], z[5] = levels.ctypes.data, registers.ctypes.data, registers.shape[1] * 8
    z[6], z[7] = panel.ctypes.data, panel.shape[1] * 8
    g = np.zeros(SEGMENTS + 3 * WIDTH + 1, np.int64)  # then starts, lanes, the panel's rows
    starts = g.ctypes.data + SEGMENTS * 8
    lanes, places = starts + (WIDTH + 1) * 8, starts + (2 * WIDTH + 1) * 8
    g[1], g[2], g[3], g[5], g[6] = starts, lanes, WIDTH, scratch.ctypes.data + 8 * (SEGMENTS + 3), places
    t = g[SEGMENTS + 2 * WIDTH + 1 :]
    for s in range(WIDTH):
        g[SEGMENTS + s + 1], g[SEGMENTS + WIDTH + 1 + s] = s + 1, s
    for q in range(len(members)):
        for s in range(WIDTH):
            t[s] = ends[begins[members[q, s]], 0]
            for k in range(len(base)):
                memory[base[k] + s * apart[k]] = states[members[q, s], k]
        going = True
        while going:
            rows = TURNS
            for s in range(WIDTH):
                rows = min(rows, ends[begins[members[q, s]], 1] - t[s])
            g[0], g[4] = rows * WIDTH, rows
            if rows > 0:
                step(
                    runs.ctypes.data, len(runs), entries.ctypes.data, z.ctypes.data, g.ctypes.data,
                    memory.ctypes.data, WIDTH,
                )  # fmt: skip
            for s in range(WIDTH):
                i = members[q, s]
                t[s] += rows
                if t[s] == ends[begins[i], 1]:
                    for j in range(len(stored)):
                        snapshots[begins[i], j] = memory[base[stored[j]] + s * apart[stored[j]]]
                    begins[i] += 1
                    going &= begins[i] < offsets[i + 1]
        for s in range(WIDTH):
            i = members[q, s]
            if begins[i] < offsets[i + 1]:
                ends[begins[i], 0] = t[s]
            for k in range(len(base)):
                states[i, k] = memory[base[k] + s * apart[k]]


@cached(**row.COMPILE)
def valid_bits(values: F64, found: U8) -> int:
    """Where values are there, a bit each, the first the lowest of its byte; gives how many are.

    ``found`` uint8 [(len(values) + 7) // 8].
    """
    whole, at, count = len(values) // WIDTH, values.ctypes.data, 0
    for k in range(whole):
        value = get_eight(at, k * WIDTH)
        found[k] = bits(value == value)
        if found[k] == 255:
            count += WIDTH
        else:
            for r in range(WIDTH):
                count += (found[k] >> r) & 1
    last = 0
    for r in range(whole * WIDTH, len(values)):
        there = 1 if values[r] == values[r] else 0
        last += there << (r - whole * WIDTH)
        count += there
    if whole * WIDTH < len(values):
        found[whole] = last
    return count
