"""Counter-based random streams: what a session draws depends on its date, never on what was drawn before."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date

import numpy as np


@dataclass(frozen=True)
class Streams:
    """Named streams of one simulated market; equal arguments give equal draws.

    Philox (Salmon et al., SC'11): the key is a hash of seed, market, frequency and name, the top word of
    the counter is the session's ordinal, so a stream has 2**192 draws a session and sessions never meet.

    >>> streams = Streams(7, "cn", "1d")
    >>> a, b = streams.of("noise", date(2024, 1, 2)), streams.of("noise", date(2024, 1, 2))
    >>> bool(a.random() == b.random())
    True
    """

    seed: int
    market: str
    freq: str

    def of(self, name: str, session: date | int) -> np.random.Generator:
        """The generator of stream ``name`` on a session (or on a bare ordinal, for what is drawn once)."""
        text = f"{self.seed}|{self.market}|{self.freq}|{name}"
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        key = np.frombuffer(digest, dtype="<u8")
        ordinal = session if isinstance(session, int) else session.toordinal()
        return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, ordinal]))
