"""The files of a home's folder ``plugins`` as modules of a package of that home's own.

A file called ``json.py`` shadows nothing, and two homes do not meet. Files are compiled from their text at
every load: a changed file is another module at once.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.abc
import importlib.util
import linecache
import sys
import threading
import types
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path

from nofx_pipelines import code_version


def package_of(folder: Path) -> str:
    """The name under which a home's files are imported."""
    return f"nofx_plugins_{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"


def file_of(folder: Path, module: str) -> Path | None:
    """The file of a module in the folder; None where there is none or it lies outside."""
    file = _place(folder, module)
    return file if file is not None and _inside(file, folder) else None


def leads_out(folder: Path, module: str) -> Path | None:
    """The file that stands under a module's name and is a link to somewhere outside the folder."""
    file = _place(folder, module)
    return file if file is not None and not _inside(file, folder) else None


def _place(folder: Path, module: str) -> Path | None:
    base = folder.resolve() / module.replace(".", "/")
    # a package goes before a module of its name, as in Python's own search
    candidates = (base / "__init__.py", base.with_name(f"{base.name}.py"))
    return next((file for file in candidates if file.is_file()), None)


def _inside(file: Path, folder: Path) -> bool:
    return file.resolve().is_relative_to(folder.resolve())


class _FromText(SourceFileLoader):
    """Compiles from the text at every load: cached bytecode is told apart by whole seconds only."""

    def exec_module(self, module: types.ModuleType) -> None:
        # whoever imports it: one that a plug-in imports inside a function is not loaded twice either
        package, _, inner = module.__name__.partition(".")
        _LOADED[module.__name__] = home_digest(_FINDER.folders[package], inner)
        super().exec_module(module)

    def get_code(self, fullname: str) -> types.CodeType:
        path = self.get_filename(fullname)
        code: types.CodeType = self.source_to_code(self.get_data(path), path)
        return code


class _HomeFinder(importlib.abc.MetaPathFinder):
    """Finds the modules of homes' packages; their folders by the package's name."""

    folders: dict[str, Path]

    def __init__(self) -> None:
        self.folders = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, inner = fullname.partition(".")
        folder = self.folders.get(package)
        if folder is None:
            return None
        if not inner:
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [str(folder)]
            return spec
        file = file_of(folder, inner)
        if file is None:
            return self._without_init(fullname, folder, inner)
        return importlib.util.spec_from_file_location(
            fullname,
            file,
            loader=_FromText(fullname, str(file)),
            submodule_search_locations=[str(file.parent)] if file.name == "__init__.py" else None,
        )

    def _without_init(self, fullname: str, folder: Path, inner: str) -> ModuleSpec:
        """A folder as a package; whatever else is asked for is not there, so that Python's own search,
        which takes cached bytecode and links that lead out, is not asked.
        """
        directory = folder / inner.replace(".", "/")
        if not directory.is_dir() or not _inside(directory, folder):
            raise ModuleNotFoundError(f"{folder} has no module {inner}", name=fullname)
        spec = ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = [str(directory)]
        return spec


_FINDER = _HomeFinder()
_LOCK = threading.RLock()
"""One thread loads at a time: a module that changed is taken out and loaded again."""
_LOADED: dict[str, str] = {}
"""The digest of the sources that a home's module was loaded from, by its full name."""


def home_module(folder: Path, module: str) -> types.ModuleType:
    """The module of a home's file; it, and what it imports, is loaded again only where sources changed."""
    with _LOCK:
        if _FINDER not in sys.meta_path:
            # before Python's own, which would take cached bytecode of the folder's files
            sys.meta_path.insert(0, _FINDER)
        package = package_of(folder)
        _FINDER.folders[package] = folder.resolve()
        _drop_changed(folder, package)
        return importlib.import_module(f"{package}.{module}")


def _drop_changed(folder: Path, package: str) -> None:
    """Forget the modules whose sources, or those of what they import, are not those they were loaded from."""
    loaded = [name for name in sys.modules if name.startswith(f"{package}.")]
    changed = [name for name in loaded if _is_changed(folder, name, name.removeprefix(f"{package}."))]
    for name in changed:
        sys.modules.pop(name, None)
        _LOADED.pop(name, None)
        parent, _, last = name.rpartition(".")
        # ``from . import part`` asks the package's attribute before it asks for the module
        if parent in sys.modules:
            vars(sys.modules[parent]).pop(last, None)
    if changed:
        linecache.checkcache()


def _is_changed(folder: Path, name: str, inner: str) -> bool:
    if name not in _LOADED:
        return file_of(folder, inner) is not None  # it was a folder without a file of its own
    return _LOADED[name] != home_digest(folder, inner)


def home_digest(folder: Path, module: str) -> str:
    """Hash of a home's file, of the files beside it that it imports, and of what they import from ours."""
    sources, ours = _home_sources(folder, module)
    sha = hashlib.sha256()
    for name in sorted(sources):
        sha.update(f"{name}\n".encode())
        sha.update(hashlib.sha256(sources[name]).digest())
    sha.update(code_version.code_version(ours).encode() if ours else b"")
    return sha.hexdigest()[:12]


def _home_sources(folder: Path, module: str) -> tuple[dict[str, bytes], list[str]]:
    """The texts of a home's module and of those below it, and the modules of ours that they import."""
    sources: dict[str, bytes] = {}
    ours: set[str] = set()
    queue = [module]
    while queue:
        name = queue.pop()
        file = file_of(folder, name)
        if name in sources or file is None:
            continue
        try:
            sources[name] = file.read_bytes()
        except OSError:
            sources[name] = b""  # it will not import either, and says so then
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        for data in sorted(file.parent.glob("*.toml")):
            sources[f"{name}/{data.name}"] = data.read_bytes()
        for target in _imported(sources[name], package):
            if target.startswith("."):
                queue.append(target[1:])
            elif target.split(".")[0] == code_version.PACKAGE and code_version.exists(target):
                ours.add(target)
    return sources, sorted(ours)


def _imported(text: bytes, package: str) -> Iterable[str]:
    """Dotted names that a module's text imports, wherever they stand; a home's own begin with a dot."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # it will not import either, and says so then
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1] if package else []
                base = ".".join([*filter(None, parents), *filter(None, [node.module])])
                yield f".{base}"
                yield from (f".{base}.{alias.name}" if base else f".{alias.name}" for alias in node.names)
            else:
                yield node.module or ""
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
