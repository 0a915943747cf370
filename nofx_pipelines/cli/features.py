"""``nofx features``: what is declared, how it looks, and the newest vectors from the online store."""

from __future__ import annotations

import sys
import time
from difflib import get_close_matches
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from nofx_pipelines import plugins
from nofx_pipelines.cli.configuration import usable_config
from nofx_pipelines.cli.terminal import only_ours, plain, say, write_frame
from nofx_pipelines.errors import ConfigError, FeatureError, NofxError
from nofx_pipelines.lake.store import Lake

if TYPE_CHECKING:
    from nofx_pipelines.features.program.declaration import Feature, FeatureSet


def get_features(
    home: Path, universe: str, entities: list[str], names: list[str], format: str, namespace: str = ""
) -> None:
    """Print vectors; all entities and features unless some are named."""
    from nofx_pipelines.features.online.backends import store_of
    from nofx_pipelines.features.online.refresh import ttl_us

    config = usable_config(home)
    if universe not in config.universes:
        raise ConfigError(
            f"no universe {universe!r} in nofx.toml", hint=f"one of {', '.join(config.universes)}"
        )
    with store_of(home, config.universes[universe], namespace) as store:
        found = store.get_online_features(
            entities or store.entities(),
            names or None,
            now_us=time.time_ns() // 1_000,
            ttl_us=ttl_us(config.universes[universe]),
        )
    write_frame(found, format)


def list_features(home: Path, sets: list[str], format: str) -> None:
    """Print every feature of the sets; of all sets, the home's own among them, unless some are named."""
    declared = _sets(home)
    if sets:
        from nofx_pipelines.features.sets.registry import feature_set

        with only_ours():
            declared = {name: feature_set(name, folder=home / plugins.FOLDER) for name in sets}

    rows = [
        {
            "set": name,
            "feature": feature.name,
            "unit": feature.unit,
            "lookback": feature.expr.lookback,
            "warm_up": feature.expr.warm_up,
            "state": feature.expr.recursive,
            "scale_free": feature.scale_free,
            "online": feature.online,
            "clock": feature.clock,
            "description": feature.description,
        }
        for name, features in declared.items()
        for feature in features.features
    ]
    write_frame(pl.DataFrame(rows), format)


def _sets(home: Path) -> dict[str, FeatureSet]:
    """The built-in sets, those that installed packages announce and those of the home's files, by name.

    A user's set that cannot be loaded is said to be left out.
    """
    from nofx_pipelines.features.sets.registry import KIND, feature_set

    folder, sets = home / plugins.FOLDER, {}
    for name in plugins.known_names(KIND, folder):
        try:
            with only_ours():
                sets[name] = feature_set(name, folder=folder)
        except NofxError as error:
            sys.stderr.write(f"left out: {plain(str(error))}\n")
    return sets


def show_feature(home: Path, name: str) -> None:
    """Print all that a feature's declaration says."""
    for set_name, feature in _declared(home, name):
        expr = feature.expr
        say(f"{set_name}.{feature.name}: {feature.description}")
        say(f"  formula     {expr!r}")
        say(f"  unit        {feature.unit}, {feature.dtype}; owner {feature.owner}")
        say(f"  lookback    {expr.lookback} bars{', and its state' if expr.recursive else ''}")
        say(f"  first value after {expr.warm_up} bars")
        say(f"  counts      {'traded bars' if feature.clock == 'row' else 'all bars of the calendar'}")
        say(f"  reads       {', '.join(expr.dependencies)}")
        scale = "goes into training sets" if feature.scale_free else "stays out of training sets"
        say(f"  {scale}; {'is' if feature.online else 'is not'} handed over to the online store")
        say(f"  version     {feature.version}")


def plot_features(
    names: list[str], universe: str | None, instrument: str | None, home: Path, to: Path
) -> None:
    """Draw features as SVG in one page: of a universe's table, or of simulated bars."""
    from nofx_pipelines.features import FeatureSet, compute
    from nofx_pipelines.report.catalogue import example_bars, picture

    chosen = [_declared(home, name)[0][1] for name in names]
    if universe is None:
        bars = example_bars()
        frame = compute(bars, FeatureSet("chosen", tuple(chosen)), bars_per_year=243).frame
    else:
        frame = Lake(usable_config(home).lake).table(universe, "features").scan().collect()
        absent = [f.name for f in chosen if f.name not in frame.columns]
        if absent:
            raise FeatureError(f"{universe} has no feature {absent[0]!r}", hint="its sets stand in nofx.toml")
    who = instrument or frame["instrument_id"][0]
    own = frame.filter(pl.col("instrument_id") == who).sort("ts_close")
    if own.is_empty():
        raise FeatureError(f"no rows of instrument {who!r}", hint="nofx features get lists them")
    drawings = "".join(
        f"<h3>{escape(feature.name)}</h3><p>{escape(feature.description)} "
        f'<span class="soft">{escape(feature.unit)}</span></p>{picture(own, feature.name, height=260)}'
        for feature in chosen
    )
    style = files("nofx_pipelines.report").joinpath("page.css").read_text(encoding="utf-8")
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(
        f"<!doctype html><meta charset=utf-8><title>{escape(who)}</title><style>{style}</style>"
        f"<header><h1>{escape(who)}</h1></header><main>{drawings}</main>",
        encoding="utf-8",
    )
    say(f"wrote {to}")


def write_features_page(home: Path, to: Path) -> None:
    """Write the catalogue of all sets."""
    from nofx_pipelines.report.catalogue import write_catalogue

    say(f"wrote {to} ({write_catalogue(to, list(_sets(home).values())):,} bytes)")


def _declared(home: Path, name: str) -> list[tuple[str, Feature]]:
    """The features of that name, or ``set.feature``, and their sets."""
    every = _sets(home)
    own, _, short = name.rpartition(".")
    sets = {own: every[own]} if own in every else every
    matching = [
        (s, f) for s, features in sets.items() for f in features.features if f.name == (short or name)
    ]
    if not matching:
        close = get_close_matches(name, [f.name for features in every.values() for f in features.features])
        raise FeatureError(
            f"no feature {name!r}", hint=f"perhaps {', '.join(close)}" if close else "nofx features list"
        )
    return matching
