"""Which process did it, and whether it still lives; processes that end with the one that started them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PROCESS_TAG = "nofx/process"
"""The tag of a Dagster run that names the process which executes it (`ProcessId.text`)."""

PARENT_VARIABLE = "NOFX_PARENT"
"""The environment variable in which a process names itself to one that it starts (`ProcessId.text`)."""

GRACE_SECONDS = 20.0
"""How long a process may take to end in an orderly way before it is killed."""

_PROC = Path("/proc")
_LOOK_SECONDS = 0.5


class Terminated(BaseException):
    """SIGTERM came: no error, so nothing between it and the command's end takes it for one."""


Life = Literal["alive", "gone", "elsewhere"]


@dataclass(frozen=True)
class ProcessId:
    """A process, told apart from every later one with the same number.

    The kernel gives numbers again, so the time of start (clock ticks since boot) belongs to it; after a
    reboot ticks begin again, so the boot's id belongs to it; other machines count for themselves.
    """

    host: str
    boot: str
    pid: int
    start: str

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The process that has the number ``pid`` now; None where there is none, or a dead one."""
        start = _start(pid)
        return None if start is None else cls(socket.gethostname(), _boot(), pid, start)

    @classmethod
    def own(cls) -> ProcessId:
        """This process.

        >>> ProcessId.own().life()
        'alive'
        """
        own = cls.of(os.getpid())
        assert own is not None
        return own

    @classmethod
    def parse(cls, text: str) -> ProcessId | None:
        """The process that ``text`` names, None for another text.

        >>> ProcessId.parse(ProcessId.own().text) == ProcessId.own()
        True
        """
        parts = text.split("|")
        if len(parts) != 4 or not parts[2].isdigit():
            return None
        return cls(parts[0], parts[1], int(parts[2]), parts[3])

    @property
    def text(self) -> str:
        """All of it in one line."""
        return f"{self.host}|{self.boot}|{self.pid}|{self.start}"

    def life(self) -> Life:
        """Whether the process lives; ``elsewhere`` where only another machine can know."""
        if self.host != socket.gethostname():
            return "elsewhere"
        return "alive" if self == ProcessId.of(self.pid) else "gone"


def started_before(pid: int, moment: float) -> bool:
    """Whether the process ``pid`` lives and began by ``moment`` (seconds since 1970; two seconds' slack).

    A process that was seen under its number at ``moment`` and does not pass has gone since.
    """
    start = _start(pid)
    if start is None:
        return False
    if not start.isdigit():
        return True  # no ticks here: the number alone has to do
    booted = time.time() - time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
    return booted + int(start) / os.sysconf("SC_CLK_TCK") <= moment + 2.0


def _start(pid: int) -> str | None:
    """When ``pid`` began, as the system says it; None for none and for one that waits to be buried."""
    if not _PROC.joinpath("self", "stat").exists():
        return _start_by_ps(pid)
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _start_by_ps(pid: int) -> str | None:
    said = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True)
    state, _, start = said.stdout.strip().partition(" ")
    return None if not start or state.startswith("Z") else start.strip()


def _boot() -> str:
    """The id of this boot, and of this namespace of process numbers (a container has its own)."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def end_with(alive: Callable[[], bool]) -> None:
    """End this process in an orderly way (SIGTERM) soon after ``alive`` says no; kill it if it stays."""

    def watch() -> None:
        while alive():
            time.sleep(_LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="nofx-end-with", daemon=True).start()


def end_with_parent() -> None:
    """End this process soon after the one that started it, however and whenever that one ended.

    A parent that names itself (`PARENT_VARIABLE`) is watched by that name, so that one which was killed
    before this call counts too; the name is not handed on to this process's own children.
    """
    named = ProcessId.parse(os.environ.pop(PARENT_VARIABLE, ""))
    parent = os.getppid()
    if named is None:
        end_with(lambda: os.getppid() == parent)
    else:
        end_with(lambda: named.life() != "gone")
