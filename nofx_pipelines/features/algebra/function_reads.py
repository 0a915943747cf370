"""What the code of a Python function reads from outside, found in its bytecode; nothing is run."""

from __future__ import annotations

import dis
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from types import CodeType
from typing import Literal

_BETWEEN = frozenset({"PUSH_NULL", "PRECALL", "KW_NAMES", "EXTENDED_ARG", "CACHE", "NOP"})
"""Instructions that may stand between the loading of a name and its call."""
_STORES = frozenset({"STORE_FAST", "STORE_DEREF"})
_ANALYSES = 512
"""Code objects whose analysis is remembered: a notebook makes new ones without end."""


@dataclass(frozen=True)
class Read:
    """A name that a function's code reads, with the attributes that it takes of it.

    ``np.random.rand(3)`` is the global ``np`` with the attributes ``random`` and ``rand``; an import inside
    the function is a read of that module.
    """

    scope: Literal["global", "closure", "import"]
    name: str
    attributes: tuple[str, ...]
    called_empty: bool
    """Whether it is called without arguments, as a generator of random numbers without a seed is."""
    level: int = 0
    """Of a relative import the number of its dots."""


@dataclass(frozen=True)
class CodeReads:
    """All names that a function's code reads, those of its inner functions included, and what it changes."""

    names: tuple[Read, ...]
    changes: tuple[str, ...]
    """Globals and names of its closure that it assigns: state that goes from one row to the next."""


@lru_cache(maxsize=_ANALYSES)
def reads_of(code: CodeType) -> CodeReads:
    """What ``code`` reads and changes.

    >>> import math
    >>> reads_of((lambda x: math.tau * x).__code__).names
    (Read(scope='global', name='math', attributes=('tau',), called_empty=False, level=0),)
    """
    names: dict[Read, None] = {}
    changes: dict[str, None] = {}
    outer = frozenset(code.co_freevars)
    imported: dict[str, Read] = {}
    for one in _nested(code):
        own = outer & frozenset(one.co_freevars)
        names.update(dict.fromkeys(_reads(one, own, imported)))
        for step in dis.get_instructions(one):
            if step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                changes[f"the global {step.argval!r}"] = None
            elif step.opname in ("STORE_DEREF", "DELETE_DEREF") and step.argval in own:
                changes[f"{step.argval!r} of its closure"] = None
    return CodeReads(tuple(names), tuple(changes))


@lru_cache(maxsize=_ANALYSES)
def code_digest(code: CodeType) -> bytes:
    """The digest of what ``code`` does: its bytecode, names and constants; comments and lines do not count.

    >>> def first(x): return x[0]
    >>> def last(x): return x[-1]
    >>> code_digest(first.__code__) == code_digest(last.__code__)
    False
    """
    hasher = blake2b(digest_size=16)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    for part in (repr(counts).encode(), repr(names).encode(), code.co_code, code.co_exceptiontable):
        hasher.update(len(part).to_bytes(8, "little") + part)
    for constant in code.co_consts:
        hasher.update(_constant(constant))
    return hasher.digest()


def _constant(value: object) -> bytes:
    if isinstance(value, CodeType):
        return b"code" + code_digest(value)
    if isinstance(value, frozenset):  # in an order of its own, a process has another
        return b"set" + b"".join(sorted(_constant(item) for item in value)) + b"."
    if isinstance(value, tuple):
        return b"tuple" + b"".join(_constant(item) for item in value) + b"."
    text = f"{type(value).__name__} {value!r}".encode()
    return len(text).to_bytes(8, "little") + text


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _reads(code: CodeType, closure: frozenset[str], imported: dict[str, Read]) -> Iterator[Read]:
    """The reads of one code object, without those of its inner functions.

    ``imported`` are the modules under local names, those of the functions around it included.
    """
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("EXTENDED_ARG", "CACHE")]
    for at, step in enumerate(steps):
        name, root = str(step.argval), None
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            root = Read("global", name, (), False)
        elif step.opname in ("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF") and name in closure:
            root = Read("closure", name, (), False)
        elif step.opname.startswith(("LOAD_FAST", "LOAD_DEREF")) and name in imported:
            root = imported[name]
        elif step.opname == "IMPORT_NAME":
            yield from _imports(steps, at, imported)
        if root is not None:
            attributes, empty = _taken(steps, at + 1)
            yield Read(root.scope, root.name, (*root.attributes, *attributes), empty, root.level)


def _taken(steps: list[dis.Instruction], at: int) -> tuple[tuple[str, ...], bool]:
    """The attributes that are taken from step ``at`` on, and whether the last is called without arguments."""
    attributes: list[str] = []
    while at < len(steps):
        step = steps[at]
        if step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            attributes.append(str(step.argval))
        elif step.opname not in _BETWEEN:
            return tuple(attributes), step.opname == "CALL" and step.arg == 0
        at += 1
    return tuple(attributes), False


def _imports(steps: list[dis.Instruction], at: int, imported: dict[str, Read]) -> Iterator[Read]:
    """The reads of the import at step ``at``; what it binds to local names goes into ``imported``."""
    module, level = str(steps[at].argval), steps[at - 2].argval if at >= 2 else 0
    level = level if isinstance(level, int) else 0
    taken = 0
    for step, store in itertools.pairwise(steps[at + 1 :]):
        if step.opname == "IMPORT_NAME":
            break
        if step.opname == "IMPORT_FROM":
            read = Read("import", module, (str(step.argval),), False, level)
            if store.opname in _STORES:
                imported[str(store.argval)] = read
            yield read
            taken += 1
    if not taken:  # `import a.b` binds a
        whole = Read("import", module.partition(".")[0], (), False, level)
        bound = steps[at + 1] if at + 1 < len(steps) else None
        if bound is not None and bound.opname in _STORES:
            imported[str(bound.argval)] = whole
        yield Read("import", module, (), False, level)
