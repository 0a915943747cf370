"""The version of a stage's code: a hash of its sources, what they import from ours, and its settings.

Of a module that is not ours, what it imports from its own top-level package counts too.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGE = "nofx_pipelines"


def code_version(modules: Iterable[str], settings: Mapping[str, Any] | None = None) -> str:
    """Twelve hex digits that change when ``modules``, what they import from ours, or ``settings`` change.

    Args:
        modules: Dotted names, ``nofx_pipelines.labels.refresh`` for one.
        settings: Dataclasses or plain values that the stage reads.

    >>> code_version(["nofx_pipelines.errors"]) == code_version(["nofx_pipelines.errors"], {})
    True
    >>> code_version(["nofx_pipelines.errors"]) == code_version(["nofx_pipelines.errors"], {"horizon": 5})
    False
    """
    digest = hashlib.sha256()
    for name in sorted(closure(tuple(sorted(modules)))):
        digest.update(name.encode())
        digest.update(_source_hash(name).encode())
    digest.update(json.dumps(_plain(settings or {}), sort_keys=True, default=str).encode())
    return digest.hexdigest()[:12]


@cache
def closure(modules: tuple[str, ...]) -> frozenset[str]:
    """``modules`` and everything of ours that they import, wherever in a file the import stands."""
    seen: set[str] = set()
    queue = list(modules)
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        queue.extend(_imports(name) - seen)
    return frozenset(seen)


@cache
def _imports(name: str) -> frozenset[str]:
    found: set[str] = set()
    package = name if _is_package(name) else name.rpartition(".")[0]
    if _path(name).suffix != ".py":
        return frozenset()  # compiled: its bytes are hashed
    try:
        tree = ast.parse(_path(name).read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()  # it will not import either, and the stage that runs it says so
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(
                    filter(
                        None, [".".join(package.split(".")[: len(package.split(".")) - node.level + 1]), base]
                    )
                )
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    counted = {PACKAGE, name.split(".")[0]}
    return frozenset(m for m in found if m.split(".")[0] in counted and exists(m))


@cache
def exists(name: str) -> bool:
    """Whether there is a module of that dotted name; nothing is imported to see."""
    return _find(name) is not None


def source_file(name: str) -> Path | None:
    """The file of a module; ``find_spec`` of a dotted name would import what stands above it."""
    top, *inner = name.split(".")
    spec = find_spec(top)
    if spec is None:
        return None
    if not inner:
        return Path(spec.origin) if spec.origin and Path(spec.origin).is_file() else None
    for location in spec.submodule_search_locations or ():
        base = Path(location, *inner)
        # a package goes before a module of its name, compiled before text, as in Python's own search
        compiled = [
            file for end in ("so", "pyd") for file in sorted(base.parent.glob(f"{base.name}.*.{end}"))
        ]
        for file in (base / "__init__.py", *compiled, base.with_name(f"{base.name}.py")):
            if file.is_file():
                return file
    return None


_find = cache(source_file)


def _path(name: str) -> Path:
    found = _find(name)
    if found is None:
        raise ModuleNotFoundError(name)
    return found


def _is_package(name: str) -> bool:
    return _path(name).name == "__init__.py"


@cache
def _source_hash(name: str) -> str:
    digest = hashlib.sha256(_path(name).read_bytes())
    # data files beside a module (dated rules, calendar overrides) are part of what it computes
    if _is_package(name) is False:
        for data in sorted(_path(name).parent.glob("*.toml")):
            digest.update(data.read_bytes())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
