"""A part's rows as they stand: text cells with their line numbers, or columns as stored."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime

import polars as pl

from nofx_pipelines.errors import CorruptFile
from nofx_pipelines.market.sources.files.containers import MAX_COLUMNAR_BYTES, Part, blocks, head_bytes

LINE = "__line"
MAX_LINE_BYTES = 1 << 20
COLUMNAR_BLOCK_ROWS = 200_000
_SEPARATORS = (",", "\t", ";", "|")


@dataclass(frozen=True)
class Head:
    """The first rows of a part, enough to recognise its format.

    ``columns`` are the file's own names, ``None`` when it has no header; ``rows`` are cells as text.
    """

    label: str
    columns: tuple[str, ...] | None
    rows: tuple[tuple[str, ...], ...]
    separator: str = ","
    kind: str = "text"

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, made up by position where the file has none."""
        if self.columns is not None:
            return self.columns
        return tuple(f"column_{i}" for i in range(len(self.rows[0]) if self.rows else 0))

    def columns_text(self) -> str:
        """The columns as a person reads them in a message."""
        if self.columns is not None:
            return ", ".join(name[:40] for name in self.columns[:40])
        first = ", ".join(cell[:24] for cell in self.rows[0][:8]) if self.rows else "no rows"
        return f"no header, {len(self.names)} cells: {first}"


@dataclass(frozen=True)
class BadLine:
    """A line that is no row: its number, the rule it breaks and its text."""

    line: int
    rule: str
    reason: str
    text: str


@dataclass(frozen=True)
class RawBlock:
    """Rows with ``LINE`` (1-based) beside the file's columns, and the lines that are none."""

    frame: pl.DataFrame
    bad_lines: list[BadLine] = field(default_factory=list)


def read_head(part: Part) -> Head:
    """The first rows of a part.

    Raises ``CorruptFile`` when nothing of it can be read.
    """
    if part.kind in ("parquet", "ipc"):
        return _columnar_head(part)
    text = head_bytes(part).decode("utf-8", errors="replace").removeprefix("\ufeff")
    lines = [line for line in text.splitlines()[:400] if line.strip()]
    if not lines:
        return Head(part.label, None, ())
    separator = max(_SEPARATORS, key=lambda each: lines[0].count(each))
    cells = [tuple(cell.strip() for cell in _cells(line, separator)) for line in lines[:200]]
    if any(_is_number(cell) for cell in cells[0]):
        return Head(part.label, None, tuple(cells), separator)
    return Head(part.label, _unique(cells[0]), tuple(cells[1:]), separator)


def read_blocks(part: Part, head: Head) -> Iterator[RawBlock]:
    """All rows of a part, in blocks of bounded size; every non-blank line is a row or a bad line.

    Raises ``CorruptFile`` when the container or the columnar file breaks.
    """
    if part.kind in ("parquet", "ipc"):
        yield from _columnar_blocks(part)
    else:
        yield from _text_blocks(part, head)


def _text_blocks(part: Part, head: Head) -> Iterator[RawBlock]:
    skip_header = head.columns is not None
    next_line = 1
    for data in _whole_lines(part):
        lines, bad = _decode(data, next_line)
        next_line += data.count(b"\n") + (not data.endswith(b"\n"))
        frame = lines.filter(pl.col("text").str.strip_chars() != "")
        if skip_header and frame.height:
            frame, skip_header = frame.slice(1), False
        yield _split(frame, bad, head)


def _whole_lines(part: Part) -> Iterator[bytes]:
    carry, first = b"", True
    for block in blocks(part):
        data = carry + block
        if first:
            data, first = data.removeprefix(b"\xef\xbb\xbf"), False
        cut = data.rfind(b"\n") + 1
        carry = data[cut:]
        if len(carry) > MAX_LINE_BYTES:
            raise CorruptFile(
                f"{part.label} has a line of more than {MAX_LINE_BYTES:,} bytes",
                kept="no row of it was used",
                hint="check that it is a table of text",
            )
        if cut:
            yield data[:cut]
    if carry:
        yield carry


def _decode(data: bytes, first_line: int) -> tuple[pl.DataFrame, list[BadLine]]:
    try:
        texts: list[str | None] = list(data.decode("utf-8").split("\n"))
        bad: list[BadLine] = []
    except UnicodeDecodeError:
        texts, bad = _decode_lines(data.split(b"\n"), first_line)
    if data.endswith(b"\n"):
        texts.pop()
    numbers = pl.int_range(first_line, first_line + len(texts), eager=True, dtype=pl.Int64)
    frame = pl.DataFrame({LINE: numbers, "text": pl.Series(texts, dtype=pl.String)})
    return frame.drop_nulls("text"), bad


def _decode_lines(lines: list[bytes], first_line: int) -> tuple[list[str | None], list[BadLine]]:
    texts: list[str | None] = []
    bad = []
    for number, line in enumerate(lines, first_line):
        try:
            texts.append(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            texts.append(None)
            reason = f"byte {line[error.start]:#04x} at {error.start} is not UTF-8"
            bad.append(BadLine(number, "not_utf8", reason, line.decode("utf-8", errors="replace")))
    return texts, bad


def _split(frame: pl.DataFrame, bad: list[BadLine], head: Head) -> RawBlock:
    names = head.names
    quoted = frame.filter(pl.col("text").str.contains('"', literal=True))
    plain = frame.filter(~pl.col("text").str.contains('"', literal=True))
    cells = plain.with_columns(pl.col("text").str.split(head.separator).alias("cells"))
    if quoted.height:
        split = [_cells(text, head.separator) for text in quoted["text"]]
        cells = pl.concat([cells, quoted.with_columns(pl.Series("cells", split, dtype=pl.List(pl.String)))])
    fits = pl.col("cells").list.len() == len(names)
    for line, text, width in cells.filter(~fits).select(LINE, "text", pl.col("cells").list.len()).iter_rows():
        reason = f"{width} cells where the header has {len(names)}"
        bad.append(BadLine(line, "ragged_row", reason, text.rstrip("\r")))
    columns = [pl.col("cells").list.get(i).str.strip_chars().alias(name) for i, name in enumerate(names)]
    return RawBlock(cells.filter(fits).select(LINE, *columns).sort(LINE), bad)


def _columnar_head(part: Part) -> Head:
    block = next(_columnar_blocks(part, rows=200))
    frame = block.frame.drop(LINE)
    text = [["" if cell is None else str(cell) for cell in row] for row in printable(frame).iter_rows()]
    return Head(part.label, tuple(frame.columns), tuple(tuple(row) for row in text), kind=part.kind)


def _columnar_blocks(part: Part, rows: int = COLUMNAR_BLOCK_ROWS) -> Iterator[RawBlock]:
    """Columns that hold one value a cell; nested ones are left out."""
    try:
        lazy = _scan(part)
        flat = [
            name for name, dtype in lazy.collect_schema().items() if not dtype.is_nested() and name != LINE
        ]
        height = lazy.select(pl.len()).collect().item()
        for offset in range(0, max(height, 1), rows):
            frame = lazy.select(flat).slice(offset, rows).collect()
            line = pl.int_range(offset + 1, offset + 1 + frame.height, eager=True, dtype=pl.Int64)
            yield RawBlock(_plain_types(frame).insert_column(0, line.alias(LINE)))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise CorruptFile(
            f"{part.label} cannot be read as {part.kind}: {str(error)[:200]}",
            kept="no row of it was used",
            hint="write the file again, or take it out of the folder",
        ) from error


def _scan(part: Part) -> pl.LazyFrame:
    scan = pl.scan_parquet if part.kind == "parquet" else pl.scan_ipc
    if part.member is None and not part.gzipped:
        return scan(part.path)
    return scan(io.BytesIO(b"".join(blocks(part, limit=MAX_COLUMNAR_BYTES))))


def printable(frame: pl.DataFrame) -> pl.DataFrame:
    """Dates and times as text; those that Python cannot hold as their stored number."""
    earliest, latest = datetime(1, 1, 1), datetime(9999, 12, 31)
    shown = []
    for name, dtype in frame.schema.items():
        if isinstance(dtype, pl.Datetime):
            column = pl.col(name).dt.replace_time_zone(None)
            fits = column.is_between(earliest, latest)
            text = pl.when(fits).then(column).dt.to_string("iso")
            shown.append(pl.coalesce(text, pl.col(name).to_physical().cast(pl.String)).alias(name))
        elif dtype.is_temporal():
            shown.append(pl.col(name).to_physical().cast(pl.String) if dtype != pl.Date else _date(name))
    return frame.with_columns(shown)


def _date(name: str) -> pl.Expr:
    fits = pl.col(name).is_between(date(1, 1, 1), date(9999, 12, 31))
    text = pl.when(fits).then(pl.col(name)).dt.to_string("iso")
    return pl.coalesce(text, pl.col(name).to_physical().cast(pl.String)).alias(name)


def _plain_types(frame: pl.DataFrame) -> pl.DataFrame:
    text = [name for name, dtype in frame.schema.items() if dtype in (pl.Categorical, pl.Enum, pl.Binary)]
    return frame.with_columns(pl.col(text).cast(pl.String, strict=False)) if text else frame


def _cells(line: str, separator: str) -> list[str]:
    line = line.rstrip("\r\n")
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return line.split(separator)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell.lower() not in ("nan", "inf", "infinity")


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    seen: set[str] = set()
    unique = []
    for position, name in enumerate(names):
        fresh = name or f"column_{position}"
        while fresh in seen or fresh == LINE:
            fresh = f"{fresh}_{position}"
        seen.add(fresh)
        unique.append(fresh)
    return tuple(unique)
