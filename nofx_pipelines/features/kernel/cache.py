"""Where compiled kernels are kept: beside the sources, in a folder of their own hash.

Numba's cache watches one file a function; a kernel is made of several.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba import config

_HERE = Path(__file__).resolve().parent


@lru_cache(maxsize=1)
def sources_hash() -> str:
    """16 hexadecimal digits of the kernel's sources."""
    digest = sha256()
    for path in sorted(_HERE.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cached(compiler: Callable[..., Any], **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """``compiler(cache=True, **options)`` with its cache under the sources' hash."""

    def decorate(function: Callable[..., Any]) -> Any:
        before = config.CACHE_DIR
        folder = _HERE / "__pycache__" / sources_hash()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            config.CACHE_DIR = str(folder)
        except OSError:  # an installation that is not ours to write: numba's own choice of folder
            pass
        try:
            return compiler(cache=True, **options)(function)
        finally:
            config.CACHE_DIR = before

    return decorate


def named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The function under a name of its own.

    Compiled code that is read from a cache finds what it calls by name, wherever that was compiled: of two
    inner functions of one name, compiled in two processes, both callers would get the first.
    """
    function.__qualname__ = name
    function.__name__ = name.rpartition(".")[2]
    return function


@contextmanager
def one_process(name: str, *, wait: bool = True) -> Iterator[bool]:
    """Of several processes that find ``name`` uncompiled one compiles, the others wait, or get False."""
    try:
        lock = (_HERE / "__pycache__" / sources_hash() / f"{name}.lock").open("w")
    except OSError:
        yield True
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def first_call(dispatcher: Any, *args: Any) -> Any:
    """Call a cached function, the first time in `one_process`."""
    if config.DISABLE_JIT or dispatcher.overloads:
        return dispatcher(*args)
    with one_process(dispatcher.__name__):
        return dispatcher(*args)
