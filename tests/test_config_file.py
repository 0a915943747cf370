"""nofx.toml: what is written reads back; what is wrong is refused with file, line, value, rule, example."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines import plugins
from nofx_pipelines.config import (
    FREQS,
    MARKETS,
    Config,
    FeedConfig,
    FoldConfig,
    LabelConfig,
    SearchConfig,
    SourceConfig,
    UniverseConfig,
)
from nofx_pipelines.config_file import (
    default_config,
    load_config,
    parse_config,
    render_config,
    with_seed,
)
from nofx_pipelines.errors import ConfigError

HOME = Path("/srv/nofx")

sources = st.one_of(
    st.builds(
        SourceConfig,
        kind=st.just("simulated"),
        plugins=st.just(HOME / "plugins"),
        instruments=st.integers(1, 500),
        seed=st.integers(0, 2**32 - 1),
        signal=st.booleans(),
        anomalies=st.booleans(),
    ),
    st.builds(
        SourceConfig,
        kind=st.just("files"),
        plugins=st.just(HOME / "plugins"),
        formats=st.sampled_from([(), ("binance",)]),
        options=st.just((("a", 1), ("b", "x"))),
        path=st.text("ab c\"\\'é/", min_size=1, max_size=12).map(
            lambda text: Path("/data") / text.strip("/")
        ),
    ),
)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    market, freq = draw(st.sampled_from(MARKETS)), draw(st.sampled_from(FREQS))
    feed = FeedConfig(
        market=market, freq=freq, sources=(draw(sources),), start=date(2020, 1, 1), end=date(2021, 1, 1)
    )
    universe = UniverseConfig(
        name=draw(st.from_regex(r"x[a-z0-9_]{0,10}", fullmatch=True)),
        market=market,
        freq=freq,
        members=tuple(draw(st.lists(st.sampled_from(["600519", "BTC-USDT"]), min_size=1, max_size=3))),
        labels=LabelConfig(horizon=draw(st.integers(1, 1000)), barrier_sigmas=draw(st.floats(0.1, 20))),
        folds=FoldConfig(count=draw(st.integers(2, 50)), test_fraction=draw(st.floats(0.01, 0.99))),
        search=SearchConfig(trials=draw(st.integers(1, 1000))),
        plugins=HOME / "plugins",
    )
    return Config(home=HOME, feeds={(market, freq): feed}, universes={universe.name: universe})


@given(configs())
def test_what_is_written_reads_back(config: Config) -> None:
    assert parse_config(render_config(config), home=HOME) == config


def test_without_a_file_three_simulated_universes(tmp_path: Path) -> None:
    assert load_config(tmp_path) == default_config(tmp_path)
    assert sorted(load_config(tmp_path).universes) == ["cn", "crypto", "hk"]


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        (
            "horizon = 5",
            "horizon = 0",
            34,
            ["labels.horizon = 0", "greater than or equal to 1", "horizon = 5"],
        ),
        ("horizon = 5", "horizn = 5", 34, ["labels.horizn", "a key is one of kind, horizon"]),
        ('market = "cn"', 'market = "us"', 25, ["'us'", "'cn', 'hk' or 'crypto'", 'market = "cn"']),
        ("[markets.cn.1d]", "[markets.cn.2d]", 3, ["'2d'", "1d, 1h, 30m, 15m, 5m, 1m"]),
        ("[markets.cn.1d]", "[markets.us.1d]", 3, ["'us'", "cn, hk, crypto"]),
        ("[markets.cn.1d]", "[market.cn.1d]", 3, ["'market'", "markets, universes"]),
        ("trials = 30", 'trials = "many"', 44, ["search.trials = 'many'", "valid integer", "trials = 30"]),
        ("start = 2023-01-01", "start = 2027-01-01", 5, ["2026", "after the start 2027-01-01"]),
        ("instruments = 30", "instruments = -1", 6, ["instruments = -1", "greater than or equal to 1"]),
        ('kind = "simulated"', 'kind = "kafka"', 6, ["'kafka'", "known are ", "simulated"]),
        ('kind = "simulated"', 'kind = "files"', 6, ["names a path"]),
        ("[universes.cn]", "[universes.hk]\nmarket = 1\n[universes.cn]", 24, []),
        ("[universes.cn]", '[universes."../../x"]', 24, ["../../x", "pattern"]),
        ("sources = [", "sources = 5 [", 6, ["not valid TOML"]),
    ],
)
def test_a_wrong_value_is_refused_by_line(old: str, new: str, line: int, words: list[str]) -> None:
    text = render_config(default_config(HOME)).replace(old, new, 1)
    with pytest.raises(ConfigError) as caught:
        parse_config(text, home=HOME, file="nofx.toml")
    message = str(caught.value)
    if words:
        assert f"nofx.toml:{line}:" in message
    assert "nothing was run" in message
    assert "Next: " in message
    assert [word for word in words if word not in message] == []


def test_a_markets_name_belongs_to_that_market() -> None:
    text = render_config(default_config(HOME)).replace(
        '[universes.hk]\nmarket = "hk"', '[universes.hk]\nmarket = "cn"'
    )
    with pytest.raises(ConfigError, match="only used by a universe of that market"):
        parse_config(text, home=HOME)


def test_a_universe_needs_its_feed() -> None:
    text = render_config(default_config(HOME)).replace('freq = "1d"', 'freq = "5m"', 1)
    with pytest.raises(ConfigError, match=r"have a section \[markets.cn.5m\]"):
        parse_config(text, home=HOME)


def test_simulated_and_real_bars_do_not_share_a_feed() -> None:
    config = default_config(HOME)
    feed = config.feeds["cn", "1d"]
    mixed = replace(feed, sources=(*feed.sources, SourceConfig(kind="files", path=Path("/data"))))
    text = render_config(Config(home=HOME, feeds={("cn", "1d"): mixed}, universes={}))
    with pytest.raises(ConfigError, match="do not share a feed"):
        parse_config(text, home=HOME)


def test_a_seed_reaches_sources_searches_and_gates() -> None:
    seeded = with_seed(default_config(HOME), 99)
    assert {link.seed for feed in seeded.feeds.values() for link in feed.sources} == {99}
    assert {(u.search.seed, u.gates.seed) for u in seeded.universes.values()} == {(99, 99)}


def test_what_a_plug_in_source_was_given_is_written_back(tmp_path: Path) -> None:
    folder = tmp_path / plugins.FOLDER
    folder.mkdir()
    (folder / "vendor.py").write_text("SOURCE = 1\n")
    link = SourceConfig(
        "vendor:SOURCE",
        path=Path("a folder/bars.jsonl"),
        options=(("url", "https://example.org"),),
        plugins=folder,
        instruments=3,
        seed=11,
        signal=False,
        anomalies=False,
    )
    feed = FeedConfig(market="cn", freq="1d", sources=(link,), start=date(2024, 1, 1))
    text = render_config(Config(home=tmp_path, feeds={("cn", "1d"): feed}, universes={}))
    assert parse_config(text, home=tmp_path).feeds["cn", "1d"].sources == (link,)
    plain = replace(feed, sources=(SourceConfig("vendor:SOURCE", plugins=folder),))
    text = render_config(Config(home=tmp_path, feeds={("cn", "1d"): plain}, universes={}))
    assert '{ kind = "vendor:SOURCE" }' in text
