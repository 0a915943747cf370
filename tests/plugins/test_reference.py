"""Members by name: built-in, a home's file, an installed module, an announced one; each refusal by name."""

from __future__ import annotations

import os
import py_compile
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from nofx_pipelines import plugins
from nofx_pipelines.errors import ConfigError, DataError, PluginError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "home" / "plugins"
    made.mkdir(parents=True)
    return made


def announce(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str, str]) -> None:
    made = EntryPoints(EntryPoint(name, value, group) for group, name, value in points)
    monkeypatch.setattr(
        "nofx_pipelines.plugins.reference.entry_points", lambda group: made.select(group=group)
    )


def test_a_file_of_the_home_goes_before_an_installed_module(folder: Path) -> None:
    (folder / "json.py").write_text("GATE = 'mine'\n")
    reference = plugins.find("gates", "json:GATE", folder)
    assert (reference.origin, reference.load()) == ("home", "mine")
    import json

    assert json.loads("[1]") == [1]  # nothing was shadowed
    assert plugins.find("gates", "json:loads").origin == "installed"
    assert plugins.load("gates", "json:loads") is json.loads


def test_two_homes_do_not_meet(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(f"GATE = {name!r}\n")
    assert [plugins.load("gates", "mine:GATE", tmp_path / n) for n in ("a", "b", "a")] == ["a", "b", "a"]


def test_a_changed_file_is_another_module_at_once(folder: Path) -> None:
    file = folder / "mine.py"
    file.write_text("from . import part\nGATE = part.X\n")
    (folder / "part.py").write_text("X = 1\n")
    reference = plugins.find("gates", "mine:GATE", folder)
    before = reference.digest()
    assert reference.load() == 1
    (folder / "part.py").write_text("X = 2\n")  # of the same length within the same second
    assert reference.load() == 2
    assert reference.digest() != before
    (folder / "unrelated.py").write_text("Y = 1\n")
    (folder / "part.py").write_text("X = 1\n")
    assert reference.digest() == before


def test_cached_bytecode_is_never_used(folder: Path) -> None:
    file = folder / "mine.py"
    file.write_text("GATE = 1\n")
    cached = compileall_of(file)
    file.write_text("GATE = 2\n")
    os.utime(file, ns=(cached, cached))  # size and time are those that the bytecode was made from
    assert plugins.load("gates", "mine:GATE", folder) == 2


def compileall_of(file: Path) -> int:
    """Write a file's bytecode as Python does where it may; the file's time of change."""
    py_compile.compile(str(file), doraise=True)
    assert list(file.parent.glob("__pycache__/*.pyc"))
    return file.stat().st_mtime_ns


def test_only_what_changed_is_loaded_again(folder: Path) -> None:
    (folder / "shared.py").write_text("class Base: ...\n")
    for name in ("one", "two"):
        (folder / f"{name}.py").write_text("from . import shared\n\nGATE = shared.Base()\n")
    one = plugins.load("gates", "one:GATE", folder)
    two = plugins.load("gates", "two:GATE", folder)
    assert type(one) is type(two)
    assert plugins.load("gates", "one:GATE", folder) is one
    (folder / "two.py").write_text("from . import shared\n\nGATE = (shared.Base(),)\n")
    assert type(plugins.load("gates", "two:GATE", folder)[0]) is type(one)
    assert plugins.load("gates", "one:GATE", folder) is one
    (folder / "shared.py").write_text("class Base: changed = True\n")
    assert plugins.load("gates", "one:GATE", folder).changed
    assert plugins.load("gates", "two:GATE", folder)[0].changed


def test_what_is_imported_inside_a_function_stays_the_same(folder: Path) -> None:
    (folder / "shared.py").write_text("class Base: ...\n")
    (folder / "late.py").write_text("def GATE():\n    from .shared import Base\n\n    return Base\n")
    (folder / "two.py").write_text("from .shared import Base\n\nGATE = Base()\n")
    late = plugins.load("gates", "late:GATE", folder)
    base = late()
    assert isinstance(plugins.load("gates", "two:GATE", folder), base)
    assert late() is base


def test_an_interruption_is_not_the_plug_in_s(folder: Path) -> None:
    (folder / "mine.py").write_text("raise KeyboardInterrupt\nGATE = 1\n")
    with pytest.raises(KeyboardInterrupt):
        plugins.load("gates", "mine:GATE", folder)


def test_an_installed_one_is_named_with_its_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gates_of_a_house").mkdir()
    (tmp_path / "gates_of_a_house" / "__init__.py").write_text("")
    (tmp_path / "gates_of_a_house" / "strict.py").write_text("X = 1\nGATE = X / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match=r"division by zero \(strict.py, line 2\)"):
        plugins.load("gates", "gates_of_a_house.strict:GATE")


def test_digests_are_of_plug_ins_only_by_kind_and_name(folder: Path) -> None:
    file = folder / "mine.py"
    file.write_text("FAMILY = ROLE = 1\n")
    members = [
        plugins.find(kind, name, folder)
        for kind, name in (("families", "gbdt"), ("families", "mine:FAMILY"), ("roles", "mine:ROLE"))
    ]
    before = plugins.plugin_digests(members)
    assert list(before) == ["families mine:FAMILY", "roles mine:ROLE"]
    assert plugins.plugin_digests(members) == before
    file.write_text(file.read_text() + "# another\n")
    assert plugins.plugin_digests(members)["roles mine:ROLE"] != before["roles mine:ROLE"]


def test_threads_load_one_object(folder: Path) -> None:
    (folder / "slow.py").write_text("import time\n\ntime.sleep(0.05)\nGATE = object()\n")
    with ThreadPoolExecutor(8) as pool:
        loaded = set(pool.map(lambda _: plugins.load("gates", "slow:GATE", folder), range(16)))
    assert len(loaded) == 1


def test_a_package_goes_before_a_module_of_its_name(folder: Path) -> None:
    (folder / "mine.py").write_text("GATE = 'module'\n")
    (folder / "mine").mkdir()
    (folder / "mine" / "__init__.py").write_text("from .part import GATE\n")
    (folder / "mine" / "part.py").write_text("GATE = 'package'\n")
    reference = plugins.find("gates", "mine:GATE", folder)
    assert reference.load() == "package"
    before = reference.digest()
    (folder / "mine" / "part.py").write_text("GATE = 'changed'\n")
    assert (reference.load(), reference.digest() != before) == ("changed", True)


def test_a_folder_without_init_is_a_package_and_a_link_out_of_it_is_none(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "parts").mkdir()
    (folder / "parts" / "inner.py").write_text("X = 1\n")
    (folder / "mine.py").write_text("from .parts.inner import X\n\nGATE = X\n")
    reference = plugins.find("gates", "mine:GATE", folder)
    assert reference.load() == 1
    before = reference.digest()
    (folder / "parts" / "inner.py").write_text("X = 2\n")
    assert (reference.load(), reference.digest() != before) == (2, True)
    (tmp_path / "elsewhere.py").write_text("X = 3\n")
    (folder / "linked.py").symlink_to(tmp_path / "elsewhere.py")
    (folder / "mine.py").write_text("from .linked import X\n\nGATE = X\n")
    with pytest.raises(PluginError, match="has no module linked"):
        reference.load()


ODD = """
class Odd:
    @property
    def judge(self):
        raise ValueError("not now")

    @property
    def name(self):
        raise ValueError("no name")

GATE = Odd()
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (ODD, "raised ValueError when reading its name: no name (mine.py, line 9)"),
        (
            "def __getattr__(name):\n    raise ValueError('lazy')\n",
            "raised ValueError when reading its GATE: lazy",
        ),
        (
            "class Failure(Exception):\n    def __str__(self):\n        raise KeyError\n\nraise Failure\n",
            "(its text raises KeyError)",
        ),
        (
            "class Same:\n    def __eq__(self, other):\n        raise ValueError\n\n"
            "class Gate:\n    name = Same()\n\nGATE = Gate()\n",
            "has no method judge(evidence, config)",
        ),
    ],
)
def test_code_that_runs_when_an_attribute_is_read_is_named(folder: Path, text: str, says: str) -> None:
    (folder / "mine.py").write_text(text)
    reference = plugins.find("gates", "mine:GATE", folder)
    with pytest.raises(PluginError) as raised:
        reference.require(reference.load(), "judge(evidence, config)")
    assert says in str(raised.value)


def test_what_a_plug_in_imports_from_ours_is_part_of_its_hash(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mine.py").write_text("def f():\n    from nofx_pipelines.errors import NofxError\n\nGATE = f\n")
    reference = plugins.find("gates", "mine:GATE", folder)
    before = reference.digest()
    monkeypatch.setattr("nofx_pipelines.code_version.code_version", lambda modules: ",".join(modules))
    assert reference.digest() != before


def test_an_installed_module_s_own_package_is_part_of_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "someones_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "gates.py").write_text("from someones_package.parts import X\n\nGATE = X\n")
    (package / "parts.py").write_text("X = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    from nofx_pipelines import code_version

    reference = plugins.find("gates", "someones_package.gates:GATE")
    before = reference.digest()
    assert reference.load() == 1
    (package / "parts.py").write_text("X = 2\n")
    for function in (code_version.closure, code_version._imports, code_version._source_hash):
        function.cache_clear()
    assert reference.digest() != before
    for name in [module for module in sys.modules if module.startswith("someones_package")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nothing_of_that_name\n", "raised ModuleNotFoundError when importing it: No module named"),
        ("1 / 0\n", "raised ZeroDivisionError when importing it: division by zero"),
        ("def broken(:\n", "raised SyntaxError when importing it"),
        ("OTHER = 1\n", "has no 'GATE'; it has OTHER"),
        ("import part\nGATE = part.X\n", "imports part, a file beside it: write `from . import part`"),
        (
            "class G:\n    name = 'net_sharpe'\n\nGATE = G()\n",
            "calls itself 'net_sharpe', which is a built-in gate",
        ),
    ],
)
def test_a_plug_in_that_cannot_be_used_is_named(folder: Path, text: str, says: str) -> None:
    (folder / "mine.py").write_text(text)
    (folder / "part.py").write_text("X = 1\n")
    reference = plugins.find("gates", "mine:GATE", folder)
    with pytest.raises(PluginError) as caught:
        reference.load()
    assert says in str(caught.value)
    assert f"plug-in 'mine:GATE' (gate, {folder / 'mine.py'})" in str(caught.value)
    assert "other universes and stages go on" in str(caught.value)


def test_a_mended_plug_in_loads_after_it_was_refused(folder: Path) -> None:
    (folder / "mine.py").write_text("1 / 0\n")
    reference = plugins.find("gates", "mine:GATE", folder)
    with pytest.raises(PluginError):
        reference.load()
    (folder / "mine.py").write_text("GATE = 5\n")
    assert reference.load() == 5


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_an_unknown_name_is_refused_with_the_known_ones(kind: str, folder: Path) -> None:
    (folder / "mine.py").write_text(f"{plugins.KINDS[kind].attribute} = 1\n")
    for name in ("nothing_of_that_name", "absent_module_x:MEMBER", "a:b:c", "../x:Y", "os.nothing:Y"):
        with pytest.raises(ConfigError) as caught:
            plugins.find(kind, name, folder)
        said = str(caught.value)
        assert name in said
        assert all(known in said for known in plugins.builtin_names(kind))
        assert f"mine:{plugins.KINDS[kind].attribute}" in said


def test_a_file_outside_the_folder_is_not_reached(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.py").write_text("GATE = 1\n")
    (folder / "linked.py").symlink_to(tmp_path / "secret.py")
    with pytest.raises(ConfigError, match=r"linked.py is a link that leads out of"):
        plugins.find("gates", "linked:GATE", folder)


def test_an_announced_member_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    announce(monkeypatch, ("nofx_pipelines.gates", "turnover", "json:loads"))
    reference = plugins.find("gates", "turnover")
    assert (reference.origin, reference.module) == ("installed", "json")
    assert "turnover" in plugins.known_names("gates")
    with pytest.raises(ConfigError, match="'turnover' is none of this installation's"):
        plugins.find("roles", "turnover")


def test_an_announced_member_named_like_a_built_in_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    announce(
        monkeypatch,
        ("nofx_pipelines.gates", "net_sharpe", "json:loads"),
        ("nofx_pipelines.families", "lightgbm", "json:loads"),
    )
    assert plugins.find("gates", "net_sharpe").origin == "built-in"
    assert [point.value for point in plugins.refused_members("gates")] == ["json:loads"]
    assert plugins.find("families", "lightgbm").name == "gbdt"
    assert plugins.announced_members("families") == []


def test_a_name_that_two_packages_announce_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    announce(
        monkeypatch,
        ("nofx_pipelines.gates", "mine", "json:loads"),
        ("nofx_pipelines.gates", "mine", "os:sep"),
    )
    with pytest.raises(ConfigError, match="announced by several installed packages: json:loads and os:sep"):
        plugins.find("gates", "mine")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", r"raised JSONDecodeError when judging: .* \(part\.py, line 5\);"),
        ("1", r"raised ZeroDivisionError when judging: .* \(mine\.py, line 4\);"),
    ],
)
def test_an_error_names_the_last_line_of_the_home_s_own_files(folder: Path, text: str, says: str) -> None:
    (folder / "part.py").write_text("import json\n\n\ndef read(text):\n    return json.loads(text)\n")
    (folder / "mine.py").write_text(
        "from . import part\n\ndef judge(text):\n    return part.read(text) / 0\n\nGATE = judge\n"
    )
    reference = plugins.find("gates", "mine:GATE", folder)
    judge = reference.load()
    with pytest.raises(PluginError, match=says), reference.guard("judging"):
        judge(text)


def test_an_error_outside_the_home_s_files_names_no_line(folder: Path) -> None:
    (folder / "mine.py").write_text("GATE = 1\n")
    reference = plugins.find("gates", "mine:GATE", folder)
    says = "raised ZeroDivisionError when judging: division by zero;"
    with pytest.raises(PluginError, match=says), reference.guard("judging"):
        1 / 0  # noqa: B018


def test_nothing_is_imported_before_it_is_used(folder: Path) -> None:
    (folder / "mine.py").write_text("raise SystemExit('imported')\n")
    reference = plugins.find("gates", "mine:GATE", folder)
    reference.digest()
    assert plugins.known_names("gates", folder)
    assert plugins.home_files(folder) == [folder / "mine.py"]


def test_a_built_in_s_own_error_is_not_wrapped() -> None:
    reference = plugins.find("gates", "net_sharpe")
    with pytest.raises(ZeroDivisionError), reference.guard("judging"):
        raise ZeroDivisionError


def test_an_error_of_ours_that_a_plug_in_raises_names_it_too(folder: Path) -> None:
    (folder / "mine.py").write_text("GATE = 1\n")
    reference = plugins.find("gates", "mine:GATE", folder)
    with (
        pytest.raises(PluginError, match="raised DataError when judging: no such rows"),
        reference.guard("judging"),
    ):
        raise DataError("no such rows")
    with pytest.raises(DataError), reference.guard("judging", passing=(DataError,)):
        raise DataError("no such rows")


class Judge:
    """What a gate needs, and no more."""

    def judge(self, evidence: object, config: object) -> None:
        return None


@pytest.mark.parametrize(
    ("member", "says"),
    [
        (Judge, r"is the class Judge: assign an instance, Judge\(\)"),
        (3, r"has no method judge\(evidence, config\)"),
        (type("Named", (), {"judge": "no method"})(), r"has no method judge\(evidence, config\)"),
    ],
)
def test_what_lacks_a_method_is_refused(folder: Path, member: object, says: str) -> None:
    (folder / "mine.py").write_text("GATE = 1\n")
    reference = plugins.find("gates", "mine:GATE", folder)
    reference.require(Judge(), "judge(evidence, config)")
    with pytest.raises(PluginError, match=says):
        reference.require(member, "judge(evidence, config)")
