"""The online store: a dictionary that many processes share and no kill can tear."""

from __future__ import annotations

import json
import multiprocessing as mp
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nofx_pipelines.errors import FeatureError, IntegrityError, TableNotFound
from nofx_pipelines.features.online.store import OnlineStore

NAMES = tuple(f"f{k}" for k in range(40))
ENTITIES = [f"E{k:03d}" for k in range(70)]


@pytest.fixture
def store(tmp_path: Path) -> OnlineStore:
    return OnlineStore(tmp_path / "features.online")


def put(store: OnlineStore, entities: list[str], when: int, value: float, version: str = "v1") -> int:
    matrix = np.full((len(entities), len(NAMES)), value)
    return store.put(entities, [when] * len(entities), version, NAMES, matrix, now_us=when + 5)


def test_what_was_put_is_found_in_the_order_asked(store: OnlineStore) -> None:
    matrix = np.random.default_rng(1).normal(size=(3, len(NAMES)))
    matrix[1, 4] = np.nan
    store.put(["a", "b", "c"], [1, 2, 3], "v1", NAMES, matrix, now_us=9)
    found = store.get(["c", "nobody", "a"], ["f4", "f0"])
    np.testing.assert_array_equal(found.values[[0, 2]], matrix[[2, 0]][:, [4, 0]])
    assert found.known.tolist() == [True, False, True]
    assert found.event_time.tolist() == [3, 0, 1]
    assert found.written.tolist() == [9, 0, 9]
    assert np.isnan(found.values[1]).all()
    assert found.version == "v1"


def test_a_frame_says_how_old_and_what_is_missing(store: OnlineStore) -> None:
    put(store, ["a"], 1_000_000, 1.0)
    put(store, ["b"], 9_000_000, 2.0)
    frame = store.get_online_features(["a", "b", "x"], ["f0"], now_us=10_000_000, ttl_us=5_000_000)
    assert frame["status"].to_list() == ["stale", "fresh", "unknown"]
    assert frame["age_seconds"].to_list() == [9.0, 1.0, None]
    assert frame["f0"].to_list() == [1.0, 2.0, None]
    assert frame["event_time"].null_count() == 1


def test_older_never_overwrites_newer_and_as_new_corrects(store: OnlineStore) -> None:
    assert put(store, ["a", "b"], 10, 1.0) == 2
    assert put(store, ["a"], 9, 2.0) == 0
    assert store.get(["a"]).values[0, 0] == 1.0
    assert put(store, ["a"], 10, 3.0) == 1
    assert store.get(["a"]).values[0, 0] == 3.0


def test_of_an_entity_given_twice_the_newest_counts(store: OnlineStore) -> None:
    matrix = np.array([[1.0], [2.0], [3.0]])
    assert store.put(["a", "a", "a"], [5, 7, 7], "v", ["x"], matrix) == 1
    assert store.get(["a"]).values.tolist() == [[3.0]]


def test_it_grows_and_other_readers_follow(store: OnlineStore, tmp_path: Path) -> None:
    put(store, ["first"], 1, 1.0)
    reader = OnlineStore(store.path)
    assert reader.get(["first"]).known.all()
    many = [f"N{k}" for k in range(500)]
    put(store, many, 2, 2.0)
    assert reader.get(["first", "N499"]).values[:, 0].tolist() == [1.0, 2.0]
    assert len(reader.entities()) == 501


def test_another_version_starts_an_empty_store(store: OnlineStore) -> None:
    put(store, ["a", "b"], 5, 1.0, "v1")
    reader = OnlineStore(store.path)
    assert reader.version == "v1"
    store.put(["a"], [1], "v2", ["other"], [[7.0]])
    assert reader.version == "v2"
    assert reader.get(["a", "b"]).known.tolist() == [True, False]
    with pytest.raises(FeatureError, match="no feature f0"):
        reader.get(["a"], ["f0"])


class _AsADictionary(RuleBasedStateMachine):
    """Any puts in any order leave what a dictionary of the newest would hold."""

    @initialize(folder=st.just(None))
    def start(self, folder: None) -> None:
        import tempfile

        self.store = OnlineStore(Path(tempfile.mkdtemp()) / "s.online")
        self.model: dict[str, tuple[int, list[float]]] = {}

    @rule(
        rows=st.lists(
            st.tuples(st.sampled_from(ENTITIES), st.integers(0, 20), st.floats(allow_nan=False, width=64)),
            min_size=1,
            max_size=8,
        )
    )
    def put(self, rows: list[tuple[str, int, float]]) -> None:
        names, times, values = zip(*rows, strict=True)
        self.store.put(list(names), list(times), "v", ["x", "y"], [[v, -v] for v in values])
        for name, when, value in rows:
            if name not in self.model or when >= self.model[name][0]:
                self.model[name] = (when, [value, -value])

    @invariant()
    def agrees(self) -> None:
        if not getattr(self, "model", None):
            return
        found = self.store.get(ENTITIES)
        for k, name in enumerate(ENTITIES):
            assert bool(found.known[k]) == (name in self.model)
            if name in self.model:
                assert int(found.event_time[k]) == self.model[name][0]
                assert found.values[k].tolist() == self.model[name][1]


TestAsADictionary = _AsADictionary.TestCase
TestAsADictionary.settings = settings(
    max_examples=60, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)


def _hammer(path: str, seed: int, until: float) -> None:
    """Put vectors whose values are all the event time."""
    store, when = OnlineStore(Path(path)), seed
    while time.monotonic() < until:
        when += 2
        put(store, ENTITIES, when, float(when))


def test_readers_never_see_half_a_vector(store: OnlineStore) -> None:
    """Two writers overwrite each other while this process reads: every vector is one writer's, whole."""
    put(store, ENTITIES, 0, 0.0)
    until = time.monotonic() + 4.0
    writers = [
        mp.get_context("spawn").Process(target=_hammer, args=(str(store.path), k, until)) for k in (1, 2)
    ]
    for writer in writers:
        writer.start()
    reads, last = 0, np.zeros(len(ENTITIES), dtype=np.int64)
    while any(writer.is_alive() for writer in writers):
        found = store.get(ENTITIES)
        assert (found.values == found.values[:, :1]).all()
        assert (found.values[:, 0] == found.event_time).all()
        assert (found.event_time >= last).all()
        last, reads = found.event_time, reads + 1
    assert reads > 100
    assert last.max() > 10
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0


def test_a_killed_writer_leaves_whole_vectors_and_no_lock(store: OnlineStore) -> None:
    put(store, ENTITIES, 0, 0.0)
    code = """
import sys, time
from pathlib import Path
from tests.features.online.test_store import _hammer
_hammer(sys.argv[1], int(sys.argv[2]), time.monotonic() + 60)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    rng = np.random.default_rng(3)
    for attempt in range(6):
        before = int(store.get(ENTITIES).event_time.max())
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(store.path), str(before + 1)], env=environment
        )
        while int(store.get(ENTITIES[:1]).event_time[0]) == before:
            time.sleep(0.001)
        time.sleep(float(rng.random()) * 0.05)
        child.send_signal(signal.SIGKILL)
        child.wait()
        found = store.get(ENTITIES)
        assert (found.values == found.values[:, :1]).all()
        assert (found.values[:, 0] == found.event_time).all()
        assert put(store, ENTITIES, int(found.event_time.max()) + 1, -1.0 * attempt) == len(ENTITIES)


def test_what_was_never_put_is_said(store: OnlineStore) -> None:
    with pytest.raises(TableNotFound, match="was never written"):
        store.get(["a"])
    assert store.version is None


@pytest.mark.parametrize("damage", ["empty", "magic", "cut", "header"])
def test_a_damaged_file_is_refused_by_name(store: OnlineStore, damage: str) -> None:
    put(store, ["a"], 1, 1.0)
    content = bytearray(store.path.read_bytes())
    if damage == "empty":
        content = bytearray()
    elif damage == "magic":
        content[0] ^= 1
    elif damage == "cut":
        content = content[:-8]
    else:
        content[70] ^= 1
    store.path.write_bytes(content)
    with pytest.raises(IntegrityError, match="is no online store"):
        OnlineStore(store.path).get(["a"])


def test_a_flipped_bit_in_a_vector_is_never_served(store: OnlineStore) -> None:
    put(store, ["a"], 1, 1.5)
    content = bytearray(store.path.read_bytes())
    at = content.rindex(np.float64(1.5).tobytes())
    content[at + 3] ^= 8
    store.path.write_bytes(content)
    with pytest.raises(FeatureError):
        OnlineStore(store.path).get(["a"])


@pytest.mark.parametrize(
    ("entities", "names", "values", "words"),
    [
        (["a"], ["x"], [[1.0, 2.0]], "do not fit a matrix of 1 x 2"),
        ([""], ["x"], [[1.0]], "'' is no entity"),
        (["a" * 65], ["x"], [[1.0]], "is no entity: a name has 1 to 64 bytes"),
        (["a"], ["x", "x"], [[1.0, 2.0]], "each once"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_put(
    store: OnlineStore, entities: list[str], names: list[str], values: list[list[float]], words: str
) -> None:
    with pytest.raises(FeatureError, match=words):
        store.put(entities, [1], "v", names, values)
    assert not store.path.exists()


def test_the_file_s_layout_is_what_is_documented(store: OnlineStore) -> None:
    put(store, ["ab"], 7, 2.5)
    content = store.path.read_bytes()
    assert content[:8] == b"NOFXONL1"
    length = int.from_bytes(content[40:48], "little")
    assert json.loads(content[64 : 64 + length]) == {"version": "v1", "names": list(NAMES)}
    entities = -(-(64 + length) // 64) * 64
    assert content[entities : entities + 3] == b"ab\0"


def test_nothing_but_bytes_is_read(store: OnlineStore) -> None:
    put(store, ["a"], 1, 1.0)
    frame = store.get_online_features(["a"], None, now_us=2, ttl_us=10)
    assert frame.schema["f0"] == pl.Float64


def test_the_stale_are_cleaned_and_readers_follow(store: OnlineStore) -> None:
    reader = OnlineStore(store.path)
    assert store.clean(0, 0) == 0
    store.put(["A", "B", "C"], [100, 200, 300], "v", ["x"], [[1.0], [2.0], [3.0]])
    assert reader.get(["A", "B", "C"]).known.all()
    assert store.clean(now_us=350, ttl_us=200) == 1
    found = reader.get(["A", "B", "C"])
    assert found.known.tolist() == [False, True, True]
    assert found.values[1:, 0].tolist() == [2.0, 3.0]
    assert store.clean(now_us=350, ttl_us=200) == 0
    store.put(["A"], [400], "v", ["x"], [[4.0]])
    assert reader.get(["A", "C"]).values[:, 0].tolist() == [4.0, 3.0]
    assert sorted(reader.entities()) == ["A", "B", "C"]


def test_look_up_by_event_time_and_statistics(store: OnlineStore) -> None:
    store.put(["A", "B", "C"], [300, 100, 200], "v", ["x", "y"], np.zeros((3, 2)))
    assert store.between(100, 300) == ["B", "C"]
    assert store.between(301, 900) == []
    store.put(["B"], [500], "v", ["x", "y"], np.ones((1, 2)))
    assert store.between(0, 1_000) == ["C", "A", "B"]
    told = store.statistics()
    assert (told["entities"], told["features"], told["writes"]) == (3, 2, 4)
    assert (told["oldest_us"], told["newest_us"]) == (200, 500)
    assert told["bytes"] == store.path.stat().st_size


def test_names_are_checked_even_when_they_were_asked_for(store: OnlineStore) -> None:
    store.put(["A"], [1], "v", ["x"], [[1.0]])
    assert not store.get([""]).known.any()
    with pytest.raises(FeatureError, match="is no entity"):
        store.put([""], [2], "v", ["x"], [[1.0]])
