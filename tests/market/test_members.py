from collections.abc import Callable

import polars as pl
import pytest

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.errors import ConfigError
from nofx_pipelines.market.members import members

IDS = ["CN.SSE.600000", "CN.SSE.000001", "CN.SZSE.000001"]


def test_all_symbols_or_identifiers(make_instruments: Callable[..., pl.DataFrame]) -> None:
    listed = make_instruments(IDS)

    def held(*names: str) -> list[str]:
        universe = UniverseConfig(name="u", market="cn", freq="1d", members=names)
        return members(listed, universe)["instrument_id"].to_list()

    assert held("all") == sorted(IDS)
    assert held("600000") == ["CN.SSE.600000"]
    assert held("000001") == ["CN.SSE.000001", "CN.SZSE.000001"]  # a symbol may be listed twice
    assert held("CN.SZSE.000001", "600000") == ["CN.SSE.600000", "CN.SZSE.000001"]
    with pytest.raises(ConfigError, match=r"no instrument '1', 'x' among those ingested"):
        held("600000", "1", "x")
