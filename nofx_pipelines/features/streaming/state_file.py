"""A stream in a file: a header in JSON, little-endian arrays one after the other, a checksum over all of
it."""

from __future__ import annotations

import json
import os
import struct
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from nofx_pipelines.errors import FeatureError, IntegrityError

_MAGIC, _FORMAT, _DIGEST = b"NFXSTRM1", 2, 32
_PREFIX = struct.Struct("<8sIQ")
LANE_ARRAYS = ("seen", "last_ts", "since", "history", "history_ts", "last", "values", "newest")
"""Arrays of the instruments' state that a file holds as they are."""


def write(path: Path, header: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Write a stream's header (JSON values) and arrays beside ``path`` and rename it into place."""
    described = [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()]
    header = {**header, "arrays": described}
    text = json.dumps(header).encode()
    digest = blake2b(digest_size=_DIGEST)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    with draft.open("wb") as file:
        for part in (_PREFIX.pack(_MAGIC, _FORMAT, len(text)), text, *map(_bytes, arrays.values())):
            file.write(part)
            digest.update(part)
        file.write(digest.digest())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _bytes(array: Any) -> bytes:
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the arrays of a file that `write` made; IntegrityError for a damaged one."""
    content = path.read_bytes()
    body, digest = content[:-_DIGEST], content[-_DIGEST:]
    if len(content) < _PREFIX.size + _DIGEST or content[:8] != _MAGIC:
        raise _damaged(path, "it does not begin as one does")
    if blake2b(body, digest_size=_DIGEST).digest() != digest:
        raise _damaged(path, "its checksum differs")
    _, form, length = _PREFIX.unpack_from(body)
    if form != _FORMAT:
        raise FeatureError(
            f"{path} has format {form}, this code reads {_FORMAT}", kept="it was left as it is"
        )
    header = json.loads(body[_PREFIX.size : _PREFIX.size + length])
    at, arrays = _PREFIX.size + length, {}
    for name, dtype, shape in header["arrays"]:
        count = int(np.prod(shape))
        arrays[name] = (
            np.frombuffer(body, dtype, count, at).reshape(shape).astype(np.dtype(dtype).newbyteorder("="))
        )
        at += arrays[name].nbytes
    return header, arrays


def _damaged(path: Path, why: str) -> IntegrityError:
    return IntegrityError(
        f"{path} is no stream: {why}",
        kept="it was left as it is",
        hint="compute the history again and hand it over: Stream.from_state(set, compute(...).state)",
    )
