"""Formats of files: which column is what. One format is one file here that assigns ``FORMAT``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from nofx_pipelines.market.sources.files.layout import Layout
from nofx_pipelines.market.sources.files.layout_checks import layout_problem
from nofx_pipelines.market.sources.files.raw import Head
from nofx_pipelines.plugins import Reference, builtin_names, find

KIND = "formats"
_NAME_CHARS = 40


class Format(Protocol):
    """Knows the files of one program by their columns, and says which column is what."""

    @property
    def name(self) -> str:
        """What decisions and messages call it; at most 40 characters."""

    @property
    def title(self) -> str:
        """What it reads, for the sentence that lists the known formats: ``Futu candles``."""

    @property
    def columns(self) -> Sequence[str]:
        """The columns that a file of it has in any case; empty where no one set of names decides."""

    @property
    def rank(self) -> int:
        """The lowest is asked first: the particular before the general. The built-in ones are at 10 to 90."""

    def recognise(self, head: Head) -> Layout | None:
        """The file's columns in our terms; None for a file of another format."""


def load_formats(names: Sequence[str] = (), folder: Path | None = None) -> tuple[Format, ...]:
    """The formats that a file is tried with: those named first, then the built-in ones, each by rank.

    Parameters
    ----------
    names:
        Formats that a source's link names, as ``nofx.toml`` writes them.
    folder:
        The home's folder of plug-ins.

    Raises
    ------
    ConfigError
        For a name that there is no format of.
    PluginError
        For a plug-in that does not load, or lacks what `Format` asks for.

    Examples
    --------
    >>> [each.name for each in load_formats()][-1]
    'own'
    """
    named = [find(KIND, name, folder) for name in names]
    taken = {reference.name for reference in named}
    others = [find(KIND, name) for name in builtin_names(KIND) if name not in taken]
    return (*_by_rank(named), *_by_rank(others))


def format_versions(names: Sequence[str], folder: Path | None) -> list[str]:
    """Each named format with the hash of its sources: what a change of its code changes."""
    return [f"{each.name} {each.digest()}" for each in (find(KIND, name, folder) for name in names)]


def _by_rank(references: Sequence[Reference]) -> list[Format]:
    return sorted((_format(each) for each in references), key=lambda each: each.rank)


def _format(reference: Reference) -> Format:
    member: Format = reference.load()
    return member if reference.origin == "built-in" else _checked(reference, member)


@dataclass(frozen=True)
class PluginFormat:
    """A format of the user's: whatever it raises or gets wrong is refused by its name."""

    reference: Reference
    member: Format
    name: str
    title: str
    columns: tuple[str, ...]
    rank: int

    def recognise(self, head: Head) -> Layout | None:
        """The member's layout; raises ``PluginError`` where it raises, or does not fit the file."""
        with self.reference.guard(f"looking at {head.label}"):
            layout = self.member.recognise(head)
            problem = None if layout is None else layout_problem(layout, head)
        if problem is not None:
            raise self.reference.refuse(f"{problem}, for {head.label}")
        return layout and replace(layout, columns=dict(layout.columns))


def _checked(reference: Reference, member: Format) -> PluginFormat:
    """The plug-in with what it says of itself, read once and checked."""
    reference.require(member, "recognise(head)")
    with reference.guard("reading its name, title, columns and rank"):
        lacking = [name for name in ("name", "title", "columns", "rank") if not hasattr(member, name)]
        if lacking:
            raise reference.refuse(f"is no format: it lacks {', '.join(lacking)}")
        name, title, columns, rank = member.name, member.title, member.columns, member.rank
    if not isinstance(name, str) or not 1 <= len(name) <= _NAME_CHARS:
        raise reference.refuse(f"has name = {name!r}, not a text of 1 to {_NAME_CHARS} characters")
    if not isinstance(title, str) or not title:
        raise reference.refuse(f"has title = {title!r}, not a text")
    if not isinstance(columns, (tuple, list)) or not all(isinstance(each, str) for each in columns):
        raise reference.refuse(f"has columns = {columns!r}, not a tuple of the file's column names")
    if not isinstance(rank, int):
        raise reference.refuse(f"has rank = {rank!r}, not a whole number")
    return PluginFormat(reference, member, name, title, tuple(columns), rank)
