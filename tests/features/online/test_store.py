"""What every online store keeps, wherever its vectors are: one contract, a file, LMDB and a real server."""

from __future__ import annotations

import itertools
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nofx_pipelines.errors import FeatureError, TableNotFound
from nofx_pipelines.features.online.mapped_store import MappedStore
from nofx_pipelines.features.online.store import OnlineStore, joined, slots

NAMES = tuple(f"f{k}" for k in range(40))
ENTITIES = [f"E{k:02d}" for k in range(24)]
_FRESH = itertools.count()
Opened = Callable[..., OnlineStore]


def opener(backend: str, request: pytest.FixtureRequest) -> Opened:
    """Open the same place of ``backend`` as often as asked; another ``place`` is another store."""
    folder, fresh = Path(tempfile.mkdtemp()), next(_FRESH)
    if backend == "mapped":
        return lambda place="a", **options: MappedStore(folder / f"{place}.online", **options)
    if backend == "lmdb":
        pytest.importorskip("lmdb", reason="pip install lmdb")
        from nofx_pipelines.features.online.lmdb_store import LmdbStore

        return lambda place="a", **options: LmdbStore(folder / f"{place}.lmdb", **options)
    from nofx_pipelines.features.online.redis_store import RedisStore

    url = f"redis://127.0.0.1:{request.getfixturevalue('redis_port')}/0"
    return lambda place="a", **options: RedisStore(url, f"{place}{fresh}", **options)


@pytest.fixture(params=["mapped", "lmdb", "redis"])
def open_store(request: pytest.FixtureRequest) -> Opened:
    return opener(request.param, request)


@pytest.fixture
def store(open_store: Opened) -> OnlineStore:
    return open_store()


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


def test_another_version_starts_an_empty_store(store: OnlineStore, open_store: Opened) -> None:
    put(store, ["a", "b"], 5, 1.0, "v1")
    reader = open_store()
    assert reader.version == "v1"
    store.put(["a"], [1], "v2", ["other"], [[7.0]])
    assert reader.version == "v2"
    assert reader.get(["a", "b"]).known.tolist() == [True, False]
    with pytest.raises(FeatureError, match="no feature f0"):
        reader.get(["a"], ["f0"])


def test_what_was_never_put_is_said(store: OnlineStore) -> None:
    with pytest.raises(TableNotFound, match="was never written"):
        store.get(["a"])
    assert store.version is None


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
    assert store.version is None


def test_nothing_but_bytes_is_read(store: OnlineStore) -> None:
    put(store, ["a"], 1, 1.0)
    frame = store.get_online_features(["a"], None, now_us=2, ttl_us=10)
    assert frame.schema["f0"] == pl.Float64


def test_the_stale_are_cleaned_and_readers_follow(store: OnlineStore, open_store: Opened) -> None:
    reader = open_store()
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
    assert told["bytes"] >= 3 * 2 * 8


def test_names_are_checked_even_when_they_were_asked_for(store: OnlineStore) -> None:
    store.put(["A"], [1], "v", ["x"], [[1.0]])
    assert not store.get([""]).known.any()
    with pytest.raises(FeatureError, match="is no entity"):
        store.put([""], [2], "v", ["x"], [[1.0]])


def test_hits_misses_and_writes_are_counted(store: OnlineStore) -> None:
    put(store, ["a", "b"], 1, 1.0)
    put(store, ["a"], 0, 1.0)  # older: not written
    store.get(["a", "b", "nobody"])
    store.get(["a"])
    told = store.statistics()
    assert (told["writes"], told["hits"], told["misses"], told["evictions"]) == (2, 3, 1, 0)


def test_a_store_without_entities_asked_for(store: OnlineStore) -> None:
    put(store, ["a"], 1, 1.0)
    assert store.get([]).values.shape == (0, len(NAMES))
    assert put(store, [], 2, 1.0) == 0


def test_the_least_recently_used_leave_at_the_limit(open_store: Opened) -> None:
    size = open_store().bytes_of(len(NAMES))
    store = open_store("limited", limit_bytes=3 * size)
    put(store, ["a", "b", "c"], 1, 1.0)
    store.get(["a"])
    put(store, ["b"], 2, 2.0)
    put(store, ["d"], 3, 3.0)  # c was used longest ago
    assert sorted(store.entities()) == ["a", "b", "d"]
    put(store, ["e", "f"], 4, 4.0)
    assert sorted(store.entities()) == ["d", "e", "f"]
    assert store.get(["d", "a"]).known.tolist() == [True, False]
    assert store.statistics()["evictions"] == 3
    with pytest.raises(FeatureError, match=r"4 vectors of 40 features need .* the limit is"):
        put(store, ["w", "x", "y", "z"], 5, 5.0)
    assert sorted(store.entities()) == ["d", "e", "f"]


def test_a_use_is_older_than_the_next_however_many_were_asked_for(open_store: Opened) -> None:
    store = open_store("order", limit_bytes=2 * open_store().bytes_of(len(NAMES)))
    put(store, ["z"], 1, 1.0)
    store.get(["nobody", "no one", "none", "z"])
    put(store, ["b"], 2, 2.0)
    put(store, ["c"], 3, 3.0)
    assert sorted(store.entities()) == ["b", "c"]


def test_a_limit_that_came_later_drops_those_nobody_used_since(open_store: Opened) -> None:
    put(open_store(), ["a", "b", "c", "d"], 1, 1.0)
    store = open_store(limit_bytes=3 * open_store().bytes_of(len(NAMES)))
    store.get(["a", "b"])
    put(store, ["d"], 2, 2.0)
    assert sorted(store.entities()) == ["a", "b", "d"]


class _AsADictionary(RuleBasedStateMachine):
    """Any puts, gets and clean-ups in any order leave what an ordered dictionary would hold."""

    opened: ClassVar[Opened]
    room: ClassVar[int | None] = None

    @initialize()
    def start(self) -> None:
        place, opened = f"s{next(_FRESH)}", type(self).opened
        limit = None if self.room is None else self.room * opened(place).bytes_of(2)
        handles = 1 if self.room else 2  # LMDB's readers tell their uses later
        self.handles = [opened(place, limit_bytes=limit) for _ in range(handles)]
        self.model: OrderedDict[str, tuple[int, list[float]]] = OrderedDict()
        self.begun, self.evicted = False, 0

    @rule(
        handle=st.integers(0, 1),
        rows=st.lists(
            st.tuples(st.sampled_from(ENTITIES), st.integers(0, 20), st.floats(allow_nan=False, width=64)),
            min_size=1,
            max_size=6,
        ),
    )
    def put(self, handle: int, rows: list[tuple[str, int, float]]) -> None:
        names, times, values = zip(*rows, strict=True)
        self.handles[handle % len(self.handles)].put(
            list(names), list(times), "v", ["x", "y"], [[v, -v] for v in values]
        )
        newest: dict[str, tuple[int, int]] = {}
        for k, (name, when, _) in enumerate(rows):
            if name not in newest or when >= newest[name][0]:
                newest[name] = (when, k)
        for name, (when, k) in sorted(newest.items(), key=lambda item: item[1][1]):
            if name not in self.model or when >= self.model[name][0]:
                self.model[name] = (when, [values[k], -values[k]])
            self.model.move_to_end(name)
        while self.room is not None and len(self.model) > self.room:
            self.model.popitem(last=False)
            self.evicted += 1
        self.begun = True

    @rule(handle=st.integers(0, 1), names=st.lists(st.sampled_from(ENTITIES), max_size=4, unique=True))
    def get(self, handle: int, names: list[str]) -> None:
        if not self.begun:
            return
        found = self.handles[handle % len(self.handles)].get(names)
        for k, name in enumerate(names):
            assert bool(found.known[k]) == (name in self.model)
            if name in self.model:
                assert int(found.event_time[k]) == self.model[name][0]
                assert found.values[k].tolist() == self.model[name][1]
                self.model.move_to_end(name)

    @rule(ttl=st.integers(0, 25))
    def clean(self, ttl: int) -> None:
        gone = [name for name, (when, _) in self.model.items() if 20 - when > ttl]
        assert self.handles[0].clean(20, ttl) == len(gone)
        for name in gone:
            del self.model[name]

    @invariant()
    def agrees(self) -> None:
        if not getattr(self, "begun", False):
            return
        for handle in self.handles:
            assert sorted(handle.entities()) == sorted(self.model)
        told = self.handles[-1].statistics()
        assert (told["entities"], told["evictions"]) == (len(self.model), self.evicted)
        times = [when for when, _ in self.model.values()] or [0]
        assert (told["oldest_us"], told["newest_us"]) == (min(times), max(times))
        between = self.handles[0].between(3, 15)
        assert [self.model[name][0] for name in between] == sorted(
            when for when, _ in self.model.values() if 3 <= when < 15
        )


@pytest.mark.parametrize("room", [None, 7])
def test_as_a_dictionary(open_store: Opened, room: int | None) -> None:
    machine: Any = type(
        "Machine", (_AsADictionary,), {"opened": staticmethod(open_store), "room": room}
    ).TestCase
    machine.settings = settings(
        max_examples=40, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
    )
    machine().runTest()


def test_slots_carry_times_values_and_a_check_that_notices_any_bit() -> None:
    matrix = np.random.default_rng(2).normal(size=(1, 5))
    blob = slots(np.array([11]), matrix, 12).tobytes()
    words, known = joined(blob, [True, False], ["a", "b"], 5)
    np.testing.assert_array_equal(words[0, 3:].view("<f8"), matrix[0])
    assert words[0, :2].tolist() == [11, 12]
    assert known.tolist() == [True, False]
    for at in range(len(blob) * 8):
        torn = bytearray(blob)
        torn[at // 8] ^= 1 << at % 8
        with pytest.raises(FeatureError, match="the vector of a is damaged: it does not fit"):
            joined(bytes(torn), [True], ["a"], 5)
    with pytest.raises(FeatureError, match="56 bytes are no 1 slots of 5 features"):
        joined(blob[:-8], [True], ["a"], 5)
