"""From a file's symbol, or a file's name, to an instrument."""

from __future__ import annotations

import re
from functools import lru_cache

from nofx_pipelines.errors import DataError
from nofx_pipelines.market.instruments import make_instrument_id
from nofx_pipelines.market.venues import Listing, listing

UNKNOWN_EXCHANGE = "UNKNOWN"
"""Stands for the venue where neither the file nor its name says it."""

_CN_EXCHANGES = {
    "SH": "SSE", "SS": "SSE", "XSHG": "SSE", "SSE": "SSE",
    "SZ": "SZSE", "XSHE": "SZSE", "SZSE": "SZSE",
    "BJ": "BSE", "XBSE": "BSE", "BSE": "BSE",
}  # fmt: skip
_CN_PREFIXED = re.compile(r"(SH|SZ|BJ|SSE|SZSE|BSE)[.:_]?(\d{6})")
_CN_SUFFIXED = re.compile(r"(\d{6})\.(SH|SS|SZ|BJ|XSHG|XSHE|XBSE|SSE|SZSE|BSE)")
_HK_PREFIXED = re.compile(r"(?:HK|SEHK)[.:_]?(\d{1,5})")
_HK_SUFFIXED = re.compile(r"(\d{1,5})\.(?:HK|XHKG|SEHK)")
_PAIR = re.compile(r"([A-Z0-9]{1,20})[-/_]([A-Z]{2,6})(?::[A-Z]{2,6})?(-PERP|-SWAP|_PERP)?")
_QUOTES = (
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDP", "DAI", "BTC", "ETH", "BNB", "TRX",
    "USD", "EUR", "GBP", "TRY", "BRL", "AUD", "JPY", "RUB", "UAH", "IDRT", "NGN", "XRP", "DOGE",
)  # fmt: skip
_BASES = ("BTC", "XBT", "ETH", "SOL", "XRP", "BNB", "DOGE", "ADA", "LTC", "BCH", "LINK", "DOT", "AVAX", "TRX")
_VENUES = (
    "BINANCE", "OKX", "OKEX", "BYBIT", "FTX", "COINBASE", "KRAKEN", "BITMEX", "BITGET", "DERIBIT",
    "BITFINEX", "HUOBI", "KUCOIN", "GATE",
)  # fmt: skip
_PERPETUAL_WORDS = frozenset({"PERP", "PERPETUAL", "SWAP", "UM"})


@lru_cache(maxsize=65_536)
def resolve(
    text: str, *, market: str | None = None, exchange: str = UNKNOWN_EXCHANGE, kind: str = "SPOT"
) -> Listing | None:
    """The listing that a symbol names, ``None`` for what is no symbol.

    ``market`` decides bare numbers; ``exchange`` and ``kind`` complete a crypto pair.

    >>> resolve("600519.SH").instrument_id, resolve("HK.00700").instrument_id
    ('CN.SSE.600519', 'HK.SEHK.00700')
    >>> resolve("ADABTC", exchange="BINANCE").instrument_id
    'CRYPTO.BINANCE.SPOT.ADA-BTC'
    >>> resolve("../../x") is None and resolve("a'; drop table") is None
    True
    """
    name = text.strip().upper()
    try:
        return _full(name) or _stock(name, market) or _pair(name, exchange, kind)
    except DataError:
        return None


def from_file_name(
    label: str, *, market: str | None = None, exchange: str = UNKNOWN_EXCHANGE, kind: str = "SPOT"
) -> Listing | None:
    """The listing that a file's name holds, innermost name first.

    ``exchange`` and ``kind`` hold for a crypto pair whose file name does not say them.

    >>> from_file_name("binance_spot_ADABTC-1m-2021-11-27.csv.gz").instrument_id
    'CRYPTO.BINANCE.SPOT.ADA-BTC'
    >>> from_file_name("btc_perp_1m.csv").instrument_id
    'CRYPTO.UNKNOWN.PERP.BTC-USD'
    """
    for name in reversed(re.split(r"[!/\\]", label)):
        try:
            instrument = _from_stem(name.upper(), market, exchange, kind)
        except DataError:
            continue
        if instrument:
            return instrument
    return None


def _full(name: str) -> Listing | None:
    return listing(name) if name.count(".") >= 2 else None


def _stock(name: str, market: str | None) -> Listing | None:
    if match := _CN_PREFIXED.fullmatch(name):
        return _cn(_CN_EXCHANGES[match[1]], match[2])
    if match := _CN_SUFFIXED.fullmatch(name):
        return _cn(_CN_EXCHANGES[match[2]], match[1])
    if match := _HK_PREFIXED.fullmatch(name) or _HK_SUFFIXED.fullmatch(name):
        return _hk(match[1])
    if name.isascii() and name.isdigit():
        if market == "cn" and len(name) == 6:
            return _cn(_exchange_of_code(name), name)
        if market == "hk" and len(name) <= 5:
            return _hk(name)
    return None


def _exchange_of_code(code: str) -> str:
    """By the exchanges' numbering: 6 and 9 Shanghai, 4, 8 and 92 Beijing, the rest Shenzhen."""
    if code.startswith(("4", "8", "92")):
        return "BSE"
    return "SSE" if code.startswith(("5", "6", "9")) else "SZSE"


def _cn(exchange: str, code: str) -> Listing:
    return listing(make_instrument_id("cn", exchange, code))


def _hk(code: str) -> Listing:
    return listing(make_instrument_id("hk", "SEHK", code.zfill(5)))


def _pair(name: str, exchange: str, kind: str) -> Listing | None:
    if match := _PAIR.fullmatch(name):
        base, quote = match[1], match[2]
        if quote in ("PERP", "SWAP"):
            return _split_pair(base, exchange, "PERP")
        return _crypto(base, quote, exchange, "PERP" if ":" in name or match[3] else kind)
    return _split_pair(name, exchange, kind)


def _split_pair(name: str, exchange: str, kind: str) -> Listing | None:
    if not (name.isascii() and name.isalnum()):
        return None
    for quote in _QUOTES:
        if name.endswith(quote) and len(name) > len(quote):
            return _crypto(name.removesuffix(quote), quote, exchange, kind)
    return None


def _crypto(base: str, quote: str, exchange: str, kind: str) -> Listing:
    return listing(make_instrument_id("crypto", exchange, f"{base}-{quote}", kind))


def _from_stem(stem: str, market: str | None, exchange: str, kind: str) -> Listing | None:
    for pattern in (_CN_SUFFIXED, _CN_PREFIXED, _HK_PREFIXED, _HK_SUFFIXED):
        guarded = re.search(rf"(?<![A-Z0-9]){pattern.pattern}(?![0-9])", stem)
        if guarded and (instrument := _stock(guarded[0], market)):
            return instrument
    words = [word for word in re.split(r"[^A-Z0-9]+", stem) if word]
    if market in ("cn", "hk"):
        sizes = (6,) if market == "cn" else (4, 5)
        bare = [word for word in words if word.isdigit() and len(word) in sizes]
        return _stock(bare[0], market) if bare else None
    exchange = next((word for word in words if word in _VENUES), exchange)
    kind = "PERP" if _PERPETUAL_WORDS & set(words) else kind
    pairs = [
        instrument for word in words if len(word) >= 5 and (instrument := _split_pair(word, exchange, kind))
    ]
    if pairs:
        return pairs[0]
    for base, after in zip(words, [*words[1:], ""], strict=True):
        if base in _BASES:
            return _crypto(base, after if after in _QUOTES else "USD", exchange, kind)
    return None
