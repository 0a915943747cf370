"""Which members of each family a universe runs: built in, or whose file with which hash."""

from __future__ import annotations

from nofx_pipelines import plugins
from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.config_members import feed_members, universe_members
from nofx_pipelines.errors import NofxError
from nofx_pipelines.report.markup import table

HEADER = ("kind", "members", "where", "sources")


def members_page(universe: UniverseConfig, feed: FeedConfig) -> str:
    """A table: one row a kind for what is built in, one a plug-in with its file and its sources' hash."""
    return table(HEADER, member_rows(universe, feed))


def member_rows(universe: UniverseConfig, feed: FeedConfig) -> list[tuple[str, str, str, str]]:
    """Kind, names, where from, hash of the sources of a plug-in; nothing is imported."""
    named = dict.fromkeys([*feed_members(feed), *universe_members(universe)])
    ours: dict[str, list[str]] = {}
    brought: list[tuple[str, str, str, str]] = []
    for kind, name in named:
        what = plugins.KINDS[kind].what
        try:
            reference = plugins.find(kind, name, universe.plugins)
        except NofxError as error:  # a file that is gone since the configuration was read
            brought.append((what, name, str(error), ""))
            continue
        if reference.origin == "built-in":
            ours.setdefault(what, []).append(name)
        else:
            where = f"{plugins.FOLDER}/{reference.module}.py" if reference.folder else reference.module
            brought.append((what, name, where, reference.digest()))
    return [*brought, *((what, ", ".join(names), "built in", "") for what, names in ours.items())]
