"""Every file under a path: recognised, surveyed, or named with the reason why not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from nofx_pipelines.errors import CorruptFile, DataError, UnrecognisedFile
from nofx_pipelines.market.sources import Decision
from nofx_pipelines.market.sources.files import rejects
from nofx_pipelines.market.sources.files.containers import Part, parts, read_through
from nofx_pipelines.market.sources.files.layout import Layout
from nofx_pipelines.market.sources.files.parse import Symbols
from nofx_pipelines.market.sources.files.raw import Head, read_head
from nofx_pipelines.market.sources.files.recognise import KNOWN, closest, recognise
from nofx_pipelines.market.sources.files.survey import Survey, survey
from nofx_pipelines.market.sources.files.symbols import from_file_name

SOURCE = "files"
_CACHE_ENTRIES = 10_000

_FileState = tuple[str, int, int]
_surveys: dict[tuple[_FileState, str, str | None, str | None], tuple[Survey, Symbols]] = {}
_digests: dict[_FileState, str] = {}


@dataclass(frozen=True)
class Found:
    """A part that can be used, with the symbols met in it."""

    survey: Survey
    symbols: Symbols


@dataclass
class Opened:
    """What lies under a path: bars, corporate actions, rejects, and why the rest was left out."""

    path: Path
    files: list[Path] = field(default_factory=list)
    bars: list[Found] = field(default_factory=list)
    actions: list[tuple[Part, Head, Layout]] = field(default_factory=list)
    rejected: list[pl.DataFrame] = field(default_factory=list)
    left_out: list[Decision] = field(default_factory=list)

    def rejects(self, now: datetime) -> pl.DataFrame:
        """All rejects, as seen at ``now``."""
        stamp = pl.lit(now).cast(rejects.SCHEMA["seen_at"]).alias("seen_at")
        return pl.concat([rejects.empty(), *self.rejected]).with_columns(stamp)


def files_under(path: Path) -> list[Path]:
    """The file itself, or the files of a folder by name, without hidden and half-copied (``*.part``) ones.

    Raises ``DataError`` when nothing is there.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(
            f"{path} does not exist", kept="nothing was read", hint="give a file or a folder that exists"
        )
    found = [
        each for each in sorted(path.rglob("*")) if each.is_file() and not _hidden(each.relative_to(path))
    ]
    if not found:
        raise DataError(
            f"{path} holds no files", kept="nothing was read", hint="put bars there, or give another path"
        )
    return found


def open_path(path: Path, *, market: str | None, freq: str | None, now: datetime) -> Opened:
    """Recognise and survey all that lies under ``path``.

    ``market`` and ``freq`` None: whatever there is. Raises ``UnrecognisedFile`` for a single file
    that no reader knows; in a folder such a file is named in ``left_out``.
    """
    opened = Opened(path, files_under(path))
    for file in opened.files:
        label = file.name if file == path else file.relative_to(path).as_posix()
        try:
            found = parts(file, label)
        except CorruptFile as error:
            _reject_file(opened, label, "corrupt_file", error.problem, now)
            continue
        for part in found:
            _take(opened, part, market=market, freq=freq, now=now)
    if opened.path.is_file() and not opened.bars and not opened.actions:
        _raise_unknown(opened)
    return opened


def digest(file: Path) -> str:
    """SHA-256 of a file's bytes, remembered while size and time of change stay."""
    state = _state(file)
    if state not in _digests:
        _make_room(_digests)
        with file.open("rb") as stream:
            _digests[state] = hashlib.file_digest(stream, "sha256").hexdigest()
    return _digests[state]


def _take(opened: Opened, part: Part, *, market: str | None, freq: str | None, now: datetime) -> None:
    if part.kind == "unsupported":
        opened.left_out.append(Decision(part.label, "format", "left out", part.note))
        return
    try:
        head = read_head(part)
        layout = recognise(head)
        if not head.rows and (head.columns is None or layout is not None):
            read_through(part)
            _reject_file(opened, part.label, "empty_file", "no rows", now)
        elif layout is None:
            opened.left_out.append(
                Decision(part.label, "format", "not recognised", f"columns: {head.seen()}")
            )
        elif layout.kind == "actions":
            opened.actions.append((part, head, layout))
        else:
            _take_bars(opened, part, head, layout, market=market, freq=freq, now=now)
    except CorruptFile as error:
        _reject_file(opened, part.label, "corrupt_file", error.problem, now)


def _take_bars(
    opened: Opened,
    part: Part,
    head: Head,
    layout: Layout,
    *,
    market: str | None,
    freq: str | None,
    now: datetime,
) -> None:
    found, symbols = _survey(part, head, layout, market=market, freq=freq, now=now)
    if "symbol" not in layout.columns and symbols.fallback is None:
        reason = "no symbol column, and no symbol in the file's name"
        _reject_file(opened, part.label, "no_symbol", reason, now)
        return
    foreign = found.rejected.filter(pl.col("rule") == "wrong_market")
    if found.rows == 0 and foreign.height and foreign.height == found.rejected.height:
        reason = f"all {foreign.height:,} rows are of another market than {market} ({foreign['value'][0]} …)"
        _reject_file(opened, part.label, "wrong_market", reason, now)
        return
    opened.rejected.append(found.rejected)
    for other, count in sorted(found.other_freqs.items()):
        evidence = f"{count:,} rows, {freq} was asked for"
        opened.left_out.append(Decision(part.label, "frequency", f"rows of {other} left out", evidence))
    if found.rows == 0:
        return
    if freq is not None and found.freq != freq:
        evidence = f"{found.rows:,} rows, {freq} was asked for"
        opened.left_out.append(Decision(part.label, "frequency", f"{found.freq} bars, left out", evidence))
        return
    opened.bars.append(Found(found, symbols))


def _survey(
    part: Part, head: Head, layout: Layout, *, market: str | None, freq: str | None, now: datetime
) -> tuple[Survey, Symbols]:
    key = (_state(part.path), part.label, market, freq)
    if key not in _surveys:
        _make_room(_surveys)
        named = None
        if "symbol" not in layout.columns:
            kind, exchange = layout.crypto_kind, layout.exchange
            named = from_file_name(part.label, market=market, exchange=exchange, kind=kind)
        symbols = Symbols(layout, market, named)
        _surveys[key] = (survey(part, head, layout, symbols, freq=freq, source=SOURCE, now=now), symbols)
    return _surveys[key]


def _reject_file(opened: Opened, label: str, rule: str, reason: str, now: datetime) -> None:
    opened.rejected.append(rejects.of_file(label, rule, reason, source=SOURCE, now=now))
    opened.left_out.append(Decision(label, "format", rule.replace("_", " "), reason))


def _raise_unknown(opened: Opened) -> None:
    unknown = [each for each in opened.left_out if each.value in ("not recognised", "left out")]
    if not unknown:
        return
    nearest = ""
    if unknown[0].value == "not recognised":
        part = parts(opened.path, opened.path.name)[0]
        nearest = closest(read_head(part))
    raise UnrecognisedFile(
        f"{opened.path.name}: no reader knows {unknown[0].evidence}" + (f"; {nearest}" if nearest else ""),
        kept="nothing was read",
        hint=f"give one of: {KNOWN}",
    )


def _hidden(path: Path) -> bool:
    return any(name.startswith(".") for name in path.parts) or path.suffix == ".part"


def _state(file: Path) -> _FileState:
    stat = file.stat()
    return str(file.resolve()), stat.st_size, stat.st_mtime_ns


def _make_room(cache: dict) -> None:  # type: ignore[type-arg]
    if len(cache) >= _CACHE_ENTRIES:
        cache.clear()


def all_surveys(opened: Opened) -> Iterator[Survey]:
    """The surveys of all usable parts."""
    return (found.survey for found in opened.bars)
