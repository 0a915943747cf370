"""``nofx anomalies`` and ``nofx triage``."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from nofx_pipelines.cli.configuration import usable_config
from nofx_pipelines.cli.terminal import home_option, say, table
from nofx_pipelines.config import Config, UniverseConfig
from nofx_pipelines.errors import ConfigError

_LEVELS = ("low", "medium", "high", "critical")


def show_anomalies(home: Path, universe: str | None, severity: str, limit: int) -> None:
    """The newest anomalies of at least ``severity``, one line each."""
    from nofx_pipelines.anomaly.formatting import reason
    from nofx_pipelines.lake.store import Lake

    if severity not in _LEVELS:
        raise ConfigError(f"no severity {severity!r}", hint=f"one of {', '.join(_LEVELS)}")
    config = usable_config(home)
    lake, frames = Lake(config.lake), []
    for chosen in _chosen(config, universe):
        found = lake.table(chosen.name, "anomalies")
        if found.exists():
            frames.append(found.scan().collect().with_columns(universe=pl.lit(chosen.name)))
    loud = pl.col("severity").is_in(_LEVELS[_LEVELS.index(severity) :])
    events = pl.concat(frames).filter(loud) if frames else pl.DataFrame()
    if events.is_empty():
        say(f"no anomalies. Next: nofx run {home_option(home)}")
        return
    rows = [
        (
            row["anomaly_id"],
            row["universe"],
            row["instrument_id"],
            f"{row['ts_start']:%Y-%m-%d %H:%M}",
            row["severity"],
            row["type"],
            row["triage"],
            reason(row["explanation"], row["rule"]),
        )
        for row in events.sort("ts_start", "anomaly_id", descending=True).head(limit).iter_rows(named=True)
    ]
    say(table(("id", "universe", "instrument", "from (UTC)", "severity", "type", "triage", "why"), rows))
    shown = min(limit, events.height)
    say(f"\n{shown} of {events.height} shown. Next: nofx triage ID confirmed --universe NAME")


def show_recovery(home: Path, universe: str | None) -> None:
    """Recall per planted kind and precision, for simulated universes."""
    from nofx_pipelines.anomaly.refresh import known_events
    from nofx_pipelines.lake.store import Lake

    config = usable_config(home)
    lake = Lake(config.lake)
    for chosen in _chosen(config, universe):
        if not lake.table(chosen.name, "anomalies").exists():
            say(f"{chosen.name}: not looked for yet. Next: nofx run {home_option(home)}")
            continue
        found = known_events(lake, chosen)
        if found.recovered is None:
            say(f"{chosen.name}: nothing was planted in these bars")
            continue
        rows = [
            (kind, planted, hit, "" if recall is None else f"{recall:.2f}")
            for kind, planted, hit, recall in found.recovered.rows()
        ]
        precision = "none" if found.precision is None else f"{found.precision:.2f}"
        say(f"{chosen.name}: {found.rows} anomalies, precision {precision}")
        say(
            table(
                ("  planted", "n", "found", "recall"), [(f"  {r[0]}", *r[1:]) for r in rows], right=(1, 2, 3)
            )
        )


def decide(home: Path, universe: str, anomaly: str, state: str, note: str | None) -> None:
    """Write a decision on one anomaly."""
    from nofx_pipelines.anomaly.triage import set_triage
    from nofx_pipelines.lake.store import Lake

    config = usable_config(home)
    (chosen,) = _chosen(config, universe)
    set_triage(Lake(config.lake).table(chosen.name, "anomalies"), anomaly, state, note)
    say(f"{anomaly}: {state}")


def _chosen(config: Config, universe: str | None) -> list[UniverseConfig]:
    if universe is None:
        return list(config.universes.values())
    if universe not in config.universes:
        known = ", ".join(config.universes)
        raise ConfigError(f"no universe {universe!r} in nofx.toml", hint=f"one of {known}")
    return [config.universes[universe]]
