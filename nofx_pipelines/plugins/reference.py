"""A member by the name that ``nofx.toml`` gives it: where it is found, loading it, its sources' hash."""

from __future__ import annotations

import importlib
import re
import traceback
import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from nofx_pipelines import code_version
from nofx_pipelines.errors import AbsentPlugin, ConfigError, NofxError, PluginError
from nofx_pipelines.plugins.home_modules import file_of, home_digest, home_module, leads_out, package_of
from nofx_pipelines.plugins.kinds import KINDS, Kind, builtin_names

FOLDER = "plugins"
"""The folder of a home in which its plug-ins lie."""
GROUP = "nofx_pipelines"
"""Entry points are announced in the group ``nofx_pipelines.<kind>``."""
_REFERENCE = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<attribute>[A-Za-z_]\w*)")


_REQUIRED = object()


@dataclass(frozen=True)
class Reference:
    """Where a member that ``nofx.toml`` names is found."""

    kind: Kind
    name: str
    """As ``nofx.toml`` writes it; an alias is resolved."""
    module: str
    """The module's dotted name; a home's file without its package."""
    attribute: str
    origin: Literal["built-in", "home", "installed"]
    folder: Path | None = None
    """The folder of the home's plug-ins."""

    @property
    def shown(self) -> str:
        """How a message names it."""
        if self.origin == "built-in":
            return f"{self.kind.what} {self.name!r}"
        where = self.folder / f"{self.module}.py" if self.folder else self.module
        return f"plug-in {self.name!r} ({self.kind.what}, {where})"

    def load(self) -> Any:
        """The member.

        Raises:
            PluginError: where the module cannot be imported, lacks the attribute, or the member calls itself
                like a built-in one.
        """
        if self.origin == "built-in":
            return getattr(importlib.import_module(self.module), self.attribute)
        with self.guard("importing it"):
            try:
                module = self._module()
            except ModuleNotFoundError as error:
                beside = self.folder is not None and error.name and file_of(self.folder, error.name)
                if not beside:
                    raise
                raise self.refuse(
                    f"imports {error.name}, a file beside it: write `from . import {error.name}`"
                ) from error
        with self.guard(f"reading its {self.attribute}"):
            if not hasattr(module, self.attribute):
                public = ", ".join(name for name in vars(module) if not name.startswith("_")) or "nothing"
                raise self.refuse(f"has no {self.attribute!r}; it has {public[:200]}")
            member = getattr(module, self.attribute)
        own = self.read(member, "name", None)
        # a text of the plug-in's own class could answer == as it likes
        if type(own) is str and own in (*builtin_names(self.kind.name), *self.kind.aliases):
            raise self.refuse(f"calls itself {own!r}, which is a built-in {self.kind.what}")
        return member

    def _module(self) -> types.ModuleType:
        if self.folder is not None:
            return home_module(self.folder, self.module)
        return importlib.import_module(self.module)

    def require(self, member: object, *methods: str) -> None:
        """Refuse a class in an instance's place, and a member that lacks one of ``methods``.

        A method is named with its parameters, as the message shows it: ``judge(evidence, config)``.
        """
        with self.guard("looking at it"):
            # its type decides: ``__class__`` and a metaclass's ``__name__`` may be code of the plug-in's own
            if issubclass(type(member), type):
                name = self.read(member, "__name__")
                raise self.refuse(f"is the class {name}: assign an instance, {name}()")
        for method in methods:
            if not callable(self.read(member, method.partition("(")[0], None)):
                raise self.refuse(f"has no method {method}")

    def read(self, member: object, attribute: str, default: Any = _REQUIRED) -> Any:
        """An attribute of the member, which may be code of the plug-in's own; PluginError where it raises.

        Parameters
        ----------
        member:
            The member, or what it returned.
        attribute:
            Its attribute's name.
        default:
            Where there is none; without a default a missing attribute is refused.
        """
        with self.guard(f"reading its {attribute}"):
            value = getattr(member, attribute, default)
            if value is _REQUIRED:
                raise self.refuse(f"has no {attribute}")
            return value

    def refuse(self, problem: str) -> PluginError:
        """The error that names this member."""
        return PluginError(
            f"{self.shown} {problem}",
            kept="other universes and stages go on",
            hint="mend the file, then nofx run",
        )

    @contextmanager
    def guard(self, doing: str, *, passing: tuple[type[NofxError], ...] = ()) -> Iterator[None]:
        """Whatever the member's own code raises becomes a PluginError that names it.

        ``passing`` are errors of ours that the caller answers to, such as NotEnoughData; a built-in member's
        errors are left as they are.
        """
        if self.origin == "built-in":
            yield
            return
        unchanged: tuple[type[NofxError], ...] = (PluginError, *passing)
        try:
            yield
        except unchanged:
            raise
        except BaseException as error:
            if not isinstance(error, (Exception, SystemExit)) and not self._defines(type(error)):
                raise  # Ctrl-C, Dagster's interruptions: not the plug-in's
            said = f"raised {type(error).__name__} when {doing}: {_text(error)}{self._line(error)}"
            raise self.refuse(said) from error

    def _defines(self, error: type[BaseException]) -> bool:
        """Whether an error's class is the plug-in's own."""
        own = self.module if self.folder is None else package_of(self.folder)
        return error.__module__.partition(".")[0] == own.partition(".")[0]

    def _line(self, error: BaseException) -> str:
        """Where in the plug-in's own files an error was raised."""
        place = self._place()
        own = [
            (Path(frame.filename).name, frame.lineno)
            for frame in traceback.extract_tb(error.__traceback__)
            if place is not None and Path(frame.filename).is_relative_to(place)
        ]
        return f" ({own[-1][0]}, line {own[-1][1]})" if own else ""

    def _place(self) -> Path | None:
        """The home's folder of plug-ins; an installed one's package, or its file where that is all."""
        if self.folder is not None:
            return self.folder
        top = code_version.source_file(self.module.partition(".")[0])
        file = top or code_version.source_file(self.module)
        return file.parent if file is not None and file.name == "__init__.py" else file

    def digest(self) -> str:
        """Hash of the sources that decide what the member does."""
        if self.origin == "built-in":
            return code_version.code_version([self.module])
        if self.folder is not None:
            return home_digest(self.folder, self.module)
        with self.guard("reading its sources"):
            return code_version.code_version([self.module])


def find(kind: str, name: str, folder: Path | None = None) -> Reference:
    """The member ``name`` of a family; nothing is imported.

    Parameters
    ----------
    kind:
        One of `KINDS`.
    name:
        A built-in's, an announced one's, or ``"module:attribute"``.
    folder:
        The home's folder of plug-ins; None: there is no home.

    Raises
    ------
    ConfigError
        For a name that there is none of, with the known ones listed.

    Examples
    --------
    >>> find("families", "lightgbm").module
    'nofx_pipelines.models.families.gbdt'
    """
    of = KINDS[kind]
    name = of.aliases.get(name, name)
    if name in builtin_names(kind):
        module = f"nofx_pipelines.{of.folder.replace('/', '.')}.{name}"
        return Reference(of, name, module, of.attribute, "built-in")
    match = _REFERENCE.fullmatch(name)
    if match is None:
        announced = [point for point in announced_members(kind) if point.name == name]
        if len(announced) > 1:
            values = " and ".join(point.value for point in announced)
            raise _unknown(of, name, folder, f"is announced by several installed packages: {values}")
        if not announced:
            raise _unknown(of, name, folder, "is none of this installation's")
        match = _REFERENCE.fullmatch(announced[0].value)
        if match is None:
            raise _unknown(of, name, folder, f"is announced as {announced[0].value!r}, not module:attribute")
        if not _importable(match["module"]):
            why = f"is announced as {announced[0].value!r}, and no module {match['module']} is installed"
            raise _unknown(of, name, folder, why, AbsentPlugin)
        return Reference(of, name, match["module"], match["attribute"], "installed")
    module, attribute = match["module"], match["attribute"]
    if folder is not None and file_of(folder, module) is not None:
        return Reference(of, name, module, attribute, "home", folder.resolve())
    if folder is not None and (link := leads_out(folder, module)) is not None:
        why = f"is not read: {link} is a link that leads out of {folder}"
        raise _unknown(of, name, folder, why, AbsentPlugin)
    if not _importable(module):
        places = [f"{folder / module.replace('.', '/')}.py is not there"] if folder is not None else []
        why = ": " + " and ".join([*places, f"no module {module} is installed"])
        raise _unknown(of, name, folder, why, AbsentPlugin)
    return Reference(of, name, module, attribute, "installed")


def plugin_digests(members: Iterable[Reference]) -> dict[str, str]:
    """Kind and name of those members that are not built in, to the hash of their sources.

    >>> plugin_digests([find("families", "gbdt")])
    {}
    """
    return {
        f"{member.kind.name} {member.name}": member.digest()
        for member in members
        if member.origin != "built-in"
    }


def load(kind: str, name: str, folder: Path | None = None) -> Any:
    """The member itself; `find` and `Reference.load` say what is refused."""
    return find(kind, name, folder).load()


def announced_members(kind: str) -> list[EntryPoint]:
    """What installed packages announce for a family, those named like a built-in left out."""
    taken = {*builtin_names(kind), *KINDS[kind].aliases}
    return [point for point in entry_points(group=f"{GROUP}.{kind}") if point.name not in taken]


def refused_members(kind: str) -> list[EntryPoint]:
    """What installed packages announce under a built-in's name."""
    taken = {*builtin_names(kind), *KINDS[kind].aliases}
    return [point for point in entry_points(group=f"{GROUP}.{kind}") if point.name in taken]


def home_files(folder: Path) -> list[Path]:
    """The files of a home that can be named as plug-ins: not the tests beside them."""
    # a link to nowhere and a folder called x.py are none
    files = (file for file in folder.glob("*.py") if file.stem.isidentifier() and file.is_file())
    return sorted(file for file in files if file.stem != "__init__" and not file.stem.startswith("test_"))


def known_names(kind: str, folder: Path | None = None) -> list[str]:
    """All names that a family's key takes, for a message: built-in, announced, the home's files."""
    files = [f"{file.stem}:{KINDS[kind].attribute}" for file in _assigning(kind, folder)]
    return [*builtin_names(kind), *(point.name for point in announced_members(kind)), *files]


def _assigning(kind: str, folder: Path | None) -> list[Path]:
    """The home's files that assign the family's attribute, as the skeletons do."""
    assigns = re.compile(rf"^{KINDS[kind].attribute}\b\s*(?::[^=\n]+)?=", re.MULTILINE)
    files = home_files(folder) if folder is not None and folder.is_dir() else []
    return [file for file in files if assigns.search(_text_of(file))]


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # one that cannot be read hides none of the others


def _unknown(
    kind: Kind, name: str, folder: Path | None, why: str, error: type[ConfigError] = ConfigError
) -> ConfigError:
    known = known_names(kind.name, folder)
    between = "" if why.startswith(":") else " "
    return error(
        f'{kind.what} {name!r}{between}{why}; known are {", ".join(known)}, or "module:attribute"',
        kept="nothing was run",
        hint=f"`nofx plugins --kind {kind.name}` lists them, `nofx new {kind.name} NAME` writes one",
    )


def _text(error: BaseException) -> str:
    """What an error says; its own ``__str__`` may raise."""
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001  a plug-in's code may raise anything
        return f"(its text raises {type(second).__name__})"


def _importable(module: str) -> bool:
    """Whether a module of that name is installed, with a file, without which it has no code version.

    Nothing is imported to see.
    """
    try:
        return code_version.source_file(module) is not None
    except (ImportError, ValueError):
        return False
