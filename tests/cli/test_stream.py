"""``nofx stream --universe``: the batch's continuation from the command on, its refusals and namespaces."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.cli.features import get_features
from nofx_pipelines.cli.stream import Source, run_stream
from nofx_pipelines.config_file import load_config
from nofx_pipelines.errors import ConfigError, FeatureError
from nofx_pipelines.features.online.backends import store_of
from nofx_pipelines.features.online.refresh import newest_vectors
from nofx_pipelines.features.sets.registry import universe_features
from nofx_pipelines.lake.store import Lake
from tests.features.execution.test_refresh import UNIVERSE
from tests.features.streaming.test_continuation import commit, dividends, lake_with, split_bars

CONFIG = """
[markets.cn.1d]
start = 2024-01-01
end = 2026-01-01
sources = [{ kind = "simulated", instruments = 6, seed = 7 }]

[universes.cn_small]
market = "cn"
freq = "1d"
members = ["all"]
features = ["technical"]
"""


def home_with(tmp_path: Path) -> tuple[Lake, pl.DataFrame, Path]:
    """A home whose lake ends before the bars of a file."""
    (tmp_path / "nofx.toml").write_text(CONFIG)
    past, coming, days = split_bars()
    actions = dividends(past, [days[0] - timedelta(days=9), days[3]])
    lake = lake_with(load_config(tmp_path).lake, past, actions)
    live = [
        name for name in coming.columns if name not in ("source", "revision", "knowledge_time", "quality")
    ]
    coming.select(live).write_parquet(tmp_path / "live.parquet")
    return lake, coming, tmp_path / "live.parquet"


def stream(home: Path, bars: Path, sets: list[str], namespace: str = "") -> None:
    read = Source("replay", bars=bars)
    run_stream(home, read, universe=UNIVERSE.name, sets=sets, state=None, save_every=3, namespace=namespace)


def test_it_goes_on_from_the_lake_and_refuses_another_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake, coming, bars = home_with(tmp_path)
    stream(tmp_path, bars, [])
    assert "going on from cn_small's features at the end of" in capsys.readouterr().out
    with pytest.raises(FeatureError, match=r"holds version .*, the stream computes") as refusal:
        stream(tmp_path, bars, ["ta"])
    assert "--namespace" in str(refusal.value)
    stream(tmp_path, bars, ["ta"], "next")
    stream(tmp_path, bars, [])
    said = capsys.readouterr().out
    assert f"going on from {tmp_path / 'streams' / 'cn_small.replay.stream'}" in said
    commit(lake, coming)
    universe = load_config(tmp_path).universes[UNIVERSE.name]
    vectors, names = newest_vectors(lake, universe), list(universe_features(universe).columns)
    with store_of(tmp_path, universe) as store:
        got = store.get(store.entities(), names)
        vectors = vectors.filter(pl.col("instrument_id").is_in(store.entities()))
        want = vectors.sort("instrument_id").select(pl.col(names).fill_null(np.nan)).to_numpy()
        order = np.argsort(store.entities())
    np.testing.assert_array_equal(got.values[order], want)
    get_features(tmp_path, UNIVERSE.name, [], ["sma_5"], "csv")
    with pytest.raises(FeatureError, match="no feature sma_5"):
        get_features(tmp_path, UNIVERSE.name, [], ["sma_5"], "csv", "next")


def test_a_replay_behind_the_store_is_refused_without_a_namespace(tmp_path: Path) -> None:
    lake, coming, bars = home_with(tmp_path)
    stream(tmp_path, bars, [])
    commit(lake, coming)
    past = Source("replay", start=coming["session_date"].min())
    again = {"universe": UNIVERSE.name, "sets": [], "save_every": 3}
    with pytest.raises(FeatureError, match="the stream stands at"):
        run_stream(tmp_path, past, state=tmp_path / "other.stream", **again)  # type: ignore[arg-type]
    run_stream(tmp_path, past, state=None, namespace="past", **again)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"namespace '\.\./x'"):
        run_stream(tmp_path, past, state=None, namespace="../x", **again)  # type: ignore[arg-type]
