import pytest
from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines.errors import DataError
from nofx_pipelines.market.instruments import make_instrument_id, parse_instrument_id

SYMBOLS = st.from_regex(r"[A-Z0-9][A-Z0-9_-]{0,31}", fullmatch=True)


@given(SYMBOLS, st.sampled_from(["cn", "hk", "crypto"]), st.sampled_from(["SPOT", "PERP"]))
def test_making_then_parsing_gives_the_parts_back(symbol: str, market: str, kind: str) -> None:
    kind_or_none = kind if market == "crypto" else None
    parts = parse_instrument_id(make_instrument_id(market, "BINANCE", symbol, kind_or_none))
    assert (parts.market, parts.exchange, parts.symbol, parts.kind) == (
        market,
        "BINANCE",
        symbol,
        kind_or_none,
    )


@pytest.mark.parametrize(
    "symbol", ["../../x", "a'; drop table", "", "600519\n", "６００", ".", "A" * 33, "600 519", "600519;"]
)
def test_a_symbol_that_is_none_is_refused_by_name(symbol: str) -> None:
    with pytest.raises(DataError, match="instrument_id"):
        make_instrument_id("cn", "SSE", symbol)


@pytest.mark.parametrize(
    "text",
    ["US.NYSE.IBM", "CN.SSE", "CRYPTO.BINANCE.BTC-USDT", "CRYPTO.BINANCE.SWAP.BTC-USDT", "CN.sse.600519"],
)
def test_a_malformed_identifier_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="breaks a rule"):
        parse_instrument_id(text)
