"""``nofx new``: a working member of a kind, and its test, in the home's folder of plug-ins."""

from __future__ import annotations

import keyword
import re
import shlex
import sys
from importlib.resources import files
from pathlib import Path

from nofx_pipelines import plugins
from nofx_pipelines.cli.terminal import home_option, say
from nofx_pipelines.errors import ConfigError

_PLACEHOLDER = "__NAME__"


def write_skeleton(home: Path, kind: str, name: str) -> None:
    """Write ``NAME.py`` and ``test_NAME.py`` and say what to do with them.

    Raises:
        ConfigError: for an unknown kind, a name that no member can have, or one that is taken.
    """
    if kind not in plugins.KINDS:
        raise ConfigError(
            f"{kind!r} is none of {', '.join(plugins.KINDS)}",
            kept="nothing was written",
            hint=f"nofx new features {name}",
        )
    problem = _problem(kind, name)
    if problem is not None:
        raise ConfigError(
            f"{name!r} {problem}", kept="nothing was written", hint=f"nofx new {kind} my_{kind}"
        )
    folder = home / plugins.FOLDER
    texts = {folder / file: text for file, text in skeleton(kind, name).items()}
    for path in texts:
        if path.exists():
            raise ConfigError(
                f"{path} is there already", kept="it was left as it is", hint=f"nofx new {kind} {name}_2"
            )
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
        say(f"wrote {path}")
    of = plugins.KINDS[kind]
    say(f'In nofx.toml, {of.key}: "{name}:{of.attribute}"')
    test = shlex.quote(str(folder / f"test_{name}.py"))
    say(f"Next: python -m pytest {test}, then nofx run {home_option(home)}")


def _problem(kind: str, name: str) -> str | None:
    """Why a member's file may not be called so."""
    of = plugins.KINDS[kind]
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,60}", name) or keyword.iskeyword(name):
        return "is no name of a Python file: a-z, 0-9 and _ in lower case, not a keyword"
    if name.startswith(("test_", "__")) or name.endswith("_test") or name == "conftest":
        return "is a name that Python or pytest takes for something else"
    if name in (*plugins.builtin_names(kind), *of.aliases):
        return f"is a built-in {of.what}"
    if name in sys.stdlib_module_names:
        return "is a module of Python's, which the tests beside it could no longer import"
    return None


def skeleton(kind: str, name: str) -> dict[str, str]:
    """The texts of a member's file and of its test, by file name."""
    shelf = files("nofx_pipelines.plugins").joinpath("skeletons")
    return {
        f"{name}.py": _text(shelf.joinpath(f"{kind}.py.txt").read_text(encoding="utf-8"), name),
        f"test_{name}.py": _text(shelf.joinpath(f"{kind}_test.py.txt").read_text(encoding="utf-8"), name),
    }


def _text(template: str, name: str) -> str:
    return template.replace(_PLACEHOLDER, name)
