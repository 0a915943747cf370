"""The store's bytes: a header, the entities' names, and two slots for each one's vector.

Little-endian, 8-byte words::

    0      magic "NOFXONL1", schema, features F, capacity N, count n, size and CRC-32 of the text that follows
    64     JSON: version, names
    H      N x 64 bytes: entity names, UTF-8, zero-padded
    S      N words: completed writes of each entity; the slot in use is the lowest bit
    U      at a multiple of 4096, 5 + N words: uses, writes, hits, misses, evictions; each entity's last use
    D      N x 2 slots of F + 3 words: event time (us), write time (us), checksum, F float64 values

A writer fills the slot that is not in use and then counts the write, one aligned word: whoever reads sees the
old vector or the new one. A writer that is killed leaves the slot in use as it was. Readers map all but U
for reading only; a reader that may not write the file counts for itself.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nofx_pipelines.errors import IntegrityError

MAGIC, SCHEMA = b"NOFXONL1", 2
NAME_BYTES = 64
FIXED = 64
_HEADER = struct.Struct("<8sQQQQQQ")
_COUNT_AT = 32
EVENT, WRITTEN, CHECK, VALUES = 0, 1, 2, 3
"""Words of a slot."""
USES, WRITES, HITS, MISSES, EVICTIONS, COUNTERS = 0, 1, 2, 3, 4, 5
"""Words before the last uses."""


@dataclass(frozen=True, eq=False)
class Mapped:
    """A mapped file and views of its parts."""

    inode: int
    version: str
    names: tuple[str, ...]
    capacity: int
    count: Any
    """One word, the entities in use, as an array ``[1]``."""
    entities: Any
    """``[N]`` of 64 bytes."""
    writes: Any
    """``[N]`` uint64."""
    uses: Any
    """``[5 + N]`` uint64, writable for readers too."""
    words: Any
    """``[N, 2, F + 3]`` uint64, the two slots of each."""


def size_of(features: int, capacity: int, text: bytes) -> tuple[int, int, int, int, int]:
    """Offsets of entities, writes, uses and slots, and the file's size."""
    entities = -(-(FIXED + len(text)) // 64) * 64
    writes = entities + capacity * NAME_BYTES
    uses = _whole_pages(writes + capacity * 8)
    slots = uses + _whole_pages((COUNTERS + capacity) * 8)
    return entities, writes, uses, slots, slots + capacity * 2 * (features + VALUES) * 8


def _whole_pages(size: int) -> int:
    return -(-size // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY


def create(path: Path, version: str, names: Sequence[str], capacity: int) -> None:
    """Write an empty store beside ``path`` and rename it into place."""
    text = json.dumps({"version": version, "names": list(names)}).encode()
    *_, size = size_of(len(names), capacity, text)
    header = _HEADER.pack(MAGIC, SCHEMA, len(names), capacity, 0, len(text), zlib.crc32(text))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.part")
    with draft.open("wb") as stream:
        stream.write(header.ljust(FIXED, b"\0") + text)
        stream.flush()
        # a page that has no room on the disk when it is written first ends the process
        os.posix_fallocate(stream.fileno(), 0, size)
        os.fsync(stream.fileno())
    draft.replace(path)


def open_file(path: Path, *, writable: bool) -> Mapped:
    """Map a store; raises IntegrityError for what is none, or is cut short."""
    with path.open("r+b" if writable else "rb") as stream:
        inode, size = os.fstat(stream.fileno()).st_ino, os.fstat(stream.fileno()).st_size
        head = stream.read(FIXED)
        if len(head) < FIXED or head[:8] != MAGIC:
            raise _broken(path, "it does not begin as a store does")
        _, schema, features, capacity, _, length, checksum = _HEADER.unpack(head[: _HEADER.size])
        text = stream.read(length)
        if schema != SCHEMA or zlib.crc32(text) != checksum:
            raise _broken(path, f"its header (schema {schema}) does not fit its checksum")
        entities, writes, uses, slots, expected = size_of(features, capacity, text)
        if size != expected:
            raise _broken(path, f"it has {size} bytes, not {expected}")
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        memory = mmap.mmap(stream.fileno(), size, access=access)
    told, width = json.loads(text), features + VALUES
    words = np.frombuffer(memory, "<u8", capacity * 2 * width, slots).reshape(capacity, 2, width)
    return Mapped(
        inode=inode,
        version=told["version"],
        names=tuple(told["names"]),
        capacity=capacity,
        count=np.frombuffer(memory, "<u8", 1, _COUNT_AT),
        entities=np.frombuffer(memory, f"S{NAME_BYTES}", capacity, entities),
        writes=np.frombuffer(memory, "<u8", capacity, writes),
        uses=np.frombuffer(_uses(path, inode, uses, slots - uses), "<u8", COUNTERS + capacity),
        words=words,
    )


def _uses(path: Path, inode: int, start: int, size: int) -> mmap.mmap:
    """The uses, to be counted by readers too; a copy of their own where they may not write the file."""
    try:
        with path.open("r+b") as stream:
            if os.fstat(stream.fileno()).st_ino == inode:
                return mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_WRITE, offset=start)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
    return mmap.mmap(-1, size)


def _broken(path: Path, why: str) -> IntegrityError:
    return IntegrityError(
        f"{path} is no online store: {why}", kept="it was left as it is", hint=f"rm {path}, then nofx run"
    )
