"""The LMDB store: whole puts, on disk before they return, whatever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nofx_pipelines.errors import FeatureError, IntegrityError

pytest.importorskip("lmdb", reason="pip install lmdb")

from nofx_pipelines.features.online.lmdb_store import LmdbStore

ENTITIES = [f"E{k:03d}" for k in range(60)]
WRITER = """
import sys
from pathlib import Path
import numpy as np
from nofx_pipelines.features.online.lmdb_store import LmdbStore
store, when = LmdbStore(Path(sys.argv[1])), int(sys.argv[2])
names = [f"E{k:03d}" for k in range(60)]
while True:
    when += 1
    store.put(names, [when] * 60, "v", ["x", "y", "z"], np.full((60, 3), float(when)))
    print(when, flush=True)
"""


def test_a_killed_writer_loses_no_put_that_returned_and_tears_none(tmp_path: Path) -> None:
    path, when = tmp_path / "f.lmdb", 0
    rng = np.random.default_rng(5)
    for _ in range(5):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(when)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(int(rng.integers(1, 30)))]
        child.send_signal(signal.SIGKILL)
        told += [int(line) for line in child.stdout.read().split()]
        child.wait()
        with LmdbStore(path) as store:
            found = store.get(ENTITIES)
            assert len(np.unique(found.event_time)) == 1  # a put is whole
            when = int(found.event_time[0])
            assert when in (told[-1], told[-1] + 1)
            assert (found.values == float(when)).all()


def test_what_a_reader_used_is_told_when_it_closes(tmp_path: Path) -> None:
    path = tmp_path / "f.lmdb"
    limit = 2 * LmdbStore(path).bytes_of(1)
    store = LmdbStore(path, limit_bytes=limit)
    store.put(["a", "b"], [1, 1], "v", ["x"], [[1.0], [2.0]])
    with LmdbStore(path, limit_bytes=limit) as reader:
        reader.get(["a", "nobody"])
    store.put(["c"], [2], "v", ["x"], [[3.0]])
    assert store.entities() == ["a", "c"]
    told = store.statistics()
    assert (told["hits"], told["misses"]) == (1, 1)


def test_a_file_that_is_no_store_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "f.lmdb"
    path.write_bytes(b"nothing of the kind" * 1_000)
    with pytest.raises(IntegrityError, match="is no LMDB store"):
        LmdbStore(path).get(["a"])
    assert path.read_bytes()[:7] == b"nothing"


def test_a_file_that_was_taken_away_is_begun_again(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "f.lmdb")
    store.put(["a"], [5], "v", ["x"], [[1.0]])
    store.path.unlink()
    assert store.version is None
    assert store.put(["b"], [1], "v", ["x"], [[2.0]]) == 1
    assert store.entities() == ["b"]


def test_a_put_without_room_on_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nofx_pipelines.features.online.lmdb_store._ROOM", 1 << 17)
    store = LmdbStore(tmp_path / "f.lmdb")
    store.put(["a"], [1], "v", ["x"], [[1.0]])
    many = [f"N{k}" for k in range(5_000)]
    with pytest.raises(FeatureError, match="LMDB refused the put"):
        store.put(many, [2] * 5_000, "v", ["x"], np.ones((5_000, 1)))
    assert store.entities() == ["a"]
    assert store.put(["b"], [2], "v", ["x"], [[2.0]]) == 1


def test_a_store_that_cannot_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.lmdb"
    with LmdbStore(path) as store:
        store.put(["a"], [5], "v", ["x"], [[1.5]])
    path.with_name("f.lmdb-lock").unlink()
    before = path.read_bytes()
    monkeypatch.setattr("nofx_pipelines.features.online.lmdb_store.is_writable", lambda folder: False)
    with LmdbStore(path, limit_bytes=10**6) as store:
        assert store.get(["a"], ["x"]).values.tolist() == [[1.5]]
        assert store.version == "v"
        store.flush()
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["f.lmdb"]
