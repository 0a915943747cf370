"""Which paths a home may have: those that every storage library under it reads as they are written."""

from __future__ import annotations

import re
from pathlib import Path

from nofx_pipelines.errors import ConfigError

_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}|\?")


def checked_path(path: Path | str) -> Path:
    """``path`` as it is; `ConfigError` where a library below would open another place.

    Delta Lake and MLflow read ``%20`` in a path as a space, and the addresses of SQLite and DuckDB end at a
    question mark: files would land in another folder, silently. Everything else (spaces, quotes, ``#``,
    ``%`` without two hex digits, Chinese) is a name like any other.

    >>> checked_path("/srv/数据 100%/it's #1").name
    "it's #1"
    >>> checked_path("/srv/a%20b")
    Traceback (most recent call last):
    nofx_pipelines.errors.ConfigError: the path '/srv/a%20b' holds '%20', which storage libraries read as ...
    """
    bad = _ESCAPE.search(str(Path(path).absolute()))
    if bad is None:
        return Path(path)
    better = _ESCAPE.sub("_", str(path))
    raise ConfigError(
        f"the path {str(path)!r} holds {bad.group()!r}, which storage libraries read as another place",
        kept="nothing was read or written",
        hint=f"mv the folder to a name without it, such as {better!r}, and pass that as --home",
    )
