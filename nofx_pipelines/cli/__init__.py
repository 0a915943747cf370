"""The command line. `main` imports the commands only when it is called."""

from __future__ import annotations

import io
import os
import sys


def main() -> None:
    """Run ``nofx``; errors of ours become one line and exit status 2."""
    _use_utf8()
    from nofx_pipelines.cli.app import run

    run()


def _use_utf8() -> None:
    """Start again in Python's UTF-8 mode where the locale's encoding is another one.

    Under ``LC_ALL=de_DE.ISO-8859-1`` the name of a home called 行情 is none that DuckDB and Delta Lake take.
    Processes that this one starts inherit the mode.
    """
    if sys.getfilesystemencoding() != "utf-8":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONUTF8": "1"})
    if isinstance(sys.stdout, io.TextIOWrapper):  # $PYTHONIOENCODING may leave us without 价
        sys.stdout.reconfigure(errors="backslashreplace")
