import pytest

from nofx_pipelines.errors import DataError
from nofx_pipelines.market.venues import listing


@pytest.mark.parametrize(
    ("instrument_id", "board", "asset_class", "currency"),
    [
        ("CN.SSE.600519", "main", "equity", "CNY"),
        ("CN.SSE.688981", "star", "equity", "CNY"),
        ("CN.SSE.000001", "index", "index", "CNY"),
        ("CN.SZSE.000001", "main", "equity", "CNY"),
        ("CN.SZSE.002594", "main", "equity", "CNY"),
        ("CN.SZSE.300750", "chinext", "equity", "CNY"),
        ("CN.SZSE.399001", "index", "index", "CNY"),
        ("CN.SSE.510300", "fund", "equity", "CNY"),
        ("CN.BSE.920001", "bse", "equity", "CNY"),
        ("CN.BSE.832000", "bse", "equity", "CNY"),
        ("HK.SEHK.00700", "main", "equity", "HKD"),
        ("HK.SEHK.02800", "fund", "equity", "HKD"),
        ("HK.SEHK.08083", "gem", "equity", "HKD"),
        ("HK.SEHK.HSI", "index", "index", "HKD"),
        ("CRYPTO.BINANCE.SPOT.ADA-BTC", "spot", "spot", "BTC"),
        ("CRYPTO.BINANCE.PERP.BTC-USDT", "perpetual", "perpetual", "USDT"),
    ],
)
def test_a_symbol_names_its_board(instrument_id: str, board: str, asset_class: str, currency: str) -> None:
    found = listing(instrument_id)
    assert (found.board, found.asset_class, found.currency) == (board, asset_class, currency)


def test_an_exchange_of_another_market_or_a_symbol_of_no_board_is_refused() -> None:
    with pytest.raises(DataError, match="'SEHK' is none of cn's"):
        listing("CN.SEHK.600519")
    with pytest.raises(DataError, match="belongs to no board of SSE"):
        listing("CN.SSE.300750")
