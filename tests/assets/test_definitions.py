"""The graph of a configuration: keys, groups, partitions, jobs, and a wrong file as one asset."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from assets.build import build_definitions
from assets.partitions import keys_between, partitions_of
from nofx_pipelines.config import Config, FeedConfig, SourceConfig, UniverseConfig
from nofx_pipelines.config_file import default_config, render_config
from nofx_pipelines.definitions import defs
from nofx_pipelines.graph import UNIVERSE_STAGES

FILES = SourceConfig(kind="files", path=Path("/data"))


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build_definitions(default_config(tmp_path_factory.mktemp("home")))


def keys(definitions: dg.Definitions) -> set[str]:
    return {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}


def test_each_universe_has_every_stage(definitions: dg.Definitions) -> None:
    expected = {f"{name}/{stage.name}" for name in ("cn", "hk", "crypto") for stage in UNIVERSE_STAGES}
    expected |= {f"{m}/{name}" for m in ("cn", "hk", "crypto") for name in ("instruments", "source_bars_1d")}
    assert keys(definitions) == expected | {"mart", "report"}


def test_the_stages_hang_together_as_stage_data_says(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for stage in UNIVERSE_STAGES:
        parents = {key.path[-1] for key in graph.get(dg.AssetKey(["cn", stage.name])).parent_keys}
        assert {each.stage.name for each in stage.reads} <= parents


def test_a_job_for_each_feed_universe_and_close(definitions: dg.Definitions) -> None:
    names = {job.name for job in definitions.resolve_all_job_defs() if not job.name.startswith("__")}
    assert names == {
        "publish",
        *(f"ingest_{m}_1d" for m in ("cn", "hk", "crypto")),
        *("cn", "hk", "crypto"),
        *(f"{m}_after_close" for m in ("cn", "hk", "crypto")),
        *(f"investigate_{m}" for m in ("cn", "hk", "crypto")),
        *(f"{m}_signals" for m in ("cn", "hk", "crypto")),
    }


def test_every_partitioned_asset_backfills_in_one_run(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        if node.is_partitioned:
            assert node.backfill_policy == dg.BackfillPolicy.single_run()


def test_every_asset_says_whose_what_and_how_old(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.owners, key
        assert node.kinds, key
        assert node.description, key
        assert node.code_version or key.path[0] in ("mart", "report"), key


def test_daily_bars_are_partitioned_by_month() -> None:
    feed = FeedConfig(market="cn", freq="1d", sources=(FILES,), start=date(2016, 1, 15))
    keys = partitions_of(feed).get_partition_keys(current_time=datetime(2026, 1, 10, tzinfo=UTC))
    assert (keys[0], keys[-1], len(keys)) == ("2016-01-01", "2026-01-01", 121)


def test_intraday_bars_are_partitioned_by_session() -> None:
    feed = FeedConfig(
        market="hk", freq="1m", sources=(FILES,), start=date(2019, 12, 23), end=date(2020, 1, 3)
    )
    # Christmas, Boxing Day and New Year are no sessions, nor are weekends
    assert partitions_of(feed).get_partition_keys() == [
        "2019-12-23",
        "2019-12-24",
        "2019-12-27",
        "2019-12-30",
        "2019-12-31",
        "2020-01-02",
    ]


def test_a_range_of_dates_becomes_a_range_of_keys() -> None:
    feed = FeedConfig(market="cn", freq="1d", sources=(FILES,), start=date(2023, 1, 1), end=date(2024, 1, 1))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert keys_between(feed, date(2023, 3, 31), date(2023, 4, 1), now) == ("2023-03-01", "2023-03-01")
    assert keys_between(feed, date(2022, 1, 1), date(2026, 1, 1), now) == ("2023-01-01", "2023-12-01")
    assert keys_between(feed, date(2025, 1, 1), date(2026, 1, 1), now) is None


def test_only_feeds_of_files_watch_an_inbox(tmp_path: Path) -> None:
    feed = FeedConfig(market="hk", freq="1d", sources=(FILES,), start=date(2024, 1, 1))
    universe = UniverseConfig(name="hk", market="hk", freq="1d")
    config = Config(home=tmp_path, feeds={("hk", "1d"): feed}, universes={"hk": universe})
    inboxes = [s.name for s in build_definitions(config).sensors or () if s.name.startswith("inbox_")]
    assert inboxes == ["inbox_hk_1d"]
    simulated = build_definitions(default_config(tmp_path)).sensors or ()
    assert not [s.name for s in simulated if s.name.startswith("inbox_")]


def test_a_universe_whose_plug_in_cannot_be_used_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = render_config(default_config(tmp_path)).replace('"leak_check"]', '"leak_check", "gone:GATE"]', 1)
    (tmp_path / "nofx.toml").write_text(text)
    monkeypatch.setenv("NOFX_HOME", str(tmp_path))
    shown = defs()
    assert "gone.py is not there" in str(shown.resolve_assets_def("CONFIG_ERROR").descriptions_by_key)
    assert {key.partition("/")[0] for key in keys(shown)} >= {"hk", "crypto", "mart"}
    assert "cn/bars" not in keys(shown)
    (tmp_path / "unwritten_gate.py").write_text("def f(:\n")  # installed, and no Python
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "nofx.toml").write_text(text.replace("gone:GATE", "unwritten_gate:GATE"))
    shown = defs()
    assert {"cn/bars", "hk/bars"} <= keys(shown)  # the stage that runs it will say so, and no other
    (tmp_path / "spread_gate").mkdir()  # a package without a file has no code version
    (tmp_path / "nofx.toml").write_text(text.replace("gone:GATE", "spread_gate:GATE"))
    shown = defs()
    assert "no module spread_gate" in str(shown.resolve_assets_def("CONFIG_ERROR").descriptions_by_key)
    assert "cn/bars" not in keys(shown)


def test_a_wrong_file_shows_as_one_asset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nofx.toml").write_text("[universes.cn]\nmarket = 'mars'\n")
    monkeypatch.setenv("NOFX_HOME", str(tmp_path))
    found = defs()
    assert isinstance(found, dg.Definitions)
    asset = found.resolve_assets_def("CONFIG_ERROR")
    description = asset.descriptions_by_key[dg.AssetKey("CONFIG_ERROR")]
    assert f"{tmp_path}/nofx.toml:2" in description
    assert "'mars'" in description
    with pytest.raises(dg.Failure, match="mars"):
        dg.materialize([asset])
