"""Compiled functions on disk: whose sources, compiler and processor are these, and are the bytes whole?

Numba's own cache watches one file a function, trusts every byte and lies where the package lies. Here a
kernel is stored in a folder named by the hash of all that it was made from (the sources of its package, the
versions of this package, Python, Numba and LLVM, the processor and its features), each file behind the
SHA-256 of its name and bytes. What does not match is compiled again; it is never loaded.
"""

from __future__ import annotations

import atexit
import hashlib
import io
import os
import pickle
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite import binding
from numba.core import config, sigutils
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile
from numba.core.ccallback import CFunc

from nofx_pipelines import __version__

_PACKAGE = Path(__file__).resolve().parent
_DIGEST = hashlib.sha256
_SIZE = _DIGEST().digest_size


@lru_cache(maxsize=64)
def identity(folder: Path) -> str:
    """16 hexadecimal digits of all that decides what a function in ``folder`` is compiled to.

    >>> identity(Path(__file__).parent) == identity(Path(__file__).parent)
    True
    """
    digest = _DIGEST()
    for part in (*_toolchain(), *(f"{name} {text}" for name, text in _sources(folder))):
        digest.update(part.encode() + b"\n")
    return digest.hexdigest()[:16]


def _toolchain() -> tuple[str, ...]:
    """Versions and the processor; a kernel made for another one may not even run here."""
    return (
        __version__,
        sys.version,
        f"numpy {np.__version__} numba {numba.__version__} llvmlite {llvmlite.__version__}",
        f"llvm {binding.llvm_version_info} {binding.get_default_triple()}",
        f"{binding.get_host_cpu_name()} {binding.get_host_cpu_features().flatten()}",
        f"{config.CPU_NAME} {config.CPU_FEATURES} {config.OPT}",
    )


def _sources(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("*.py")):
        yield path.name, _DIGEST(path.read_bytes()).hexdigest()


def kernels_folder(folder: Path) -> Path:
    """Where the compiled functions of a package's ``folder`` lie: the first of three that is ours to write.

    Beside the sources; in ``$NOFX_HOME/kernels``; in a folder of the temporary ones that only this user can
    read and write, or, where somebody else has taken its name, in one that goes with this process.
    """
    return _first_of_ours(identity(folder), os.environ.get("NOFX_HOME"))


@lru_cache(maxsize=64)
def _first_of_ours(name: str, home: str | None) -> Path:
    places = [_PACKAGE / "__pycache__" / "kernels"]
    places += [Path(home).expanduser().resolve() / "kernels"] if home else []
    places.append(Path(tempfile.gettempdir()) / f"nofx-kernels-{os.geteuid()}")
    for place in places:
        if _is_ours(place) and _is_ours(place / name):
            return place / name
    return _of_this_process() / name


def _is_ours(folder: Path) -> bool:
    """Whether the folder, made where it is missing, can be written by this user and by no other."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            return False
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


@lru_cache(maxsize=1)
def _of_this_process() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="nofx-kernels-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def cached(sources: Path, *, beside: Any = None, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """``numba.njit(**options)`` with this cache.

    Parameters
    ----------
    sources
        The folder whose files the function and what it calls are written in.
    beside
        A written kernel's own file, whose name holds the hash of its text: its code lies there too.
    options
        Of ``numba.njit``.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        if not config.DISABLE_JIT:
            dispatcher._cache = _KernelCache(function, sources, beside)
        return dispatcher

    return decorate


def cached_callback(function: Callable[..., Any], signature: str, sources: Path, **options: Any) -> CFunc:
    """``numba.cfunc(signature, **options)(function)`` with this cache; compiled or read at once."""
    made: Any = CFunc(function, sigutils.normalize_signature(signature), locals={}, options=options)
    made._cache = _KernelCache(function, sources, None)
    made.compile()
    return made


class _Locator:
    """What Numba asks of where a function's code lies; nothing is made before it is needed."""

    def __init__(self, function: Callable[..., Any], sources: Path, beside: str | None) -> None:
        self._line = function.__code__.co_firstlineno
        self._py_file = function.__code__.co_filename  # where Numba's warnings say that they are from
        self._sources = sources
        self._beside = beside

    def get_cache_path(self) -> str:
        return str(Path(self._beside).parent if self._beside else kernels_folder(self._sources))

    def ensure_cache_path(self) -> None:
        Path(self.get_cache_path()).mkdir(parents=True, exist_ok=True, mode=0o700)

    def get_source_stamp(self) -> str:
        return identity(self._sources)

    def get_disambiguator(self) -> str:
        return str(self._line)


class _Results(CompileResultCacheImpl):
    """How Numba writes and reads a compiled function, with a locator of ours."""

    def __init__(self, function: Callable[..., Any], sources: Path, beside: str | None) -> None:
        self._lineno = function.__code__.co_firstlineno
        self._locator = _Locator(function, sources, beside)
        module = Path(function.__code__.co_filename).stem
        self._filename_base = self.get_filename_base(
            f"{module}.{function.__qualname__}", getattr(sys, "abiflags", "")
        )


class _KernelCache(FunctionCache):
    """The cache of one function; its folder is looked for when it is first needed."""

    def __init__(self, function: Callable[..., Any], sources: Path, beside: str | None) -> None:
        self._name = repr(function)
        self._py_func = function
        self._impl = _Results(function, sources, beside)
        self._file: _CheckedFile | None = None
        self.enable()

    @property
    def cache_path(self) -> str:
        return str(self._cache_file._cache_path)

    @property
    def _cache_file(self) -> _CheckedFile:
        if self._file is None:
            locator = self._impl.locator
            self._file = _CheckedFile(
                cache_path=locator.get_cache_path(),
                filename_base=self._impl.filename_base,
                source_stamp=locator.get_source_stamp(),
            )
        return self._file

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store what was compiled; where there is no room for it, it is compiled again next time."""
        try:
            super().save_overload(sig, data)
        except OSError:
            return


class _CheckedFile(IndexDataCacheFile):
    """Index and code of one function; what is read is compared with its digest before it is unpickled.

    Numba knows no other form than its own pickles. They hold machine code, which runs as it stands, so that
    another form would be no safer; what keeps others out is a folder that no other user can write.
    """

    def _load_index(self) -> dict[Any, str]:
        data = _checked(Path(self._index_path))
        if data is None:
            return {}
        stamp, overloads = pickle.loads(data)  # noqa: S301 (checked above)
        return dict(overloads) if stamp == self._source_stamp else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        with self._open_for_write(self._index_path) as file:
            file.write(self._dump((self._source_stamp, overloads)))

    def _load_data(self, name: str) -> Any:
        path = Path(self._data_path(name))
        data = _checked(path)
        if data is None:
            raise FileNotFoundError(path)  # to Numba: compile it again
        return pickle.loads(data)  # noqa: S301 (checked above)

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[io.BytesIO]:
        held = io.BytesIO()
        yield held
        path, data = Path(filepath), held.getvalue()
        draft = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            draft.write_bytes(_digest(path, data) + data)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


def _digest(path: Path, data: bytes) -> bytes:
    """The digest of a file's name and bytes: another function's code under this name is not this one's."""
    return _DIGEST(path.name.encode() + b"\n" + data).digest()


def _checked(path: Path) -> bytes | None:
    """A stored file's bytes without their digest; None where it is missing, cut short or changed."""
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    digest, data = stored[:_SIZE], stored[_SIZE:]
    return data if digest == _digest(path, data) else None
