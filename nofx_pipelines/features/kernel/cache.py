"""The kernels' place in the cache of compiled functions (`nofx_pipelines.kernel_cache`), one compiler at a
time."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from numba import config

from nofx_pipelines import kernel_cache

_HERE = Path(__file__).resolve().parent

cached = partial(kernel_cache.cached, _HERE)
"""``numba.njit`` with the cache; a kernel is made of several files of this folder, all of which count."""


def cached_callback(function: Callable[..., Any], signature: str, **options: Any) -> Any:
    """``numba.cfunc`` with the cache."""
    return kernel_cache.cached_callback(function, signature, _HERE, **options)


def sources_hash() -> str:
    """16 hexadecimal digits of the kernels' sources, compiler and processor."""
    return kernel_cache.identity(_HERE)


def named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The function under a name of its own.

    Compiled code that is read from a cache finds what it calls by name, wherever that was compiled: of two
    inner functions of one name, compiled in two processes, both callers would get the first.
    """
    function.__qualname__ = name
    function.__name__ = name.rpartition(".")[2]
    return function


def locks_folder() -> Path:
    """Where processes see what another one is compiling."""
    return kernel_cache.kernels_folder(_HERE)


@contextmanager
def one_process(name: str, *, wait: bool = True) -> Iterator[bool]:
    """Of several processes that find ``name`` uncompiled one compiles, the others wait, or get False."""
    try:
        lock = (locks_folder() / f"{name}.lock").open("w")
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
