"""The built-in members of a family as Python's own parser sees them: the oracle of what listings say."""

from __future__ import annotations

import ast
from pathlib import Path

import nofx_pipelines
from nofx_pipelines.plugins import KINDS

ROOT = Path(nofx_pipelines.__file__).parent


def members_of(kind: str) -> tuple[str, ...]:
    """The files of the family's folder whose module assigns its attribute at the top level, sorted."""
    folder, attribute = ROOT / KINDS[kind].folder, KINDS[kind].attribute
    files = {file.stem: file for file in folder.glob("*.py") if file.name != "__init__.py"}
    files |= {file.parent.name: file for file in folder.glob("*/__init__.py")}
    return tuple(sorted(name for name, file in files.items() if attribute in _assigned(file)))


def _assigned(file: Path) -> set[str]:
    """Names that a module's own statements assign."""
    names: set[str] = set()
    for statement in ast.parse(file.read_text(encoding="utf-8")).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets = [statement.target]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names
