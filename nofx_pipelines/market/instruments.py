"""Instrument identifiers: market, exchange, kind where a venue lists several, the venue's own symbol."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nofx_pipelines.errors import DataError

KINDS = ("SPOT", "PERP")
"""What a crypto venue lists under one symbol; other venues need no kind."""

_MARKETS = ("CN", "HK", "CRYPTO")
_EXCHANGE = re.compile(r"[A-Z][A-Z0-9]{1,15}")
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9_-]{0,31}")


@dataclass(frozen=True)
class InstrumentId:
    """The parts of an identifier; ``str()`` gives it back."""

    market: str
    exchange: str
    symbol: str
    kind: str | None = None

    def __str__(self) -> str:
        parts = (self.market.upper(), self.exchange, self.kind, self.symbol)
        return ".".join(part for part in parts if part is not None)


def make_instrument_id(market: str, exchange: str, symbol: str, kind: str | None = None) -> str:
    """The identifier of a venue's symbol.

    Raises ``DataError`` for a symbol that is no symbol (path separators, quotes, blanks …).

    >>> make_instrument_id("hk", "SEHK", "00700")
    'HK.SEHK.00700'
    >>> make_instrument_id("crypto", "BINANCE", "BTC-USDT", "SPOT")
    'CRYPTO.BINANCE.SPOT.BTC-USDT'
    """
    parts = [market.upper(), exchange, symbol] if kind is None else [market.upper(), exchange, kind, symbol]
    return str(parse_instrument_id(".".join(parts)))


def parse_instrument_id(text: str) -> InstrumentId:
    """The parts of an identifier.

    Raises ``DataError`` when a part breaks its rule.

    >>> parse_instrument_id("CRYPTO.BINANCE.SPOT.BTC-USDT").symbol
    'BTC-USDT'
    """
    market, _, rest = text.partition(".")
    parts = rest.split(".")
    wanted = 3 if market == "CRYPTO" else 2
    if market not in _MARKETS or len(parts) != wanted:
        raise _malformed(
            text, "an identifier is MARKET.EXCHANGE.SYMBOL, for CRYPTO MARKET.EXCHANGE.KIND.SYMBOL"
        )
    exchange, kind, symbol = parts[0], parts[1] if wanted == 3 else None, parts[-1]
    if not _EXCHANGE.fullmatch(exchange):
        raise _malformed(text, f"the exchange {exchange!r} must be capital letters and digits")
    if kind is not None and kind not in KINDS:
        raise _malformed(text, f"the kind {kind!r} is none of {', '.join(KINDS)}")
    if not _SYMBOL.fullmatch(symbol):
        raise _malformed(text, f"the symbol {symbol!r} may hold capital letters, digits, '-' and '_' only")
    return InstrumentId(market.lower(), exchange, symbol, kind)


def _malformed(text: str, rule: str) -> DataError:
    return DataError(
        f"instrument_id {text!r} breaks a rule: {rule}",
        kept="nothing was read under this name",
        hint="use a name like CN.SSE.600519, HK.SEHK.00700 or CRYPTO.BINANCE.SPOT.BTC-USDT",
    )
