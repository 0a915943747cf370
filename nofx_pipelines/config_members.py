"""Which keys of a configuration name members of families (`nofx_pipelines.plugins`)."""

from __future__ import annotations

from collections.abc import Iterator

from nofx_pipelines.config import FeedConfig, UniverseConfig

MEMBER_KEYS: tuple[tuple[str, str, str], ...] = (
    ("features", "", "features"),
    ("families", "", "families"),
    ("labels", "labels", "kind"),
    ("samplers", "search", "sampler"),
    ("strategies", "nas", "strategy"),
    ("gates", "gates", "use"),
    ("detectors", "anomaly", "detectors"),
    ("algorithms", "marl", "algorithm"),
    ("tasks", "marl", "task"),
    ("roles", "marl", "roles"),
    ("rewards", "marl", "rewards"),
)
"""Of a universe: kind, section (empty: the universe's own), key."""


def universe_members(universe: UniverseConfig) -> Iterator[tuple[str, str]]:
    """Kind and name of every member that a universe names.

    >>> dict(universe_members(UniverseConfig(name="cn", market="cn", freq="1d")))["strategies"]
    'evolution'
    """
    for kind, section, key in MEMBER_KEYS:
        value = getattr(getattr(universe, section) if section else universe, key)
        yield from ((kind, name) for name in ([value] if isinstance(value, str) else value))


def feed_members(feed: FeedConfig) -> Iterator[tuple[str, str]]:
    """Kind and name of every member that a feed's chain of sources names."""
    for link in feed.sources:
        yield "sources", link.kind
        yield from (("formats", name) for name in link.formats)
