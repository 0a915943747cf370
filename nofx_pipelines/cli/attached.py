"""``python -m nofx_pipelines.cli.attached COMMAND…``: a command that ends with the process that asked for it.

A server starts servers of its own, which outlive it when it is killed. This process leads their group and
ends the whole group as soon as its own parent is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

_LOOK_SECONDS = 0.5
_GRACE_SECONDS = 10.0


def main(command: list[str]) -> int:
    """Run ``command`` to its end, or to the end of this process's parent."""
    parent = os.getppid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # the group gets it too: the command ends, then this
    process = subprocess.Popen(command)
    while process.poll() is None and os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    if process.poll() is None:
        _end_group(process)
    return process.returncode or 0


def _end_group(process: subprocess.Popen[bytes]) -> None:
    os.killpg(0, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
