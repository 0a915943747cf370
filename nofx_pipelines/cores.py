"""How many cores are ours: in a container its share, not its host's."""

from __future__ import annotations

import os
from functools import cache

from nofx_pipelines.errors import ConfigError


@cache
def cores() -> int:
    """At least 1; by the process' affinity, the container's quota and ``LOKY_MAX_CPU_COUNT``.

    ConfigError where that is set to something else than a number.

    >>> cores() >= 1
    True
    """
    from joblib.externals.loky import cpu_count  # a tenth of a second: not at the import of what asks for it

    try:
        return int(cpu_count())
    except ValueError as error:
        setting = os.environ.get("LOKY_MAX_CPU_COUNT")
        raise ConfigError(f"LOKY_MAX_CPU_COUNT = {setting!r} is no number", hint="unset it") from error
