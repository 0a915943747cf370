"""What lies in a file: plain, gzip or zip, text or columnar; nothing is ever extracted to disk."""

from __future__ import annotations

import contextlib
import gzip
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

from nofx_pipelines.errors import CorruptFile

MAX_DECOMPRESSED_BYTES = 16 << 30
"""A text that decompresses to more than this is refused (a bomb, or a file to be split)."""
MAX_COLUMNAR_BYTES = 2 << 30
"""A Parquet or feather file inside gzip or zip is held in memory, so its limit is lower."""
MAX_MEMBERS = 100_000

BLOCK_BYTES = 8 << 20

DECOMPRESSION_ERRORS = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    struct.error,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)
"""What gzip and zipfile raise on bytes that are not what they claim to be."""

PartKind = Literal["text", "parquet", "ipc", "empty", "unsupported"]

_UNSUPPORTED = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"FEA1": "feather version 1",
    b"\x89HDF\r\n\x1a\n": "HDF5",
    b"\xd0\xcf\x11\xe0": "Excel",
}


@dataclass(frozen=True)
class Part:
    """One readable table: a file, or one member of a zip.

    ``label`` names it in messages and in ``raw_ref``; ``kind`` is what its first bytes say.
    """

    path: Path
    label: str
    kind: PartKind
    note: str = ""
    gzipped: bool = False
    member: str | None = None

    @contextlib.contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """The decompressed bytes; what a broken container raises becomes ``CorruptFile``."""
        with contextlib.ExitStack() as stack, reading(self.label):
            if self.member is None:
                stream: IO[bytes] = stack.enter_context(self.path.open("rb"))
            else:
                archive = stack.enter_context(zipfile.ZipFile(self.path))
                stream = stack.enter_context(archive.open(self.member))
            if self.gzipped:
                stream = cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=stream)))
            yield stream


@contextlib.contextmanager
def reading(label: str) -> Iterator[None]:
    """Turns what decompression raises into ``CorruptFile`` with the file's name."""
    try:
        yield
    except DECOMPRESSION_ERRORS as error:
        raise CorruptFile(
            f"{label} cannot be read: {_why(error)}",
            kept="no row of it was used",
            hint="fetch the file again, or take it out of the folder",
        ) from error


def parts(path: Path, label: str) -> list[Part]:
    """The tables of one file, by its first bytes.

    Raises ``CorruptFile`` for an archive whose directory cannot be read.
    """
    with reading(label), path.open("rb") as stream:
        head = stream.read(8)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_parts(path, label)
    return [_part(path, label, None, head)]


def blocks(part: Part, *, limit: int | None = None) -> Iterator[bytes]:
    """The decompressed bytes in blocks.

    Raises ``CorruptFile`` past ``MAX_DECOMPRESSED_BYTES``, or when the container is broken.
    """
    cap = MAX_DECOMPRESSED_BYTES if limit is None else limit
    total = 0
    with part.open() as stream:
        while block := stream.read(BLOCK_BYTES):
            total += len(block)
            if total > cap:
                raise CorruptFile(
                    f"{part.label} decompresses to more than {cap:,} bytes",
                    kept="no row of it was used",
                    hint="split it, or raise the limit if it is no bomb",
                )
            yield block


def read_through(part: Part) -> None:
    """Raises ``CorruptFile`` when the part cannot be read to its end."""
    for _ in blocks(part):
        pass


def head_bytes(part: Part, size: int = 1 << 18) -> bytes:
    """The first decompressed bytes; a truncated container gives what can be had."""
    read = bytearray()
    with part.open() as stream, contextlib.suppress(*DECOMPRESSION_ERRORS):
        while len(read) < size and (block := stream.read(1 << 12)):
            read += block
    return bytes(read)


def _zip_parts(path: Path, label: str) -> list[Part]:
    with reading(label), zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not _ignored(member)]
    if len(members) > MAX_MEMBERS:
        raise CorruptFile(
            f"{label} holds {len(members):,} files, more than {MAX_MEMBERS:,}",
            kept="no row of it was used",
            hint="split the archive",
        )
    inner_parts = []
    for member in sorted(members, key=lambda each: each.filename):
        name = f"{label}!{member.filename}"
        try:
            with reading(name), zipfile.ZipFile(path) as archive, archive.open(member) as stream:
                head = stream.read(8)
        except CorruptFile:
            head = b"?"  # reading it raises again, where it costs this member only
        inner_parts.append(_part(path, name, member.filename, head))
    return inner_parts


def _ignored(member: zipfile.ZipInfo) -> bool:
    return member.is_dir() or "__MACOSX" in member.filename


def _part(path: Path, label: str, member: str | None, head: bytes) -> Part:
    gzipped = head.startswith(b"\x1f\x8b")
    if gzipped:
        head = _gzip_head(Part(path, label, "text", gzipped=True, member=member))
    kind, note = _kind(head)
    return Part(path, label, kind, note, gzipped, member)


def _gzip_head(part: Part) -> bytes:
    """The first bytes inside, or a stand-in: what is broken raises when it is read as a whole."""
    try:
        return head_bytes(part, 8) or b"?"
    except CorruptFile:
        return b"?"


def _kind(head: bytes) -> tuple[PartKind, str]:
    if not head:
        return "empty", "no bytes"
    if head.startswith(b"PAR1"):
        return "parquet", ""
    if head.startswith(b"ARROW1"):
        return "ipc", ""
    if head.startswith(b"PK\x03\x04"):
        return "unsupported", "an archive inside an archive"
    for magic, name in _UNSUPPORTED.items():
        if head.startswith(magic):
            return "unsupported", f"{name}; known are plain, gzip and zip"
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "unsupported", "UTF-16 text; known is UTF-8"
    return "text", ""


def _why(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
