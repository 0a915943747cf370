"""Reading and writing ``nofx.toml``: every refusal names file, line, value, rule and an example."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nofx_pipelines import plugins
from nofx_pipelines.config import (
    FREQS,
    MARKETS,
    Config,
    FeedConfig,
    SourceConfig,
    UniverseConfig,
)
from nofx_pipelines.config_members import MEMBER_KEYS
from nofx_pipelines.errors import AbsentPlugin, ConfigError

FILE_NAME = "nofx.toml"
DEFAULT_START, DEFAULT_END = date(2023, 1, 1), date(2026, 1, 1)
_TOP = ("markets", "universes")


def default_config(home: Path) -> Config:
    """Three simulated universes, daily: what ``nofx init`` writes without arguments.

    >>> sorted(default_config(Path(".")).universes)
    ['cn', 'crypto', 'hk']
    """
    folder = home / plugins.FOLDER
    source = SourceConfig(kind="simulated", plugins=folder)
    feeds = {
        (m, "1d"): FeedConfig(market=m, freq="1d", sources=(source,), start=DEFAULT_START, end=DEFAULT_END)  # type: ignore[arg-type]
        for m in MARKETS
    }
    universes = {m: UniverseConfig(name=m, market=m, freq="1d", plugins=folder) for m in MARKETS}  # type: ignore[arg-type]
    return Config(home=home, feeds=feeds, universes=universes)


def load_config(home: Path) -> Config:
    """The configuration under ``home``; the default one where no file was written yet.

    Raises:
        ConfigError: with the file, the line, the value, the rule and an example.
    """
    config, refused = load_usable(home)
    if refused:
        raise next(iter(refused.values()))
    return config


def load_usable(home: Path) -> tuple[Config, dict[str, AbsentPlugin]]:
    """The configuration without what names a plug-in that is not there, and by name why each is left out.

    A feed that names one takes its universes with it. Whatever else is wrong raises ConfigError, as in
    `load_config`.
    """
    path = home / FILE_NAME
    if not path.exists():
        return default_config(home), {}
    return parse_usable(path.read_text(encoding="utf-8"), home, path)


def parse_config(text: str, *, home: Path, file: Path | str = FILE_NAME) -> Config:
    """Parse and validate the text of a ``nofx.toml``."""
    config, refused = parse_usable(text, home, file)
    if refused:
        raise next(iter(refused.values()))
    return config


def parse_usable(text: str, home: Path, file: Path | str) -> tuple[Config, dict[str, AbsentPlugin]]:
    """Parse and validate the text of a ``nofx.toml``; what names an absent plug-in is left out, with why."""
    source = _Source(text, str(file))
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        raise ConfigError(
            f"{file}:{line.group(1) if line else '?'}: not valid TOML: {error}",
            kept="nothing was run",
            hint=f"mend {file}",
        ) from error
    for key in document:
        if key not in _TOP:
            raise source.refuse((key,), key, f"a section is one of {', '.join(_TOP)}", "[universes.cn]")
    folder = home / plugins.FOLDER
    refused: dict[str, AbsentPlugin] = {}
    feeds = dict(_feeds(document.get("markets", {}), source, folder, refused))
    universes = dict(_universes(document.get("universes", {}), feeds, source, folder, refused))
    return Config(home=home, feeds=feeds, universes=universes), refused


def _feeds(
    section: Any, source: _Source, folder: Path, refused: dict[str, AbsentPlugin]
) -> list[tuple[tuple[str, str], FeedConfig]]:
    found = []
    for market, by_freq in source.tables(section, ("markets",)):
        if market not in MARKETS:
            raise source.refuse(
                ("markets", market), market, f"a market is one of {', '.join(MARKETS)}", "[markets.cn.1d]"
            )
        for freq, body in source.tables(by_freq, ("markets", market)):
            path = ("markets", market, freq)
            if freq not in FREQS:
                raise source.refuse(
                    path, freq, f"a frequency is one of {', '.join(FREQS)}", f"[markets.{market}.1d]"
                )
            feed = source.build(FeedConfig, {"market": market, "freq": freq, **body}, path)
            if feed.end is not None and feed.end <= feed.start:
                raise source.refuse(
                    (*path, "end"), feed.end, f"the end comes after the start {feed.start}", "2026-01-01"
                )
            try:
                _check_sources(feed, path, source, folder)
            except AbsentPlugin as error:
                refused[f"{market} {freq}"] = error
                continue
            links = tuple(replace(link, plugins=folder) for link in feed.sources)
            found.append(((market, freq), replace(feed, sources=links)))
    return found


def _check_sources(feed: FeedConfig, path: tuple[str, ...], source: _Source, folder: Path) -> None:
    for link in feed.sources:
        _known(source, (*path, "sources"), "sources", [link.kind], folder)
        _known(source, (*path, "sources"), "formats", link.formats, folder)
        if link.formats and link.kind != "files":
            raise source.refuse(
                (*path, "sources"), link.kind, "formats are read by a files source only", 'kind = "files"'
            )
    kinds = {link.kind for link in feed.sources}
    if "simulated" in kinds and len(kinds) > 1:
        raise source.refuse(
            (*path, "sources"), sorted(kinds), "simulated and real bars do not share a feed", 'kind = "files"'
        )
    for link in feed.sources:
        if link.kind == "files" and link.path is None:
            raise source.refuse(
                (*path, "sources"),
                "files",
                "a files source names a path",
                '{ kind = "files", path = "bars/" }',
            )
        if link.kind == "simulated" and feed.end is None:
            raise source.refuse((*path, "end"), None, "a simulated feed has an end", "end = 2026-01-01")


def _universes(
    section: Any,
    feeds: Mapping[tuple[str, str], FeedConfig],
    source: _Source,
    folder: Path,
    refused: dict[str, AbsentPlugin],
) -> list[tuple[str, UniverseConfig]]:
    found = []
    for name, body in source.tables(section, ("universes",)):
        path = ("universes", name)
        universe = source.build(UniverseConfig, {"name": name, **body}, path)
        if (feed_error := refused.get(f"{universe.market} {universe.freq}")) is not None:
            refused[name] = feed_error
            continue
        if (universe.market, universe.freq) not in feeds:
            raise source.refuse(
                (*path, "freq"),
                f"{universe.market} {universe.freq}",
                f"its market and frequency have a section [markets.{universe.market}.{universe.freq}]",
                f"[markets.{universe.market}.{universe.freq}]",
            )
        if name in MARKETS and name != universe.market:
            raise source.refuse(
                (*path, "market"),
                universe.market,
                "a market's name is only used by a universe of that market",
                f'market = "{name}"',
            )
        try:
            found.append((name, replace(_with_members(universe, path, source, folder), plugins=folder)))
        except AbsentPlugin as error:
            refused[name] = error
    return found


_ALWAYS = {"families": "ridge", "gates": "leak_check"}
"""What a universe cannot do without."""


def _with_members(
    universe: UniverseConfig, path: tuple[str, ...], source: _Source, folder: Path
) -> UniverseConfig:
    """The universe with its members' names checked, and aliases resolved."""
    for kind, section, key in MEMBER_KEYS:
        owner = getattr(universe, section) if section else universe
        value = getattr(owner, key)
        where = (*path, *filter(None, [section]), key)
        names = _known(source, where, kind, [value] if isinstance(value, str) else value, folder)
        always = _ALWAYS.get(kind)
        if always is not None and always not in names:
            example = f"{key} = {_toml([always, *names])}"
            raise source.refuse(where, value, f"{always} is always among them", example)
        changed: dict[str, Any] = {key: names[0] if isinstance(value, str) else names}
        if section:
            changed = {section: replace(owner, **changed)}
        universe = replace(universe, **changed)
    return universe


def _known(
    source: _Source, path: tuple[str, ...], kind: str, names: Sequence[str], folder: Path
) -> tuple[str, ...]:
    """The names with aliases resolved; ConfigError for an unknown one, and for one that stands twice."""
    resolved: list[str] = []
    for name in names:
        try:
            member = plugins.find(kind, name, folder).name
        except ConfigError as error:
            problem, hint = source.message(path, name, error.problem), error.hint
            if isinstance(error, AbsentPlugin):
                kept = "what does not name it goes on"
                raise AbsentPlugin(problem, kept=kept, hint=f"put the file back, or {hint}") from error
            raise ConfigError(problem, kept="nothing was run", hint=hint) from error
        if member in resolved:
            raise source.refuse(
                path, list(names), f"{name} stands there twice", f"{path[-1]} = {_toml([name])}"
            )
        resolved.append(member)
    return tuple(resolved)


class _Source:
    """The file's text: where a key stands, and how a wrong value is refused."""

    def __init__(self, text: str, file: str) -> None:
        self.lines = text.splitlines()
        self.file = file

    def tables(self, section: Any, path: tuple[str, ...]) -> list[tuple[str, dict[str, Any]]]:
        if not isinstance(section, dict):
            raise self.refuse(path, section, "a section, not a value", f"[{'.'.join(path)}.NAME]")
        for key, body in section.items():
            if not isinstance(body, dict):
                raise self.refuse((*path, key), body, "a section, not a value", f"[{'.'.join((*path, key))}]")
        return list(section.items())

    def build(self, cls: type[Any], body: dict[str, Any], path: tuple[str, ...]) -> Any:
        if "plugins" in body:
            rule = f"a key is one of {', '.join(_keys(cls, []))}"
            raise self.refuse(
                (*path, "plugins"), body["plugins"], rule, "a file in the home's folder plugins"
            )
        try:
            return TypeAdapter(cls).validate_python(body)
        except ValidationError as error:
            first = error.errors()[0]
            keys = [str(part) for part in first["loc"]]
            rule = {"unexpected_keyword_argument": f"a key is one of {', '.join(_keys(cls, keys[:-1]))}"}.get(
                first["type"], first["msg"]
            )
            raise self.refuse((*path, *keys), first.get("input"), rule, _example(cls, keys)) from error

    def refuse(self, path: Sequence[str], value: Any, rule: str, example: str) -> ConfigError:
        return ConfigError(
            self.message(path, value, rule), kept="nothing was run", hint=f"write, for example, {example}"
        )

    def message(self, path: Sequence[str], value: Any, rule: str) -> str:
        """The file, the line, the key, its value and the rule that it breaks."""
        return f"{self.file}:{self.line(path)}: {'.'.join(path)} = {value!r}: {rule}"

    def line(self, path: Sequence[str]) -> int:
        """The line of the deepest part of ``path`` that stands in the file (1-based)."""
        best, depth, section = 1, 0, tuple[str, ...]()
        for number, text in enumerate(self.lines, 1):
            header = re.match(r"\s*\[+([^\]]+)\]", text)
            key = re.match(r"\s*([\w.\"'-]+)\s*=", text)
            if header:
                parts = re.findall(r"\"[^\"]*\"|'[^']*'|[^.\s]+", header.group(1))
                section = tuple(part.strip("\"'") for part in parts)
                here = section
            elif key:
                here = (*section, *(part.strip("\"'") for part in key.group(1).split(".")))
            else:
                continue
            shared = min(len(here), len(path))
            if shared > depth and tuple(path[:shared]) == here[:shared]:
                best, depth = number, shared
        return best


def _keys(cls: Any, inner: Sequence[str]) -> list[str]:
    for name in inner:
        known = fields(cls) if is_dataclass(cls) else ()
        cls = next((_dataclass_of(f.type) for f in known if f.name == name), None)
    return [f.name for f in fields(cls) if f.name not in ("name", "plugins")] if is_dataclass(cls) else []


def _dataclass_of(annotation: Any) -> Any:
    import nofx_pipelines.config as types

    return getattr(types, str(annotation), None)


def _example(cls: Any, keys: Sequence[str]) -> str:
    schema = TypeAdapter(cls).json_schema()
    node: dict[str, Any] = schema
    for key in keys:
        node = node.get("properties", {}).get(key, node)
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    value = (node.get("examples") or node.get("enum") or [node.get("default")])[0]
    name = next((key for key in reversed(keys) if not key.isdigit()), "")
    return f"{name} = {_toml(value)}" if value is not None else "the file that `nofx init` writes"


def render_config(config: Config) -> str:
    """The text of a ``nofx.toml`` that `parse_config` reads back to the same configuration."""
    blocks = ["# Written by `nofx init`; every value is validated on load (docs/configuration.md)."]
    blocks += [render_feed(feed) for feed in config.feeds.values()]
    blocks += [render_universe(universe) for universe in config.universes.values()]
    return "\n\n".join(blocks) + "\n"


def render_feed(feed: FeedConfig) -> str:
    """One ``[markets.M.FREQ]`` section."""
    lines = [f"[markets.{feed.market}.{feed.freq}]", f"start = {feed.start}"]
    if feed.end is not None:
        lines.append(f"end = {feed.end}")
    lines.append("sources = [")
    lines += [f"  {_inline(link)}," for link in feed.sources]
    return "\n".join([*lines, "]"])


def render_universe(universe: UniverseConfig) -> str:
    """One ``[universes.NAME]`` section with its sub-sections."""
    lines = [f"[universes.{universe.name}]"]
    nested = []
    for f in fields(universe):
        value = getattr(universe, f.name)
        if is_dataclass(value):
            nested.append((f.name, value))
        elif f.name not in ("name", "plugins"):
            lines.append(f"{f.name} = {_toml(value)}")
    for name, value in nested:
        lines += ["", f"[universes.{universe.name}.{name}]"]
        given = [f.name for f in fields(value) if getattr(value, f.name) is not None]
        lines += [f"{inner} = {_toml(getattr(value, inner))}" for inner in given]
    return "\n".join(lines)


def _inline(link: SourceConfig) -> str:
    own = {"files": ["path"], "simulated": ["instruments", "seed", "signal", "anomalies"]}
    plain = SourceConfig(link.kind)
    # a plug-in may read any of them: what was set stays
    changed = [f.name for f in fields(link) if getattr(link, f.name) != getattr(plain, f.name)]
    rest = [name for name in changed if name not in ("formats", "options", "plugins")]
    names = ("kind", *own.get(link.kind, rest))
    parts = [f"{name} = {_toml(getattr(link, name))}" for name in names]
    parts += [f"formats = {_toml(link.formats)}"] if link.formats else []
    options = ", ".join(f"{name} = {_toml(value)}" for name, value in link.options)
    parts += [f"options = {{ {options} }}"] if options else []
    return "{ " + ", ".join(parts) + " }"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, (str, Path)):
        # JSON's escapes are TOML's, but for DEL, which TOML wants escaped
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)


def with_seed(config: Config, seed: int) -> Config:
    """The same configuration with every seed (sources, searches, gates) set to ``seed``.

    Agents that train with several seeds count on from it.
    """
    feeds = {
        key: replace(feed, sources=tuple(replace(link, seed=seed) for link in feed.sources))
        for key, feed in config.feeds.items()
    }
    universes = {
        name: replace(
            u,
            search=replace(u.search, seed=seed),
            nas=replace(u.nas, seed=seed),
            gates=replace(u.gates, seed=seed),
            anomaly=replace(u.anomaly, seed=seed),
            marl=replace(u.marl, seeds=tuple(seed + place for place in range(len(u.marl.seeds)))),
        )
        for name, u in config.universes.items()
    }
    return Config(home=config.home, feeds=feeds, universes=universes)
