"""``nofx plugins``: the members of every kind, where they come from, and which are refused."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from nofx_pipelines import plugins
from nofx_pipelines.cli.members import open_member
from nofx_pipelines.cli.terminal import only_ours, say, write_frame
from nofx_pipelines.config import Config
from nofx_pipelines.config_file import load_usable
from nofx_pipelines.config_members import feed_members, universe_members
from nofx_pipelines.errors import ConfigError, NofxError

_COLUMNS = ("kind", "name", "origin", "where", "used_by", "state")


def list_plugins(home: Path, kind: str | None, format: str) -> None:
    """Print one line a member; users' members are opened as a run opens them."""
    if kind is not None and kind not in plugins.KINDS:
        raise ConfigError(
            f"--kind {kind!r} is none of {', '.join(plugins.KINDS)}",
            kept="nothing was listed",
            hint=f"--kind {next(iter(plugins.KINDS))}",
        )
    folder, (config, refused) = home / plugins.FOLDER, load_usable(home)
    used = _used(config)
    # what a member prints when it is imported is no part of the table
    with only_ours():
        rows = [row for name in ([kind] if kind else plugins.KINDS) for row in _members(name, folder, used)]
    write_frame(pl.DataFrame(rows, schema=dict.fromkeys(_COLUMNS, pl.String), orient="row"), format)
    if format == "table":
        for name, error in refused.items():
            say(f"\n{name}: {error}")
        say(f'\nYour own: files in {folder}, named "file:ATTRIBUTE" in nofx.toml. Next: nofx new KIND NAME')


def _members(kind: str, folder: Path, used: dict[tuple[str, str], list[str]]) -> list[tuple[str, ...]]:
    """The built-in ones, those of the home's files and of installed packages, those that are refused."""
    names = [*plugins.known_names(kind, folder)]
    names += sorted({name for of, name in used if of == kind} - set(names))
    rows: list[tuple[str, ...]] = []
    for name in names:
        users = ", ".join(used.get((kind, name), []))
        try:
            reference = plugins.find(kind, name, folder)
        except NofxError as error:
            rows.append((kind, name, "", "", users, str(error)))
            continue
        where = f"{folder / reference.module}.py" if reference.origin == "home" else reference.module
        rows.append((kind, name, reference.origin, where, users, _state(reference)))
    for point in plugins.refused_members(kind):
        state = f"refused: {point.name!r} is a built-in {plugins.KINDS[kind].what}"
        rows.append((kind, point.name, "installed", point.value, "", state))
    return rows


def _state(reference: plugins.Reference) -> str:
    """``ok``, or why a run would refuse it."""
    if reference.origin == "built-in":
        return "ok"
    try:
        open_member(reference)
    except NofxError as error:
        return str(error)
    return "ok"


def _used(config: Config) -> dict[tuple[str, str], list[str]]:
    """Which universes and feeds name a member."""
    users = [(u.name, universe_members(u)) for u in config.universes.values()]
    users += [(f"{feed.market} {feed.freq}", feed_members(feed)) for feed in config.feeds.values()]
    used: dict[tuple[str, str], list[str]] = {}
    for user, members in users:
        for member in dict.fromkeys(members):
            used.setdefault(member, []).append(user)
    return used
