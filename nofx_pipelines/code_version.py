"""The version of a stage's code: a hash of its sources, what they import from ours, and its settings."""

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
    for node in ast.walk(ast.parse(_path(name).read_bytes())):
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
    return frozenset(m for m in found if m.split(".")[0] == PACKAGE and _exists(m))


@cache
def _exists(name: str) -> bool:
    try:
        return _find(name) is not None
    except ModuleNotFoundError:
        return False


@cache
def _find(name: str) -> Path | None:
    # find_spec imports parent packages only, and ours are empty
    spec = find_spec(name)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


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
