"""The mapped store: a file that many processes share and no kill can tear."""

from __future__ import annotations

import json
import multiprocessing as mp
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nofx_pipelines.errors import FeatureError, IntegrityError
from nofx_pipelines.features.online.mapped_store import MappedStore

NAMES = tuple(f"f{k}" for k in range(40))
ENTITIES = [f"E{k:03d}" for k in range(70)]


@pytest.fixture
def store(tmp_path: Path) -> MappedStore:
    return MappedStore(tmp_path / "features.online")


def put(store: MappedStore, entities: list[str], when: int, value: float, version: str = "v1") -> int:
    matrix = np.full((len(entities), len(NAMES)), value)
    return store.put(entities, [when] * len(entities), version, NAMES, matrix, now_us=when + 5)


def test_it_grows_and_other_readers_follow(store: MappedStore, tmp_path: Path) -> None:
    put(store, ["first"], 1, 1.0)
    reader = MappedStore(store.path)
    assert reader.get(["first"]).known.all()
    many = [f"N{k}" for k in range(500)]
    put(store, many, 2, 2.0)
    assert reader.get(["first", "N499"]).values[:, 0].tolist() == [1.0, 2.0]
    assert len(reader.entities()) == 501


def _hammer(path: str, seed: int, last: int) -> None:
    """Put vectors whose values are all the event time."""
    store = MappedStore(Path(path))
    for when in range(seed, last, 2):
        put(store, ENTITIES, when, float(when))


def test_readers_never_see_half_a_vector(store: MappedStore) -> None:
    """Two writers overwrite each other while this process reads: every vector is one writer's, whole."""
    put(store, ENTITIES, 0, 0.0)
    store.get(ENTITIES)  # compiled before the writers begin
    writers = [
        mp.get_context("spawn").Process(target=_hammer, args=(str(store.path), k, 3_000)) for k in (1, 2)
    ]
    for writer in writers:
        writer.start()
    reads, last = set(), np.zeros(len(ENTITIES), dtype=np.int64)
    while any(writer.is_alive() for writer in writers):
        found = store.get(ENTITIES)
        assert (found.values == found.values[:, :1]).all()
        assert (found.values[:, 0] == found.event_time).all()
        assert (found.event_time >= last).all()
        last = found.event_time
        reads.add(int(last.max()))
    assert len(reads) > 10  # of many moments of both
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0


def test_a_killed_writer_leaves_whole_vectors_and_no_lock(store: MappedStore) -> None:
    put(store, ENTITIES, 0, 0.0)
    code = """
import sys
from pathlib import Path
from tests.features.online.test_mapped_store import _hammer
_hammer(sys.argv[1], int(sys.argv[2]), 10**9)
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


@pytest.mark.parametrize("damage", ["empty", "magic", "cut", "header"])
def test_a_damaged_file_is_refused_by_name(store: MappedStore, damage: str) -> None:
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
        MappedStore(store.path).get(["a"])


def test_a_flipped_bit_in_a_vector_is_never_served(store: MappedStore) -> None:
    put(store, ["a"], 1, 1.5)
    content = bytearray(store.path.read_bytes())
    at = content.rindex(np.float64(1.5).tobytes())
    content[at + 3] ^= 8
    store.path.write_bytes(content)
    with pytest.raises(FeatureError):
        MappedStore(store.path).get(["a"])


def test_the_file_s_layout_is_what_is_documented(store: MappedStore) -> None:
    put(store, ["ab"], 7, 2.5)
    content = store.path.read_bytes()
    assert content[:8] == b"NOFXONL1"
    length = int.from_bytes(content[40:48], "little")
    assert json.loads(content[64 : 64 + length]) == {"version": "v1", "names": list(NAMES)}
    entities = -(-(64 + length) // 64) * 64
    assert content[entities : entities + 3] == b"ab\0"


def test_a_reader_that_may_not_write_the_file_reads_all_the_same(store: MappedStore) -> None:
    """Its uses are its own: the file's counts stay."""
    put(store, ["a", "b"], 1, 1.0)
    content = store.path.read_bytes()
    real, refused = Path.open, []

    def open_for_reading(self: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if self == store.path and "+" in mode:
            refused.append(mode)
            raise PermissionError(13, "Permission denied")
        return real(self, mode, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", open_for_reading)
        reader = MappedStore(store.path)
        assert reader.get(["b"]).known.all()
        assert reader.statistics()["hits"] == 1
    assert refused
    assert store.path.read_bytes() == content
    assert store.statistics()["hits"] == 0


def test_uses_of_another_process_decide_who_leaves(store: MappedStore) -> None:
    limited = MappedStore(store.path, limit_bytes=2 * store.bytes_of(len(NAMES)))
    put(limited, ["a", "b"], 1, 1.0)
    code = (
        "import sys; from pathlib import Path; "
        "from nofx_pipelines.features.online.mapped_store import MappedStore; "
        "MappedStore(Path(sys.argv[1])).get(['a'])"
    )
    subprocess.run([sys.executable, "-c", code, str(store.path)], check=True)
    put(limited, ["c"], 2, 1.0)
    assert sorted(limited.entities()) == ["a", "c"]


def test_a_limited_file_stays_within_its_limit_but_for_whole_pages(tmp_path: Path) -> None:
    limit = 200_000
    store = MappedStore(tmp_path / "features.online", limit_bytes=limit)
    for start in range(0, 2_000, 50):
        put(store, [f"N{k}" for k in range(start, start + 50)], start, 1.0)
        assert store.path.stat().st_size <= limit + 4 * 4_096
    assert store.statistics()["evictions"] > 1_000
