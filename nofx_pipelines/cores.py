"""How many cores are ours: in a container its share, not its host's."""

from __future__ import annotations

from functools import cache


@cache
def cores() -> int:
    """At least 1; by the process' affinity, the container's quota and ``LOKY_MAX_CPU_COUNT``.

    >>> cores() >= 1
    True
    """
    from joblib import cpu_count  # a tenth of a second: not at the import of what asks for it

    return int(cpu_count())
