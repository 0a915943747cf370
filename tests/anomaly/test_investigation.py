"""Pages on anomalies."""

from __future__ import annotations

import polars as pl
import pytest

from nofx_pipelines.anomaly.investigation import critical, investigate, write_investigation
from nofx_pipelines.anomaly.triage import rewrite, set_triage
from nofx_pipelines.errors import DataError
from tests.chain import Chain


def _make_critical(chain: Chain) -> str:
    """The newest anomaly, moved to the last session and made critical."""
    table = chain.table("anomalies")
    events = table.scan().sort("ts_start").collect()
    last = chain.table("bars").scan().select(pl.col("ts_close").max()).collect().item()
    name = events["anomaly_id"][-1]
    newest = pl.col("anomaly_id") == name
    rewrite(
        table,
        events.with_columns(
            pl.when(newest).then(pl.lit("critical")).otherwise("severity").alias("severity"),
            pl.when(newest).then(pl.lit(last)).otherwise("ts_end").alias("ts_end"),
        ),
    )
    return str(name)


def test_the_page_says_what_the_tables_say(chain: Chain) -> None:
    row = chain.table("anomalies").scan().sort("score").collect().row(-1, named=True)
    page = investigate(chain.lake, chain.universe, chain.feed, row["anomaly_id"])
    assert page.startswith(f"# {row['severity']} anomaly {row['anomaly_id']}")
    for title in ("Bars around it", "The market", "At the same time", "checks refused", "sources delivered"):
        assert title in page
    assert str(row["ts_peak"]) in page.split("## Bars around it")[1]


def test_it_is_kept_under_its_universe_and_id(chain: Chain) -> None:
    path = write_investigation(chain.home, chain.universe, "ab12", "words\n")
    assert path == chain.home / "investigations" / "cn" / "ab12.md"
    assert path.read_text() == "words\n"
    assert list(path.parent.iterdir()) == [path]


def test_an_unknown_id_is_refused(chain: Chain) -> None:
    with pytest.raises(DataError, match="no anomaly 'zz' in cn"):
        investigate(chain.lake, chain.universe, chain.feed, "zz")


def test_only_open_critical_anomalies_of_the_newest_sessions_are_news(chain: Chain) -> None:
    assert critical(chain.lake, chain.universe) == []
    name = _make_critical(chain)
    assert critical(chain.lake, chain.universe) == [name]
    set_triage(chain.table("anomalies"), name, "dismissed", None)
    assert critical(chain.lake, chain.universe) == []


def test_without_tables_there_is_no_news(chain: Chain) -> None:
    from nofx_pipelines.lake.store import Lake

    assert critical(Lake(chain.home / "nothing"), chain.universe) == []
