"""Compiled functions on disk: read where every byte is right, compiled again everywhere else."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from numba import config, types

from nofx_pipelines import kernel_cache
from nofx_pipelines.kernel_cache import identity, kernels_folder

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")

FLIPS = 2_000
COMPILED_FLIPS = 12
TEXT = """
from pathlib import Path
from nofx_pipelines.kernel_cache import cached, cached_callback

@cached(Path(__file__).parent, nogil=True)
def twice(x):
    return 2.0 * x

@cached(Path(__file__).parent, nogil=True)
def half(x):
    return x / 2.0
"""
SIGNATURE = (types.float64,)
_NUMBER = count()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home, and a package that cannot be written, so that kernels go into the home."""
    blocked = tmp_path / "package"
    blocked.write_text("a file, where folders cannot be made")
    monkeypatch.setattr(kernel_cache, "_PACKAGE", blocked)
    monkeypatch.setenv("NOFX_HOME", str(tmp_path / "home"))
    kernel_cache._first_of_ours.cache_clear()
    yield tmp_path / "home"
    kernel_cache._first_of_ours.cache_clear()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with a file of compiled functions."""
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "arithmetic.py").write_text(TEXT)
    return folder


def loaded(folder: Path) -> Any:
    """The file as another process would import it."""
    identity.cache_clear()
    name = f"arithmetic_{next(_NUMBER)}"
    spec = importlib.util.spec_from_file_location(name, folder / "arithmetic.py")
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def read_back(module: Any, name: str = "twice") -> Any:
    """What the cache has of a function, without compiling."""
    dispatcher = getattr(module, name)
    return dispatcher._cache.load_overload(SIGNATURE, dispatcher.targetctx)


def files_of(home: Path, ending: str) -> list[Path]:
    return sorted((home / "kernels").rglob(f"*{ending}"))


def flipped(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def test_what_was_compiled_is_read_by_the_next_process(home: Path, package: Path) -> None:
    first = loaded(package)
    assert first.twice(3.0) == 6.0
    assert sum(first.twice.stats.cache_hits.values()) == 0
    again = loaded(package)
    assert again.twice(3.0) == 6.0
    assert sum(again.twice.stats.cache_hits.values()) == 1
    assert len(files_of(home, ".nbi")) == len(files_of(home, ".nbc")) == 1
    assert stat.S_IMODE((home / "kernels").stat().st_mode) & 0o077 == 0


def test_no_flipped_bit_is_loaded(home: Path, package: Path) -> None:
    module = loaded(package)
    module.twice(3.0)
    rng, unchanged = random.Random(7), 0
    stored = {path: path.read_bytes() for ending in (".nbi", ".nbc") for path in files_of(home, ending)}
    assert len(stored) == 2
    for path, data in stored.items():
        for number in range(FLIPS // 2):
            path.write_bytes(flipped(data, rng) if number % 20 else data)  # every twentieth is a control
            if number % 20:
                assert read_back(module) is None, f"{path.name}, flip {number}"
            elif number % 200 == 0:
                assert read_back(module) is not None
                unchanged += 1
        path.write_bytes(data)
    assert unchanged == 10


@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
def test_a_changed_file_is_compiled_again_and_written_over(home: Path, package: Path, ending: str) -> None:
    loaded(package).twice(3.0)
    (path,) = files_of(home, ending)
    whole, rng = path.read_bytes(), random.Random(ending)
    damaged = [flipped(whole, rng) for _ in range(COMPILED_FLIPS // 2)]
    for data in (*damaged, whole[: len(whole) // 2], b"", bytes(len(whole)), whole + b"more"):
        path.write_bytes(data)
        module = loaded(package)
        assert module.twice(3.0) == 6.0
        assert sum(module.twice.stats.cache_misses.values()) == 1
        after = loaded(package)
        assert after.twice(3.0) == 6.0
        assert sum(after.twice.stats.cache_hits.values()) == 1


def test_one_function_s_code_is_not_another_s(home: Path, package: Path) -> None:
    module = loaded(package)
    assert (module.twice(3.0), module.half(3.0)) == (6.0, 1.5)
    half, twice = files_of(home, ".nbc")
    assert "half" in half.name
    shutil.copy(half, twice)
    assert loaded(package).twice(3.0) == 6.0


def test_other_sources_are_another_kernel(home: Path, package: Path) -> None:
    """A helper's file as much as the function's own: Numba's cache looks at the latter alone."""
    (package / "helper.py").write_text("FACTOR = 2.0\n")
    (package / "arithmetic.py").write_text(
        TEXT.replace("2.0 * x", "FACTOR * x") + "\nimport runpy\nFACTOR = runpy.run_path("
        "str(Path(__file__).parent / 'helper.py'))['FACTOR']\n"
    )
    assert loaded(package).twice(3.0) == 6.0
    (package / "helper.py").write_text("FACTOR = 5.0\n")
    assert loaded(package).twice(3.0) == 15.0
    (package / "helper.py").write_text("FACTOR = 2.0\n")
    back = loaded(package)
    assert back.twice(3.0) == 6.0
    assert sum(back.twice.stats.cache_hits.values()) == 1


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("__version__", "0.0.1"),
        ("numba.__version__", "0.1"),
        ("llvmlite.__version__", "0.1"),
        ("np.__version__", "0.1"),
        ("binding.get_host_cpu_name", lambda: "another"),
        ("binding.llvm_version_info", (1, 2, 3)),
        ("config.CPU_NAME", "generic"),
    ],
)
def test_other_tools_or_another_processor_are_another_kernel(
    home: Path, package: Path, monkeypatch: pytest.MonkeyPatch, where: str, value: Any
) -> None:
    loaded(package).twice(3.0)
    here = identity(package)
    place: Any = kernel_cache
    *parents, name = where.split(".")
    for parent in parents:
        place = getattr(place, parent)
    with monkeypatch.context() as patch:
        patch.setattr(place, name, value)
        identity.cache_clear()
        assert identity(package) != here
        assert read_back(loaded(package)) is None
    assert read_back(loaded(package)) is not None


def test_a_folder_that_somebody_else_may_write_is_not_used(
    home: Path, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    monkeypatch.delenv("NOFX_HOME")
    own = shared / f"nofx-kernels-{os.geteuid()}"

    def chosen() -> Path:
        kernel_cache._first_of_ours.cache_clear()
        return kernels_folder(package)

    assert chosen() == own / identity(package)
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    own.chmod(0o777)
    assert own not in chosen().parents
    shutil.rmtree(own)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    own.symlink_to(elsewhere)
    assert own not in chosen().parents
    assert list(elsewhere.iterdir()) == []
    own.unlink()
    own.write_text("a file")
    assert own not in chosen().parents
    own.unlink()
    if os.geteuid() == 0:
        own.mkdir(mode=0o700)
        os.chown(own, 12345, 12345)
        assert own not in chosen().parents
    home.mkdir(mode=0o777)
    (home / "kernels").mkdir(mode=0o700)
    (home / "kernels").chmod(0o770)
    monkeypatch.setenv("NOFX_HOME", str(home))
    assert home not in chosen().parents
    (home / "kernels").chmod(0o700)
    assert home in chosen().parents


def test_without_room_a_function_is_compiled_and_goes_on(
    home: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        assert loaded(package).twice(3.0) == 6.0
    assert files_of(home, ".nbc") == []
    assert list((home / "kernels").rglob("*.part")) == []
    assert loaded(package).twice(3.0) == 6.0
    assert len(files_of(home, ".nbc")) == 1


CALLER = """
import ctypes, sys
from pathlib import Path
from nofx_pipelines.kernel_cache import cached_callback
def twice(x):
    return 2.0 * x
made = cached_callback(twice, "float64(float64)", Path(sys.argv[1]))
print(made.ctypes(3.0), made.cache_hits)
"""


def test_callbacks_are_read_and_compiled_again_likewise(package: Path, tmp_path: Path) -> None:
    (tmp_path / "caller.py").write_text(CALLER)

    def call() -> str:
        done = subprocess.run(
            [sys.executable, str(tmp_path / "caller.py"), str(package)],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    folder = kernels_folder(package)
    try:
        assert [call(), call()] == ["6.0 0", "6.0 1"]
        (code,) = folder.glob("caller.twice*.nbc")
        code.write_bytes(flipped(code.read_bytes(), random.Random(1)))
        assert [call(), call()] == ["6.0 0", "6.0 1"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
