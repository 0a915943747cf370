from __future__ import annotations

import os

import pytest

from nofx_pipelines.errors import IntegrityError
from nofx_pipelines.lake.checksums import Checksums, named_by_hash


@pytest.fixture
def file(tmp_path):
    (tmp_path / "new").write_bytes(bytes(range(256)))
    return (tmp_path / "new").rename(tmp_path / named_by_hash(tmp_path / "new"))


def test_every_single_flipped_bit_is_found(file):
    content = file.read_bytes()
    for bit in range(0, len(content) * 8, 61):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(bytes(flipped))
        assert Checksums(file.parent).state(file.name) == "mismatched"
    file.write_bytes(content)
    assert Checksums(file.parent).state(file.name) == "ok"


def test_states_of_files_that_are_gone_or_foreign(file):
    checksums = Checksums(file.parent)
    (file.parent / "part-0.parquet").write_bytes(b"x")
    assert checksums.state("part-0.parquet") == "unrecorded"
    file.unlink()
    assert checksums.state(file.name) == "missing"
    for name in ("part-0.parquet", file.name):
        with pytest.raises(IntegrityError, match="nothing was read from it"):
            checksums.require(name)


def test_a_checked_file_is_read_again_only_when_it_changed(file, monkeypatch):
    checksums = Checksums(file.parent)
    reads: list[str] = []
    original = Checksums.state
    monkeypatch.setattr(Checksums, "state", lambda self, name: reads.append(name) or original(self, name))
    checksums.require(file.name)
    checksums.require(file.name)
    assert len(reads) == 1
    status = file.stat()
    content = bytearray(file.read_bytes())
    content[7] ^= 1
    file.write_bytes(bytes(content))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(IntegrityError, match="differs"):
        checksums.require(file.name)


def test_a_silent_flip_is_found_by_the_next_process(file):
    checksums = Checksums(file.parent)
    checksums.require(file.name)
    status = file.stat()
    content = bytearray(file.read_bytes())
    content[7] ^= 1
    file.write_bytes(bytes(content))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # as a failing disk would leave it
    assert checksums.state(file.name) == "mismatched"
    with pytest.raises(IntegrityError):
        Checksums(file.parent).require(file.name)
