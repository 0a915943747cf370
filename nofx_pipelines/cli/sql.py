"""``nofx sql``."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from nofx_pipelines.cli.terminal import write_frame
from nofx_pipelines.config import Config
from nofx_pipelines.errors import ConfigError
from nofx_pipelines.lake.query import Limits, query
from nofx_pipelines.lake.store import Lake

FORMATS = ("table", "csv", "json")
TIMEOUT_S = 300.0
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_LOOK_S = 0.05
_GRACE_S = 2.0
"""Past the limit; the engine itself stops a query earlier, but not inside one function over one value."""
_GRACE_MEMORY = 2**30
"""Bytes above the limit: the result and what the engine does not count, such as a list that a function
makes."""


def run_sql(
    home: Path,
    text: str,
    format: str,
    *,
    timeout_s: float = TIMEOUT_S,
    memory: str | None = None,
    allow_files: bool = False,
) -> None:
    """Print what ``text`` selects."""
    if format not in FORMATS:
        raise ConfigError(f"--format {format!r} is not one of {', '.join(FORMATS)}", hint="--format csv")
    if timeout_s <= 0:
        raise ConfigError(f"--timeout {timeout_s:g} is not above 0", hint=f"--timeout {TIMEOUT_S:g}")
    limits = Limits(timeout_s, half_of_memory() if memory is None else bytes_of(memory))
    lake = Lake(Config(home=home, feeds={}, universes={}).lake)
    with _watchdog(limits):
        frame = query(lake, text, limits=limits, allow_files=allow_files)
    write_frame(frame, format)


def bytes_of(text: str) -> int:
    """
    >>> bytes_of("512MB"), bytes_of("1.5 GiB")
    (512000000, 1610612736)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]i?B)\s*", text, re.IGNORECASE)
    size = int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
    if size < 10**6:
        raise ConfigError(f"--memory {text!r} is not a size of 1MB or more", hint="--memory 4GB")
    return size


def half_of_memory() -> int:
    """Half of the machine's memory, in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


@contextmanager
def _watchdog(limits: Limits) -> Iterator[None]:
    """End the process where one function runs on past the limits: nothing interrupts it, nothing is lost."""
    done = Event()
    Thread(target=_watch, args=(limits, done), daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _watch(limits: Limits, done: Event) -> None:
    began, before = time.monotonic(), _resident()
    while not done.wait(_LOOK_S):
        if limits.seconds is not None and time.monotonic() - began > limits.seconds + _GRACE_S:
            _end(f"it takes longer than {limits.seconds:g} s", "--timeout SECONDS")
        if limits.memory is not None and _resident() - before > limits.memory + _GRACE_MEMORY:
            _end(f"it needs more memory than {limits.memory / 2**30:.3g} GiB", "--memory 8GB")


def _end(problem: str, option: str) -> None:
    sys.stderr.write(
        f"nofx: SQL failed: {problem}; nothing was changed. Next: narrow it, or nofx sql {option}\n"
    )
    sys.stderr.flush()
    os._exit(2)


def _resident() -> int:
    """Bytes of memory that this process has now; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
