"""The online store that a universe asks for."""

from __future__ import annotations

import os
import re
from pathlib import Path

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.errors import ConfigError
from nofx_pipelines.features.online.mapped_store import MappedStore
from nofx_pipelines.features.online.store import OnlineStore

REDIS_URL = "NOFX_REDIS_URL"
LOCAL_REDIS = "redis://127.0.0.1:6379/0"


def store_of(home: Path, universe: UniverseConfig, namespace: str = "") -> OnlineStore:
    """The store of ``[universes.X.online] backend``: under ``home``, or on the server of ``NOFX_REDIS_URL``.

    ``namespace`` is another store of the same universe beside it, for another version of features;
    ConfigError where it is no name.

    >>> store_of(Path("/srv/nofx"), UniverseConfig("cn", "cn", "1d")).place
    '/srv/nofx/online/cn/features.online'
    >>> store_of(Path("/srv/nofx"), UniverseConfig("cn", "cn", "1d"), "next").place
    '/srv/nofx/online/cn/@next/features.online'
    """
    asked, folder, key = universe.online, home / "online" / universe.name, universe.name
    if namespace:
        folder, key = folder / f"@{checked_namespace(namespace)}", f"{key}@{namespace}"
    limit = None if asked.limit_mib is None else asked.limit_mib << 20
    if asked.backend == "lmdb":
        from nofx_pipelines.features.online.lmdb_store import LmdbStore

        return LmdbStore(folder / "features.lmdb", limit_bytes=limit)
    if asked.backend == "redis":
        from nofx_pipelines.features.online.redis_store import RedisStore

        url = os.environ.get(REDIS_URL, LOCAL_REDIS)
        return RedisStore(url, key, namespace=asked.namespace, limit_bytes=limit)
    return MappedStore(folder / "features.online", limit_bytes=limit)


def checked_namespace(name: str) -> str:
    """The name of a namespace; ConfigError where it is none.

    >>> checked_namespace("v2")
    'v2'
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", name):
        raise ConfigError(
            f"namespace {name!r} is not 1 to 32 of a-z, 0-9, _ and -, a letter or digit first",
            hint="--namespace next",
        )
    return name
