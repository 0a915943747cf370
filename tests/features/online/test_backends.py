"""The store that a universe asks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nofx_pipelines.config import OnlineConfig, UniverseConfig
from nofx_pipelines.features.online.backends import store_of

UNIVERSE = UniverseConfig("cn", "cn", "1d")


@pytest.mark.parametrize("backend", ["mapped", "lmdb", "redis"])
def test_the_backend_and_limit_of_the_configuration(
    tmp_path: Path, backend: str, redis_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOFX_REDIS_URL", f"redis://127.0.0.1:{redis_port}/3")
    universe = replace(UNIVERSE, online=OnlineConfig(backend=backend, limit_mib=2, namespace="mine"))  # type: ignore[arg-type]
    with store_of(tmp_path, universe) as store:
        assert store.put(["a"], [1], "v", ["x"], [[1.0]]) == 1
        assert store.limit_bytes == 2 << 20
        assert backend in type(store).__name__.lower()
        assert ("{mine:cn}" if backend == "redis" else str(tmp_path)) in store.place
    with store_of(tmp_path, universe) as again:
        assert again.get(["a"]).known.all()
