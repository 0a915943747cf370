"""The key of a Python function: a digest of all that its value depends on, or a refusal that names what.

It covers the function's bytecode, its default arguments, what its closure holds, the globals and the
attributes of modules that it reads, and the same of every function and class of the user's own that it
reaches so. What an installed package brings counts by its version. What no digest can cover is refused: the
clock, files, the network, random numbers without a seed, state that goes from one row to the next, objects of
a package's own classes.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import struct
import sys
import sysconfig
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cache, partial
from hashlib import blake2b
from logging import Logger
from pathlib import Path, PurePath
from re import Pattern
from types import CellType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import numpy as np

from nofx_pipelines import code_version
from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.algebra.function_reads import Read, code_digest, reads_of

_BY_TEXT = (
    int, complex, str, bytes, range, slice, date, datetime, time, timedelta, timezone, ZoneInfo, Decimal,
    Fraction, Pattern, np.dtype,
)  # fmt: skip
"""Values whose ``repr`` says all that they are."""
_SEQUENCES = (tuple, list, deque)
_SETS = (set, frozenset)
_MAPPINGS = (dict, OrderedDict, defaultdict)
_PLAIN: dict[type, Callable[[Any], Any]] = {
    **{kind: kind for kind in (tuple, list, set, frozenset, dict, str, bytes, int, float)},
    deque: list,
    np.ndarray: np.asarray,
}
"""What an object of a user's class holds besides its attributes, where it is derived from one of these."""
_NOT_COVERED = frozenset({
    "os", "posix", "time", "random", "secrets", "io", "_io", "socket", "subprocess", "pathlib", "shutil",
    "tempfile", "glob", "sqlite3", "urllib", "http", "uuid", "threading", "multiprocessing", "ctypes",
    "requests", "httpx",
})  # fmt: skip
"""Modules whose functions read the clock, files, the network or chance."""
_SEEDED = frozenset({"random.Random", "numpy.random.default_rng", "numpy.random.mtrand.RandomState"})
"""Random numbers that are the same each time, when they are given a seed."""
_TEXT_TO_CODE = frozenset({
    "eval", "exec", "compile", "open", "input", "globals", "locals", "vars", "__import__", "breakpoint", "id",
})  # fmt: skip
_READERS = {
    "numpy": ("load", "fromfile", "genfromtxt", "memmap"),
    "polars": ("read_", "scan_"),
    "pandas": ("read_",),
}
_NOW = frozenset({"now", "utcnow", "today"})
_GENERATED = "<string>"
"""The file name of the methods that dataclasses write."""
_WRITERS = frozenset({"dataclasses", "enum", "collections", "typing"})
_NOT_STATE = frozenset({
    "__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__annotations__", "__annotate__",
    "__annotations_cache__", "__match_args__", "__abstractmethods__", "_abc_impl", "__firstlineno__",
    "__static_attributes__", "__dataclass_fields__", "__dataclass_params__", "__orig_bases__",
    "__parameters__", "__classcell__", "__conditional_annotations__",
})  # fmt: skip


def function_key(function: Callable[..., Any]) -> str:
    """The function's name and 16 hexadecimal digits, other wherever it may compute something else.

    Raises
    ------
    FeatureError
        Naming what the function reads that no digest can cover.

    Examples
    --------
    >>> def times(k):
    ...     return lambda x: k * x.mean()
    >>> function_key(times(2)) == function_key(times(2)), function_key(times(2)) == function_key(times(3))
    (True, False)
    """
    name = name_of(function)
    try:
        return f"{name}:{_Digest(name).of(function)}"
    except RecursionError:
        raise FeatureError(
            f"Python function {name!r} cannot be keyed: what it reads is nested too deep",
            kept="no feature was declared",
            hint="give it plain values (numbers, texts, arrays)",
        ) from None


def name_of(function: object) -> str:
    """How messages call a function: its qualified name, or its class's."""
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)


class _Digest:
    """Adds value after value to one hash, each with its type and length."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._hash = blake2b(digest_size=8)
        self._places: dict[int, int] = {}
        self._alive: list[object] = []
        """What has been seen stays alive, so that no other object gets its address."""

    def of(self, function: Callable[..., Any]) -> str:
        self._value(function, "itself")
        return self._hash.hexdigest()

    def _put(self, tag: str, *parts: str | bytes) -> None:
        for part in (tag, *parts):
            data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
            self._hash.update(len(data).to_bytes(8, "little") + data)

    def _refuse(self, where: str, what: str, hint: str | None = None) -> NoReturn:
        raise FeatureError(
            f"Python function {self.name!r} cannot be keyed: it reads {where}, {what}",
            kept="no feature was declared",
            hint=hint or "give it plain values (numbers, texts, arrays): def f(x, scale=2.0)",
        )

    def _seen(self, value: object) -> bool:
        """Whether this object is in the digest already; it then stands there as its number."""
        if id(value) in self._places:
            self._put("again", str(self._places[id(value)]))
            return True
        self._places[id(value)] = len(self._places)
        self._alive.append(value)
        return False

    def _value(self, value: Any, where: str) -> None:
        kind = type(value)
        if value is None or value is Ellipsis or value is NotImplemented or kind is bool:
            self._put("one", repr(value))
        elif kind is float:
            self._put("float", struct.pack("<d", value))
        elif kind in _BY_TEXT or isinstance(value, (PurePath, Pattern, np.dtype)):
            self._put(kind.__name__, repr(value))
        elif isinstance(value, Logger):
            self._put("logger")
        elif kind is np.ndarray or isinstance(value, np.generic):
            self._array(value, where)
        elif not self._seen(value):
            self._compound(value, where)

    def _array(self, value: Any, where: str) -> None:
        if value.dtype.hasobject:
            self._refuse(where, "an array of Python objects")
        layout = f"{value.dtype.descr!r} {value.shape}"
        self._put("array" if isinstance(value, np.ndarray) else "number", layout, value.tobytes())

    def _compound(self, value: Any, where: str) -> None:
        kind = type(value)
        if kind in (*_SEQUENCES, *_SETS, *_MAPPINGS):
            self._container(value, where)
        elif callable(value) and (place := _place_in_library(value)) is not None:
            self._covered(place, where)
            self._put("library", place, _version_of(place) or "")
        elif isinstance(value, FunctionType):
            self._function(value, where)
        elif isinstance(value, MethodType):
            self._put("method")
            self._value(value.__func__, where)
            self._value(value.__self__, f"{where}, the object of its method")
        elif kind is partial:
            self._put("partial")
            self._value((value.func, value.args, value.keywords), where)
        elif isinstance(value, (staticmethod, classmethod)):
            self._put(kind.__name__)
            self._value(value.__func__, where)
        elif isinstance(value, property):
            self._put("property")
            self._value((value.fget, value.fset, value.fdel), where)
        elif isinstance(value, MemberDescriptorType):
            self._put("slot", value.__name__)
        elif isinstance(value, ModuleType):
            self._module(value, where)
        elif isinstance(value, Enum):
            self._put("enum", value.name)
            self._value(kind, where)
        elif isinstance(value, type):
            self._class(value, where)
        elif type(getattr(value, "__wrapped__", None)) is FunctionType and callable(value):
            self._put("wrapped", kind.__qualname__)  # functools.cache and its like
            self._value(value.__wrapped__, where)
        elif type(getattr(value, "py_func", None)) is FunctionType:
            self._put("compiled", repr(sorted(getattr(value, "targetoptions", {}).items())))
            self._value(value.py_func, where)
        elif isinstance(getattr(value, "__qualname__", None), str) or isinstance(value, np.ufunc):
            self._builtin(value, where)
        else:
            self._instance(value, where)

    def _container(self, value: Any, where: str) -> None:
        self._put(type(value).__name__, str(len(value)))
        if isinstance(value, defaultdict):
            self._value(value.default_factory, f"{where}, its default")
        if isinstance(value, Mapping):
            for key, item in value.items():
                self._value(key, f"a key of {where}")
                self._value(item, f"{where}[{key!r}]")
        elif isinstance(value, _SETS):
            for digest in sorted(_Digest(self.name)._alone(item, where) for item in value):
                self._put("item", digest)
        else:
            for number, item in enumerate(value):
                self._value(item, f"{where}[{number}]")

    def _alone(self, value: object, where: str) -> str:
        self._value(value, f"an item of {where}")
        return self._hash.hexdigest()

    def _function(self, function: FunctionType, where: str) -> None:
        module, code = str(function.__globals__.get("__name__", "")), function.__code__
        version = _version_of(module)
        if version is not None and function.__closure__ is None:
            self._covered(f"{module}.{code.co_qualname}", where)
            self._put("library", f"{module}.{code.co_qualname}", version)
            return
        reads = reads_of(code)
        if reads.changes:
            self._refuse(
                f"{reads.changes[0]} and changes it" if where == "itself" else where,
                "so that a value depends on which rows came before",
                hint="let it depend on its windows alone, or build the feature of ema, cumsum, recur",
            )
        self._put("function", code_digest(code))
        self._value(function.__defaults__, "its default arguments" if where == "itself" else where)
        self._value(function.__kwdefaults__, "its default arguments" if where == "itself" else where)
        if function.__dict__:
            own = {k: v for k, v in function.__dict__.items() if k != "__wrapped__"}
            self._value(own, f"{where}'s attributes")
        inside = "" if where == "itself" else f"{where} → "
        closure = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        for name, cell in closure.items():
            held = _content(cell)
            self._put("cell", name)
            if not isinstance(held, ModuleType):  # of a module what is taken of it, below
                self._value(held, f"{inside}`{name}` of its closure")
        for read in reads.names:
            self._read(read, function, closure, inside)

    def _read(self, read: Read, function: FunctionType, closure: Mapping[str, CellType], inside: str) -> None:
        """A name that the function's code reads, resolved as Python would now."""
        shown = ".".join([read.name, *read.attributes])
        self._put("read", read.scope, shown, str(read.called_empty))
        if read.scope == "import":
            root, where = _imported(read, function), f"{inside}the import `{shown}`"
        elif read.scope == "closure":
            root, where = _content(closure[read.name]), f"{inside}`{shown}` of its closure"
        else:
            root, where = _global(read.name, function), f"{inside}the global `{shown}`"
        if root is MISSING:
            self._put("not there")
            return
        value, rest = root, list(read.attributes)
        while isinstance(value, ModuleType) and rest:
            self._put("module", *_named(value))
            self._readers(value, rest[0], where)
            value = _attribute(value, rest.pop(0))
            if value is MISSING:
                self._put("not there")
                return
        if isinstance(value, type) and rest and rest[0] in _NOW:
            self._refuse(where, "the clock")
        if read.called_empty and not rest and _qualified(value) in _SEEDED:
            self._refuse(where, "random numbers without a seed", hint="np.random.default_rng(7) is covered")
        if value is not root or read.scope != "closure":
            self._value(value, where)

    def _readers(self, module: ModuleType, name: str, where: str) -> None:
        top = module.__name__.partition(".")[0]
        if any(name.startswith(begin) for begin in _READERS.get(top, ())):
            self._refuse(where, "a file", hint="read it once, outside, and give its numbers as an array")

    def _covered(self, qualified: str, where: str) -> None:
        """Refuse what a version of its package says nothing about."""
        if qualified in _SEEDED:
            return
        if qualified.partition(".")[0] in _NOT_COVERED or (
            qualified.startswith("builtins.") and qualified.removeprefix("builtins.") in _TEXT_TO_CODE
        ):
            self._refuse(
                where,
                f"{qualified}: the clock, files, the network, chance or text that is run",
                hint="let it depend on its windows alone",
            )

    def _builtin(self, value: Any, where: str) -> None:
        """A function or method that is not written in Python."""
        owner = getattr(value, "__self__", None)
        if owner is not None and not isinstance(owner, (ModuleType, type)):
            self._value(owner, f"{where}, a method of {type(owner).__qualname__}")
        qualified = _qualified(value)
        self._covered(qualified, where)
        self._put("built-in", qualified, _version_of(qualified) or "")

    def _module(self, module: ModuleType, where: str) -> None:
        """A module that is used as a whole: of the user's own everything in it."""
        self._covered(module.__name__, where)
        name, version = _named(module)
        self._put("module", name, version)
        if version:
            return
        for key, value in sorted(vars(module).items()):
            if not (key.startswith("__") and key.endswith("__")):
                self._put("name", key)
                self._value(value, f"{where}.{key}")

    def _class(self, cls: type, where: str) -> None:
        qualified = _qualified(cls)
        version = _version_of(cls.__module__)
        if version is not None and "<locals>" not in qualified:
            self._covered(qualified, where)
            self._put("library class", qualified, version)
            return
        self._put("class", cls.__qualname__)
        for base in cls.__bases__:
            self._value(base, f"{where}, a base of {cls.__qualname__}")
        if issubclass(cls, Enum):
            self._value({name: member._value_ for name, member in cls.__members__.items()}, where)
        if is_dataclass(cls):
            for field in fields(cls):
                self._put("field", field.name, str(field.default_factory is not MISSING))
                given = field.default if field.default is not MISSING else field.default_factory
                self._value(None if given is MISSING else given, f"{where}, the field {field.name}")
        for name, value in sorted(vars(cls).items()):
            if name not in _NOT_STATE and not _written_by_library(cls, name, value):
                self._put("name", name)
                self._value(value, f"{where}.{name}")

    def _instance(self, value: Any, where: str) -> None:
        cls = type(value)
        if _version_of(cls.__module__) is not None:
            self._refuse(where, f"an object of {_qualified(cls)}")
        self._put("object")
        self._value(cls, where)
        for kind, plain in _PLAIN.items():
            if isinstance(value, kind):
                self._value(plain(value), where)
                break
        for name, item in getattr(value, "__dict__", {}).items():
            self._put("name", name)
            self._value(item, f"{where}.{name}")
        for name in _slots(cls):
            self._put("name", name)
            self._value(getattr(value, name, None), f"{where}.{name}")


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None  # a name that is given its value later


def _global(name: str, function: FunctionType) -> Any:
    if name in function.__globals__:
        return function.__globals__[name]
    builtins = function.__globals__.get("__builtins__", {})
    return (vars(builtins) if isinstance(builtins, ModuleType) else builtins).get(name, MISSING)


def _imported(read: Read, function: FunctionType) -> Any:
    package = function.__globals__.get("__package__") if read.level else None
    try:
        return importlib.import_module("." * read.level + read.name, package)
    except ImportError:
        return MISSING


def _attribute(module: ModuleType, name: str) -> Any:
    value = getattr(module, name, MISSING)
    if value is MISSING and f"{module.__name__}.{name}" in sys.modules:
        return sys.modules[f"{module.__name__}.{name}"]
    return value


def _named(module: ModuleType) -> tuple[str, str]:
    """The name and version of a library's module; neither of the user's own, which may lie anywhere."""
    version = _version_of(module.__name__)
    return ("", "") if version is None else (module.__name__, version)


def _place_in_library(value: Any) -> str | None:
    """The module and name under which a package holds this very object; what a decorator closes over there is
    the package's matter."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or _version_of(module) is None:
        return None
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}.{name}" if found is value else None


def _qualified(value: Any) -> str:
    owner = getattr(value, "__self__", None)
    module = owner.__name__ if isinstance(owner, ModuleType) else getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", "")
    return f"{module or 'builtins'}.{name}"


def _slots(cls: type) -> Iterable[str]:
    for base in cls.__mro__:
        names = vars(base).get("__slots__", ())
        yield from (names,) if isinstance(names, str) else tuple(names)


def _written_by_library(cls: type, name: str, value: Any) -> bool:
    """Methods that dataclasses, NamedTuple and Enum write: the fields and members say it all."""
    inner = getattr(value, "__func__", value)
    if isinstance(inner, FunctionType):
        generated = inner.__code__.co_filename == _GENERATED
        return generated or inner.__globals__.get("__name__") in _WRITERS
    if issubclass(cls, Enum):
        return name in cls.__members__ or name.startswith("_")
    return issubclass(cls, tuple) and name not in ("_fields", "_field_defaults")


@cache
def _library_folders() -> tuple[Path, ...]:
    import site

    names = ("stdlib", "platstdlib", "purelib", "platlib")
    places = [*(sysconfig.get_path(name) for name in names), *site.getsitepackages()]
    return tuple(Path(place).resolve() for place in (*places, site.getusersitepackages()))


@cache
def _version_of(name: str) -> str | None:
    """The version of the installed package that a module belongs to; None: the module is the user's own."""
    top = name.partition(".")[0]
    if top == code_version.PACKAGE:
        module = name
        while module and not code_version.exists(module):
            module = module.rpartition(".")[0]
        return code_version.code_version([module])
    if top in sys.stdlib_module_names or top == "builtins":
        return f"python {sys.version_info.major}.{sys.version_info.minor}"
    file = getattr(sys.modules.get(top), "__file__", None)
    if file is None or not any(Path(file).resolve().is_relative_to(place) for place in _library_folders()):
        return None
    try:
        return importlib.metadata.version(top)
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(sys.modules[top], "__version__", Path(file).stat().st_mtime_ns))
