"""The Redis store: what its server sees, and what is said when there is none."""

from __future__ import annotations

import multiprocessing as mp
import time
from typing import Any

import numpy as np
import pytest

from nofx_pipelines.errors import FeatureError

pytest.importorskip("redis", reason="pip install redis")

from nofx_pipelines.features.online.redis_store import RedisStore

ENTITIES = [f"E{k:03d}" for k in range(60)]


def test_one_blob_an_entity_of_the_documented_layout(redis_client: Any, redis_port: int) -> None:
    store = RedisStore(f"redis://127.0.0.1:{redis_port}/0", "cn")
    store.put(["a", "b"], [7, 8], "v1", ["x", "y"], [[1.0, 2.0], [3.0, 4.0]], now_us=9)
    assert redis_client.hlen("{nofx:cn}:vector") == 2
    words = np.frombuffer(redis_client.hget("{nofx:cn}:vector", "b"), "<u8")
    assert words[:2].tolist() == [8, 9]
    assert words[3:].view("<f8").tolist() == [3.0, 4.0]
    assert redis_client.zscore("{nofx:cn}:time", "a") == 7
    assert not redis_client.exists("{nofx:cn}:used")


def test_namespaces_do_not_meet(redis_client: Any, redis_port: int) -> None:
    url = f"redis://127.0.0.1:{redis_port}/0"
    one, other = RedisStore(url, "cn", namespace="one"), RedisStore(url, "cn", namespace="other")
    one.put(["a"], [7], "v1", ["x"], [[1.0]])
    assert other.version is None
    other.put(["a"], [1], "v2", ["x"], [[2.0]])
    assert one.get(["a"]).values.tolist() == [[1.0]]


def _hammer(port: int, seed: int, until: float) -> None:
    store, when = RedisStore(f"redis://127.0.0.1:{port}/0", "shared"), seed
    while time.monotonic() < until:
        when += 2
        store.put(ENTITIES, [when] * 60, "v", ["x", "y"], np.full((60, 2), float(when)))


def test_two_writers_and_a_reader_see_whole_vectors_and_no_step_back(
    redis_client: Any, redis_port: int
) -> None:
    until = time.monotonic() + 3.0
    writers = [mp.get_context("spawn").Process(target=_hammer, args=(redis_port, k, until)) for k in (0, 1)]
    for writer in writers:
        writer.start()
    store = RedisStore(f"redis://127.0.0.1:{redis_port}/0", "shared")
    while store.version is None:
        time.sleep(0.01)
    reads, last = 0, np.zeros(len(ENTITIES), np.int64)
    while any(writer.is_alive() for writer in writers):
        found = store.get(ENTITIES)
        assert (found.values == found.event_time[:, None]).all()
        assert (found.event_time >= last).all()
        last, reads = found.event_time, reads + 1
    assert reads > 20
    assert last.max() > 10
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0


def test_a_damaged_blob_is_never_served(redis_client: Any, redis_port: int) -> None:
    store = RedisStore(f"redis://127.0.0.1:{redis_port}/0", "cn")
    store.put(["a", "b"], [7, 7], "v1", ["x"], [[1.5], [2.5]])
    blob = bytearray(redis_client.hget("{nofx:cn}:vector", "a"))
    blob[25] ^= 4
    redis_client.hset("{nofx:cn}:vector", "a", bytes(blob))
    with pytest.raises(FeatureError, match="the vector of a is damaged"):
        store.get(["b", "a"])
    assert store.get(["b"]).values.tolist() == [[2.5]]


def test_a_server_that_is_away_is_named_without_the_password() -> None:
    store = RedisStore("redis://me:secret@127.0.0.1:1/0", "cn")
    with pytest.raises(FeatureError, match=r"redis://127\.0\.0\.1:1/0") as raised:
        store.get(["a"])
    assert "secret" not in str(raised.value)
    assert "NOFX_REDIS_URL" in str(raised.value)


def test_a_put_larger_than_one_script_call(redis_client: Any, redis_port: int) -> None:
    store = RedisStore(f"redis://127.0.0.1:{redis_port}/0", "cn")
    names, matrix = [f"N{k}" for k in range(1_234)], np.random.default_rng(0).normal(size=(1_234, 3))
    assert store.put(names, [5] * 1_234, "v", ["x", "y", "z"], matrix) == 1_234
    np.testing.assert_array_equal(store.get(names).values, matrix)
