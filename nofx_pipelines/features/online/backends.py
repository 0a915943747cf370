"""The online store that a universe asks for."""

from __future__ import annotations

import os
from pathlib import Path

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.features.online.mapped_store import MappedStore
from nofx_pipelines.features.online.store import OnlineStore

REDIS_URL = "NOFX_REDIS_URL"
LOCAL_REDIS = "redis://127.0.0.1:6379/0"


def store_of(home: Path, universe: UniverseConfig) -> OnlineStore:
    """The store of ``[universes.X.online] backend``: under ``home``, or on the server of ``NOFX_REDIS_URL``.

    >>> store_of(Path("/srv/nofx"), UniverseConfig("cn", "cn", "1d")).place
    '/srv/nofx/online/cn/features.online'
    """
    asked, folder = universe.online, home / "online" / universe.name
    limit = None if asked.limit_mib is None else asked.limit_mib << 20
    if asked.backend == "lmdb":
        from nofx_pipelines.features.online.lmdb_store import LmdbStore

        return LmdbStore(folder / "features.lmdb", limit_bytes=limit)
    if asked.backend == "redis":
        from nofx_pipelines.features.online.redis_store import RedisStore

        url = os.environ.get(REDIS_URL, LOCAL_REDIS)
        return RedisStore(url, universe.name, namespace=asked.namespace, limit_bytes=limit)
    return MappedStore(folder / "features.online", limit_bytes=limit)
