"""The hand-over from the table of features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.config import OnlineConfig
from nofx_pipelines.features.online.backends import store_of
from nofx_pipelines.features.online.mapped_store import MappedStore
from nofx_pipelines.features.online.refresh import differences, newest_vectors, why_not_published
from tests.chain import Chain


def test_the_store_holds_the_table_s_newest_rows_bit_for_bit(finished_chain: Chain) -> None:
    chain = finished_chain
    assert differences(chain.lake, chain.home, chain.universe) == []
    features = chain.table("features").scan().collect()
    store = store_of(chain.home, chain.universe)
    for name in store.entities():
        last = features.filter(pl.col("instrument_id") == name).sort("ts_close").row(-1, named=True)
        found = store.get([name])
        assert found.event_time[0] == int(last["ts_close"].timestamp() * 1e6)
        wanted = [np.nan if last[n] is None else last[n] for n in found.names]
        np.testing.assert_array_equal(found.values[0], wanted)
        assert found.version == last["version"]


def test_a_lost_store_is_published_again(chain: Chain) -> None:
    assert chain.stale() == []
    store = store_of(chain.home, chain.universe)
    assert isinstance(store, MappedStore)
    store.path.unlink()
    assert chain.plan()["online_features"].reason == "the online store lacks vectors"
    chain.run()
    assert why_not_published(chain.lake, chain.home, chain.universe) is None
    assert chain.stale() == []


def test_a_server_that_is_away_is_what_is_named(
    finished_chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("redis", reason="pip install redis")
    monkeypatch.setenv("NOFX_REDIS_URL", "redis://127.0.0.1:1/0")
    universe = replace(finished_chain.universe, online=OnlineConfig(backend="redis"))
    why = why_not_published(finished_chain.lake, finished_chain.home, universe)
    assert why is not None
    assert "127.0.0.1:1" in why


def test_a_newer_streamed_vector_stays(chain: Chain) -> None:
    vectors = newest_vectors(chain.lake, chain.universe)
    store, name = store_of(chain.home, chain.universe), vectors["instrument_id"][0]
    before = store.get([name])
    store.put([name], before.event_time + 60_000_000, before.version, before.names, before.values + 1.0)
    chain.compute("online_features", force=True)
    np.testing.assert_array_equal(store.get([name]).values, before.values + 1.0)
    assert differences(chain.lake, chain.home, chain.universe) == []


def test_a_wrong_value_is_seen(chain: Chain) -> None:
    vectors = newest_vectors(chain.lake, chain.universe)
    store, name = store_of(chain.home, chain.universe), vectors["instrument_id"][2]
    before = store.get([name])
    store.put([name], before.event_time, before.version, before.names, np.nextafter(before.values, np.inf))
    assert differences(chain.lake, chain.home, chain.universe) == [name]
