"""Timing for the tables: median CPU seconds of this thread over repeated calls, and the machine's line."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from nofx_pipelines.cores import cores


def median_seconds(call: Callable[[], object], *, repeats: int = 5, cpu: bool = False) -> float:
    """Median of ``repeats`` timed calls after one that is not counted; wall, or CPU of all threads."""
    clock = time.process_time if cpu else time.perf_counter
    call()
    taken = []
    for _ in range(repeats):
        began = clock()
        call()
        taken.append(clock() - began)
    return statistics.median(taken)


def machine() -> str:
    """One line on what the figures were taken on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return f"{cores()} cores of {model}, {platform.system()}, CPython {platform.python_version()}"


def machine_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table under its title and the machine's line."""
    lines = [f"## {title}", "", machine(), "", f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"
