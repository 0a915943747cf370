"""What a feature set needs to go on: in memory for all instruments, as bytes for one.

The bytes are portable: a versioned header, little-endian numbers, a checksum that covers the
instrument's name, no pickle. Compact bytes, those of `feature_state`, hold only what the last
``lookback`` rows of bars cannot rebuild (averages, cumulative sums); full bytes hold everything.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import blake2b

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.program.lowering import Program
from nofx_pipelines.features.program.steps import layout_of
from nofx_pipelines.lake.schemas import FEATURE_STATE

FORMAT = 1
_HEADER = struct.Struct("<4sHH16sdQqI")
_MAGIC = b"NFXS"
_COMPACT, _FULL = 0, 1
_CHECKSUM = 8
_AGAIN = "compute from the first bar again (refresh_features(..., force=True))"


@dataclass(frozen=True)
class FeatureState:
    """The state of every instrument after its last row.

    ``values`` float64 [instruments, slots] in the program's layout; ``rows`` int64 [instruments] rows
    seen; ``last_ts`` int64 [instruments], microseconds of the last ``ts_close``.
    """

    version: str
    bars_per_year: float
    instruments: tuple[str, ...]
    values: NDArray[np.float64]
    rows: NDArray[np.int64]
    last_ts: NDArray[np.int64]

    def to_rows(self, session_date: date, program: Program, *, full: bool = False) -> pl.DataFrame:
        """Rows of `feature_state` for the end of a session."""
        kept = self.values if full else self.values[:, list(layout_of(program).stored_slots)]
        blobs = encode_all(self, kept, full=full)
        return state_rows(self.version, self.instruments, [session_date] * len(blobs), blobs)


def state_rows(
    version: str, instruments: Sequence[str], sessions: Sequence[date], blobs: Sequence[bytes]
) -> pl.DataFrame:
    """A `feature_state` frame."""
    columns = {"instrument_id": instruments, "session_date": sessions, "version": [version] * len(blobs)}
    return pl.DataFrame({**columns, "state": blobs}, schema=FEATURE_STATE.columns)


def encode_all(state: FeatureState, kept: NDArray[np.float64], *, full: bool = False) -> list[bytes]:
    """Bytes of every instrument; ``kept`` float64 [instruments, k] are the values to hold."""
    kind = _FULL if full else _COMPACT
    body = np.ascontiguousarray(kept, dtype="<f8")
    version, count = state.version.encode(), body.shape[1]
    rows, last_ts = state.rows.tolist(), state.last_ts.tolist()
    return [
        _sealed(
            name,
            _HEADER.pack(_MAGIC, FORMAT, kind, version, state.bars_per_year, rows[i], last_ts[i], count)
            + body[i].tobytes(),
        )
        for i, name in enumerate(state.instruments)
    ]


def _sealed(instrument_id: str, content: bytes) -> bytes:
    return content + _checksum(instrument_id, content)


def _checksum(instrument_id: str, content: bytes) -> bytes:
    return blake2b(content + instrument_id.encode(), digest_size=_CHECKSUM).digest()


@dataclass(frozen=True)
class StoredState:
    """One instrument's bytes, read and checked."""

    instrument_id: str
    full: bool
    bars_per_year: float
    rows: int
    last_ts: int
    values: NDArray[np.float64]


def decode(instrument_id: str, blob: bytes, program: Program) -> StoredState:
    """Read one instrument's bytes; FeatureError when they are damaged or of another program."""
    content, checksum = blob[:-_CHECKSUM], blob[-_CHECKSUM:]
    if len(blob) < _HEADER.size + _CHECKSUM or _checksum(instrument_id, content) != checksum:
        raise FeatureError(
            f"the state of {instrument_id} is damaged: its checksum differs",
            kept="nothing was computed",
            hint=_AGAIN,
        )
    magic, form, kind, version, per_year, rows, last_ts, count = _HEADER.unpack_from(content)
    if magic != _MAGIC or form != FORMAT or kind not in (_COMPACT, _FULL):
        raise FeatureError(
            f"the state of {instrument_id} has format {form}, this code reads {FORMAT}", hint=_AGAIN
        )
    made_by = version.decode()
    if made_by != program.version:
        raise FeatureError(
            f"the state of {instrument_id} is of version {made_by}, the features are {program.version}",
            kept="nothing was computed",
            hint=_AGAIN,
        )
    layout = layout_of(program)
    expected = layout.slots if kind == _FULL else len(layout.stored_slots)
    if count != expected or len(content) != _HEADER.size + 8 * count:
        raise FeatureError(f"the state of {instrument_id} holds {count} numbers, not {expected}", hint=_AGAIN)
    values = np.frombuffer(content, dtype="<f8", offset=_HEADER.size).astype(np.float64)
    return StoredState(instrument_id, kind == _FULL, per_year, rows, last_ts, values)
