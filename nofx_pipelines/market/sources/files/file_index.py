"""Every file under a path: recognised, surveyed, or named with the reason why not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from nofx_pipelines.errors import CorruptFile, DataError, PluginError, UnrecognisedFile
from nofx_pipelines.market.sources import Decision
from nofx_pipelines.market.sources.files import rejects
from nofx_pipelines.market.sources.files.containers import Part, parts, read_through
from nofx_pipelines.market.sources.files.formats import Format, load_formats
from nofx_pipelines.market.sources.files.layout import Layout
from nofx_pipelines.market.sources.files.parse import Symbols
from nofx_pipelines.market.sources.files.raw import Head, read_head
from nofx_pipelines.market.sources.files.recognise import closest, known_formats, recognise
from nofx_pipelines.market.sources.files.survey import Survey, survey
from nofx_pipelines.market.sources.files.symbols import from_file_name

NAME = "files"
_CACHE_ENTRIES = 10_000

_FileState = tuple[str, int, int]
_surveys: dict[tuple[_FileState, str, str, str | None, str | None], tuple[Survey, Symbols]] = {}
"""Of a part as it stands, read by a layout: a format that changes its mind has the part surveyed again."""
_digests: dict[_FileState, str] = {}


@dataclass(frozen=True)
class IndexedPart:
    """A part that can be used, with the symbols met in it."""

    survey: Survey
    symbols: Symbols


@dataclass
class FileIndex:
    """What lies under a path: bars, corporate actions, rejects, and why the rest was left out."""

    path: Path
    formats: Sequence[Format]
    files: list[Path] = field(default_factory=list)
    bars: list[IndexedPart] = field(default_factory=list)
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
    files = [
        each for each in sorted(path.rglob("*")) if each.is_file() and not _hidden(each.relative_to(path))
    ]
    if not files:
        raise DataError(
            f"{path} holds no files", kept="nothing was read", hint="put bars there, or give another path"
        )
    return files


def open_path(
    path: Path,
    *,
    market: str | None,
    freq: str | None,
    now: datetime,
    formats: Sequence[Format] | None = None,
) -> FileIndex:
    """Recognise and survey all that lies under ``path``.

    Parameters
    ----------
    path:
        A file or a folder.
    market, freq:
        What is asked for; None: whatever there is.
    now:
        When rejects are seen.
    formats:
        Asked in this order; the built-in ones when absent.

    Raises
    ------
    UnrecognisedFile
        For a single file that no format knows; in a folder such a file is named in ``left_out``.
    DataError
        When nothing is there.
    """
    index = FileIndex(path, load_formats() if formats is None else formats, files_under(path))
    for file in index.files:
        label = file.name if file == path else file.relative_to(path).as_posix()
        try:
            file_parts = parts(file, label)
        except CorruptFile as error:
            _reject_file(index, label, "corrupt_file", error.problem, now)
            continue
        for part in file_parts:
            _take(index, part, market=market, freq=freq, now=now)
    if index.path.is_file() and not index.bars and not index.actions:
        _raise_unknown(index)
    return index


def digest(file: Path) -> str:
    """SHA-256 of a file's bytes, remembered while size and time of change stay."""
    state = _state(file)
    if state not in _digests:
        _make_room(_digests)
        with file.open("rb") as stream:
            _digests[state] = hashlib.file_digest(stream, "sha256").hexdigest()
    return _digests[state]


def _take(index: FileIndex, part: Part, *, market: str | None, freq: str | None, now: datetime) -> None:
    if part.kind == "unsupported":
        index.left_out.append(Decision(part.label, "format", "left out", part.note))
        return
    try:
        head = read_head(part)
        layout = recognise(head, index.formats)
        if not head.rows and (head.columns is None or layout is not None):
            read_through(part)
            _reject_file(index, part.label, "empty_file", "no rows", now)
        elif layout is None:
            index.left_out.append(
                Decision(part.label, "format", "not recognised", f"columns: {head.columns_text()}")
            )
        elif layout.kind == "actions":
            index.actions.append((part, head, layout))
        else:
            _take_bars(index, part, head, layout, market=market, freq=freq, now=now)
    except PluginError as error:
        _reject_file(index, part.label, "plugin_error", error.problem, now)
    except CorruptFile as error:
        _reject_file(index, part.label, "corrupt_file", error.problem, now)


def _take_bars(
    index: FileIndex,
    part: Part,
    head: Head,
    layout: Layout,
    *,
    market: str | None,
    freq: str | None,
    now: datetime,
) -> None:
    surveyed, symbols = _survey(part, head, layout, market=market, freq=freq, now=now)
    if "symbol" not in layout.columns and symbols.fallback is None:
        reason = "no symbol column, and no symbol in the file's name"
        _reject_file(index, part.label, "no_symbol", reason, now)
        return
    foreign = surveyed.rejected.filter(pl.col("rule") == "wrong_market")
    if surveyed.rows == 0 and foreign.height and foreign.height == surveyed.rejected.height:
        reason = f"all {foreign.height:,} rows are of another market than {market} ({foreign['value'][0]} …)"
        _reject_file(index, part.label, "wrong_market", reason, now)
        return
    index.rejected.append(surveyed.rejected)
    for other, count in sorted(surveyed.other_freqs.items()):
        evidence = f"{count:,} rows, {freq} was asked for"
        index.left_out.append(Decision(part.label, "frequency", f"rows of {other} left out", evidence))
    if surveyed.rows == 0:
        return
    if freq is not None and surveyed.freq != freq:
        evidence = f"{surveyed.rows:,} rows, {freq} was asked for"
        index.left_out.append(Decision(part.label, "frequency", f"{surveyed.freq} bars, left out", evidence))
        return
    index.bars.append(IndexedPart(surveyed, symbols))


def _survey(
    part: Part, head: Head, layout: Layout, *, market: str | None, freq: str | None, now: datetime
) -> tuple[Survey, Symbols]:
    key = (_state(part.path), part.label, repr(layout), market, freq)
    if key not in _surveys:
        _make_room(_surveys)
        fallback = None
        if "symbol" not in layout.columns:
            kind, exchange = layout.crypto_kind, layout.exchange
            fallback = from_file_name(part.label, market=market, exchange=exchange, kind=kind)
        symbols = Symbols(layout, market, fallback)
        _surveys[key] = (survey(part, head, layout, symbols, freq=freq, source=NAME, now=now), symbols)
    return _surveys[key]


def _reject_file(index: FileIndex, label: str, rule: str, reason: str, now: datetime) -> None:
    index.rejected.append(rejects.of_file(label, rule, reason, source=NAME, now=now))
    index.left_out.append(Decision(label, "format", rule.replace("_", " "), reason))


def _raise_unknown(index: FileIndex) -> None:
    unknown = [each for each in index.left_out if each.value in ("not recognised", "left out")]
    if not unknown:
        return
    nearest = ""
    if unknown[0].value == "not recognised":
        part = parts(index.path, index.path.name)[0]
        nearest = closest(read_head(part), index.formats)
    raise UnrecognisedFile(
        f"{index.path.name}: no reader knows {unknown[0].evidence}" + (f"; {nearest}" if nearest else ""),
        kept="nothing was read",
        hint=f"give one of: {known_formats(index.formats)}",
    )


def _hidden(path: Path) -> bool:
    return any(name.startswith(".") for name in path.parts) or path.suffix == ".part"


def _state(file: Path) -> _FileState:
    stat = file.stat()
    return str(file.resolve()), stat.st_size, stat.st_mtime_ns


def _make_room(cache: dict) -> None:  # type: ignore[type-arg]
    if len(cache) >= _CACHE_ENTRIES:
        cache.clear()
