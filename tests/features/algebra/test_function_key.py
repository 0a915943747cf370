"""A function's key: other for every other thing that it reads, the same for the same, or a refusal."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import functools
import importlib.util
import logging
import math
import os
import random
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
from numba import njit
from scipy.stats import kurtosis, skew, spearmanr
from sklearn.metrics import r2_score

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.algebra.function_key import _version_of, function_key

FACTOR = 2.0
TABLE = {"a": [1.0, 2.0]}
log = logging.getLogger(__name__)
COUNTER = [0]
GENERATOR = np.random.default_rng(7)
BARS = pl.DataFrame({"a": [1.0]})


def made(body: str, **names: Any) -> Any:
    """The function ``f`` of a source text, with globals of its own."""
    scope: dict[str, Any] = {"__name__": "a_users_module", "np": np, "math": math, **names}
    exec(compile(textwrap.dedent(body), "a_users_module.py", "exec"), scope)  # noqa: S102
    return scope["f"]


def closing(value: Any) -> Any:
    def inner(x: Any) -> Any:
        return x.mean() * value

    return inner


def default(value: Any) -> Any:
    def inner(x: Any, k: Any = value) -> Any:
        return x.mean() * k

    return inner


def keyword(value: Any) -> Any:
    def inner(x: Any, *, k: Any = value) -> Any:
        return x.mean() * k

    return inner


def a_global(value: Any) -> Any:
    return made("def f(x): return x.mean() * K", K=value)


def a_global_of_a_helper(value: Any) -> Any:
    return made("def f(x): return g(x)\ndef g(x): return h(x) + 1\ndef h(x): return x.mean() * K", K=value)


def inside_a_lambda(value: Any) -> Any:
    return made("def f(x): return sum(map(lambda one: one * K, x))", K=value)


def a_module(value: Any) -> Any:
    module = ModuleType("constants")
    module.inner = ModuleType("constants.inner")  # type: ignore[attr-defined]
    module.inner.K = value  # type: ignore[attr-defined]
    return made("def f(x): return x.mean() * constants.inner.K", constants=module)


def a_whole_module(value: Any) -> Any:
    module = ModuleType("constants")
    module.K = value  # type: ignore[attr-defined]
    return made("def f(x): return x.mean() * getattr(constants, 'K')", constants=module)


def a_module_of_its_closure(value: Any) -> Any:
    module = ModuleType("constants")
    module.K = value  # type: ignore[attr-defined]

    def inner(x: Any) -> Any:
        return x.mean() * module.K

    return inner


def an_object(value: Any) -> Any:
    class Scaled:
        def __init__(self, k: Any) -> None:
            self.k = k

        def __call__(self, x: Any) -> Any:
            return x.mean() * self.k

    return Scaled(value)


def a_method(value: Any) -> Any:
    return an_object(value).__call__


def with_slots(value: Any) -> Any:
    class Slotted:
        __slots__ = ("k",)

        def __init__(self, k: Any) -> None:
            self.k = k

        def __call__(self, x: Any) -> Any:
            return x.mean() * self.k

    return Slotted(value)


def a_class_attribute(value: Any) -> Any:
    class Scaled:
        K = value

        def __call__(self, x: Any) -> Any:
            return x.mean() * self.K

    return Scaled()


def a_base_class(value: Any) -> Any:
    class Base:
        K = value

    class Scaled(Base):
        def __call__(self, x: Any) -> Any:
            return x.mean() * self.K

    return Scaled()


def a_dataclass(value: Any) -> Any:
    @dataclasses.dataclass(frozen=True)
    class Scaled:
        k: Any

        def __call__(self, x: Any) -> Any:
            return x.mean() * self.k

    return Scaled(value)


def a_field_default(value: Any) -> Any:
    @dataclasses.dataclass(frozen=True)
    class Parameters:
        k: Any = dataclasses.field(default_factory=lambda: value)

    return made("def f(x): return x.mean() * P().k", P=Parameters)


def a_named_tuple(value: Any) -> Any:
    class Pair(NamedTuple):
        a: Any
        b: Any = 1

    return closing(Pair(value))


def an_enum(value: Any) -> Any:
    class Kind(enum.Enum):
        A = value

    return made("def f(x): return x.mean() * Kind.A.value", Kind=Kind)


def a_partial(value: Any) -> Any:
    return functools.partial(made("def f(k, x): return x.mean() * k"), value)


def a_decorated(value: Any) -> Any:
    def times(function: Any) -> Any:
        @functools.wraps(function)
        def inner(x: Any) -> Any:
            return function(x) * value

        return inner

    return times(made("def f(x): return x.mean()"))


def wrapping_a_library(value: Any) -> Any:
    @functools.wraps(np.mean)
    def inner(x: Any) -> Any:
        return x.mean() * value

    return inner


def a_cached_helper(value: Any) -> Any:
    return made("def f(x): return g() * x.mean()", g=functools.cache(made("def f(): return K", K=value)))


def a_compiled_helper(value: Any) -> Any:
    return made("def f(x): return g(x)", g=njit(made("def f(x): return x[0] * K", K=value)))


def a_function_s_attribute(value: Any) -> Any:
    function = made("def f(x): return x.mean() * f.k")
    function.k = value
    return function


def an_import_inside(value: Any, folder: Path = Path()) -> Any:
    name = f"constants_of_{abs(hash(str(value)))}"
    module = sys.modules[name] = ModuleType(name)
    module.K = value  # type: ignore[attr-defined]
    function = made(f"def f(x):\n    import {name} as c\n    return x.mean() * c.K")
    other = made(f"def f(x):\n    from {name} import K\n    return x.mean() * K")
    return (function, other)


READERS = [
    closing, default, keyword, a_global, a_global_of_a_helper, inside_a_lambda, a_module, a_whole_module,
    a_module_of_its_closure, an_object, a_method, with_slots, a_class_attribute, a_base_class, a_dataclass,
    a_field_default, a_named_tuple, an_enum, a_partial, a_decorated, wrapping_a_library, a_cached_helper,
    a_compiled_helper, a_function_s_attribute,
]  # fmt: skip
VALUES: list[tuple[Any, Any]] = [
    (2, 3),
    (2, 2.0),
    (1, True),
    (0.0, -0.0),
    (float("nan"), 1.0),
    ("a", b"a"),
    (None, 0),
    ((1, 2), [1, 2]),
    ((1, (2, 3)), ((1, 2), 3)),
    ([1, [2]], [1, [3]]),
    ({"a": 1, "b": 2}, {"a": 1, "b": 3}),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({1, 2}, {1, 3}),
    (np.array([1.0, 2.0]), np.array([1.0, 3.0])),
    (np.zeros(4), np.zeros((2, 2))),
    (np.zeros(2), np.zeros(2, np.float32)),
    (np.float64(1), np.float32(1)),
    (dt.date(2024, 1, 1), dt.date(2024, 1, 2)),
    (re.compile("a"), re.compile("a", re.IGNORECASE)),
    (collections.deque([1]), collections.deque([2])),
    (max, min),
    (np.mean, np.median),
    (np.sin, np.cos),
    (math.sqrt, math.exp),
    (str.upper, str.lower),
    (lambda x: x.max(), lambda x: x.min()),
    (lambda x: x + 1, lambda x: x + 2),
    (lambda x: {1, 2}, lambda x: {1, 3}),
    (dt.timedelta(1), dt.timedelta(2)),
    (Path("a"), Path("b")),
]


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_what_is_read_is_part_of_the_key(reader: Callable[[Any], Any]) -> None:
    for one, other in VALUES:
        if reader is a_compiled_helper and not isinstance(one, (int, float)):
            continue
        first = function_key(reader(one))
        assert first == function_key(reader(one)), one
        assert first != function_key(reader(other)), (one, other)
        assert first.partition(":")[0] == function_key(reader(other)).partition(":")[0]


def test_an_import_inside_is_read_too() -> None:
    for function, other in zip(an_import_inside(2.0), an_import_inside(3.0), strict=True):
        assert function_key(function) != function_key(other)


def test_two_lambdas_of_one_line_and_a_loop_s_functions() -> None:
    pair = (lambda x: x.max()), (lambda x: x.min())
    loop = [lambda x, k=k: x.mean() * k for k in range(5)]
    late = [closing(k) for k in range(5)]
    assert len({function_key(f) for f in (*pair, *loop, *late)}) == 12


def test_what_changes_nothing_changes_no_key() -> None:
    plain = made("def f(x): return x.mean() * 2")
    assert function_key(made("# why\n\n\ndef f(x):\n    return x.mean() * 2  # twice")) == function_key(plain)
    assert function_key(made("def f(x): return x.mean() * 2", K=3)) == function_key(plain)
    assert function_key(a_global({"a", "b", "c"})) == function_key(a_global({"c", "b", "a"}))
    module = ModuleType("constants")
    module.K, module.other = 2.0, GENERATOR  # type: ignore[attr-defined]
    reading = made("def f(x): return x.mean() * constants.K", constants=module)
    assert function_key(reading) != function_key(a_module(2.0))  # and `other` is not read


def test_what_calls_itself_has_a_key() -> None:
    def down(x: Any, n: int = 3) -> Any:
        return x.mean() if n == 0 else down(x, n - 1)

    looped: list[Any] = [1.0]
    looped.append(looped)
    assert function_key(down) == function_key(down)
    assert function_key(closing(looped)) == function_key(closing(looped))


def test_every_process_has_the_same_keys(tmp_path: Path) -> None:
    (tmp_path / "helpers.py").write_text("SCALE = {'a', 'b', 'c', 'd'}\ndef g(x): return len(SCALE) * x[0]\n")
    (tmp_path / "mine.py").write_text(
        "import math\nimport numpy as np\nfrom helpers import g\nimport helpers\n"
        "def scaled(k):\n    def f(x): return g(x) * k + math.pi + len(helpers.SCALE) + np.log(x).sum()\n"
        "    return f\n"
    )
    (tmp_path / "ask.py").write_text(
        "from nofx_pipelines.features.algebra.function_key import function_key\nimport mine\n"
        "print(function_key(mine.scaled({'x': 1.5, 'y': {'p', 'q', 'r'}})))\n"
    )
    said = {
        subprocess.run(
            [sys.executable, str(tmp_path / "ask.py")],
            check=True,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert said.pop().startswith("scaled.<locals>.f:")


def test_a_file_of_the_user_s_is_read_whatever_its_module_is_called(tmp_path: Path) -> None:
    keys = []
    for name, value in (("one", 2.0), ("two", 2.0), ("three", 3.0)):
        path = tmp_path / f"{name}.py"
        path.write_text(f"K = {value}\ndef f(x): return x.mean() * K\n")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        keys.append(function_key(module.f))
    assert keys[0] == keys[1] != keys[2]


class Holder:
    def __init__(self, held: Any) -> None:
        self.held = held

    def __call__(self, x: Any) -> float:
        return float(x.mean() * len(str(self.held)))


REFUSED: list[tuple[str, Any, str]] = [
    ("the clock", lambda x: time.time() * x[0], "`time.time`.*the clock"),
    (
        "the clock, imported inside",
        made("def f(x):\n    from time import time\n    return time()"),
        "the clock",
    ),
    ("now", lambda x: x[0] * dt.datetime.now().hour, r"datetime\.now`, the clock"),
    ("today", made("def f(x): return date.today().day", date=dt.date), "the clock"),
    ("a file", lambda x: float(open("k.txt").read()) * x[0], "open"),  # noqa: SIM115
    ("a file by numpy", lambda x: np.load("k.npy")[0] * x[0], r"np\.load`, a file"),
    ("a file by polars", lambda x: pl.read_csv("k.csv").item() * x[0], r"pl\.read_csv`, a file"),
    ("the environment", lambda x: float(os.environ["K"]) * x[0], r"os\.environ`, an object of os\._Environ"),
    ("another program", lambda x: subprocess.run(["ls"]).returncode, "subprocess"),
    ("chance", lambda x: random.random() * x[0], "Random"),
    ("chance by numpy", lambda x: np.random.rand() * x[0], "RandomState"),
    ("no seed", lambda x: np.random.default_rng().normal() * x[0], "without a seed"),
    ("a generator", lambda x: GENERATOR.normal() * x[0], "`GENERATOR.normal`, an object of numpy.*Generator"),
    ("a frame", lambda x: BARS.height * x[0], r"`BARS\.height`, an object of polars.*DataFrame"),
    ("text that is run", lambda x: eval("1.0") * x[0], "eval"),  # noqa: S307
    ("an array of objects", closing(np.array([object()])), "an array of Python objects"),
    ("a plain object", closing(object()), "`value` of its closure, an object of builtins.object"),
    ("a handle", closing(sys.stdout), "an object of"),
    ("an object inside an object", Holder([GENERATOR]), r"itself\.held\[0\], an object of numpy"),
    ("an object in a default", default({"a": GENERATOR}), r"default arguments\[0\]\['a'\], an object"),
    (
        "what a helper reads",
        made("def f(x): return g(x)", g=closing(GENERATOR)),
        "the global `g` → `value` of its closure, an object of numpy",
    ),
    ("a bound method of a library's object", closing(GENERATOR.normal), "Generator"),
]


@pytest.mark.parametrize(
    ("function", "why"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_what_no_digest_covers_is_refused_by_name(function: Any, why: str) -> None:
    with pytest.raises(
        FeatureError, match=f"Python function '.*' cannot be keyed: it reads .*{why}"
    ) as raised:
        function_key(function)
    assert raised.value.kept
    assert raised.value.hint


def test_a_seed_is_covered() -> None:
    assert function_key(lambda x: np.random.default_rng(7).normal() * x[0])
    assert function_key(lambda x: random.Random(7).random() * x[0])
    assert function_key(lambda x: x[0] * os.path.join("a", "b").count("a"))
    assert function_key(lambda x: log.debug("here") or x[0])


def test_what_packages_decorate_is_theirs() -> None:
    """Their wrappers close over objects of all kinds; the version of the package says it all."""
    stats = [skew, kurtosis, spearmanr, r2_score, np.median, functools.reduce, math.hypot]
    keys = [function_key(made("def f(x): return g(x)", g=function)) for function in stats]
    assert len(set(keys)) == len(stats)
    assert keys == [function_key(made("def f(x): return g(x)", g=function)) for function in stats]


def test_another_version_of_a_package_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = function_key(made("def f(x): return g(x)", g=skew))
    plain = function_key(made("def f(x): return x[0]"))
    _version_of.cache_clear()
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.0.1")
    assert function_key(made("def f(x): return g(x)", g=skew)) != before
    assert function_key(made("def f(x): return x[0]")) == plain
    _version_of.cache_clear()


def test_state_from_row_to_row_is_refused() -> None:
    def counting(x: Any) -> Any:
        global FACTOR
        FACTOR += 1
        return x.mean() * FACTOR

    count = 0

    def counting_in_its_closure(x: Any) -> Any:
        nonlocal count
        count += 1
        return x.mean() * count

    with pytest.raises(FeatureError, match="reads the global 'FACTOR' and changes it"):
        function_key(counting)
    with pytest.raises(FeatureError, match="reads 'count' of its closure and changes it"):
        function_key(counting_in_its_closure)


def test_what_is_nested_without_end_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(FeatureError, match="nested too deep"):
        function_key(closing(deep))
