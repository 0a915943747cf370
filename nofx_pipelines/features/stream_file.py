"""A stream in a file: a header in JSON, little-endian arrays one after the other, a checksum over all of
it."""

from __future__ import annotations

import json
import os
import struct
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nofx_pipelines.errors import FeatureError, IntegrityError
from nofx_pipelines.features.declaration import FeatureSet
from nofx_pipelines.features.late import Checkpoint

if TYPE_CHECKING:
    from nofx_pipelines.features.stream import Stream

_MAGIC, _FORMAT, _DIGEST = b"NFXSTRM1", 2, 32
_PREFIX = struct.Struct("<8sIQ")
_KEPT = ("seen", "last_ts", "since", "history", "history_ts", "last", "values", "newest")


def write(path: Path, stream: Stream, note: dict[str, Any]) -> None:
    """Write the stream beside ``path`` and rename it into place."""
    arrays: dict[str, Any] = {name: getattr(stream.lanes, name) for name in _KEPT}
    arrays["state"] = stream.state.values
    for k, one in enumerate(stream.checkpoints):
        arrays |= {f"{name}_{k}": getattr(one, name) for name in ("stored", "seen", "last_ts")}
    header = {
        "version": stream.version,
        "set": stream.feature_set.name,
        "bars_per_year": stream.bars_per_year,
        "instruments": list(stream.instruments),
        "back": stream.fixed_back,
        "checkpoints": len(stream.checkpoints),
        "note": note,
        "arrays": [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()],
    }
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


def read(path: Path, feature_set: FeatureSet | None, kernels: Path | None, threads: int | None) -> Stream:
    """The stream of a file that `write` made."""
    from nofx_pipelines.features.stream import Stream

    header, arrays = _read(path)
    if feature_set is None:
        from nofx_pipelines.features.sets.registry import feature_set as named

        feature_set = named(*header["set"].split("+"))
    if header["version"] != feature_set.version:
        raise FeatureError(
            f"{path} is of version {header['version']}, the features are {feature_set.version}",
            kept="the file was left as it is",
            hint="compute the history again and hand it over: Stream.from_state(set, compute(...).state)",
        )
    stream = Stream(
        feature_set,
        header["instruments"],
        bars_per_year=header["bars_per_year"],
        kernels=kernels,
        back=header["back"],
        threads=threads,
    )
    lanes = stream.lanes
    if stream.plan.layout.slots:
        lanes.write(np.arange(len(stream.instruments)), arrays["state"])
    for name in _KEPT:
        getattr(lanes, name)[...] = arrays[name]
    stream.checkpoints[:] = [
        Checkpoint(*(arrays[f"{name}_{k}"] for name in ("stored", "seen", "last_ts")))
        for k in range(header["checkpoints"])
    ]
    stream.mark()
    stream.note = header["note"]
    return stream


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
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
