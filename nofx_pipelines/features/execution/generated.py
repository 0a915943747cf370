"""Kernels of one program: written to a folder, compiled in another process, loaded when they are ready."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.execution.numba_engine import Plan
from nofx_pipelines.features.kernel.cache import sources_hash
from nofx_pipelines.features.kernel.instruction_tables import Fixed, clustered
from nofx_pipelines.features.kernel.source import source_of

_READY = ".ready"
_LOOK_S = 0.05


def default_folder() -> Path | None:
    """``$NOFX_HOME/kernels``, where a home is set."""
    home = os.environ.get("NOFX_HOME")
    return Path(home) / "kernels" if home else None


def can_generate(plan: Plan) -> bool:
    """Whether one row of one instrument is all that the program looks at."""
    return len(plan.passes) == 1 and not plan.passes[0].cross


def text_of(plan: Plan) -> str:
    """The source text of the program's kernel."""
    code = plan.program.instructions
    fixed: dict[int, Fixed] = {
        i.dst: float(i.params[0]) if i.op == "constant" else str(i.params[0])
        for i in code
        if i.op in ("constant", "parameter")
    }
    columns = [i.dst for i in code if i.op == "column"]
    outputs = [register for _, register in plan.program.outputs]
    return source_of(plan.program.version, clustered(plan.layout.steps), columns, outputs, fixed)


class Generated:
    """A program's kernel, in the background until it is compiled.

    >>> from tempfile import mkdtemp
    >>> from nofx_pipelines.features import close, ref
    >>> from nofx_pipelines.features.execution.numba_engine import plan_of
    >>> from nofx_pipelines.features.program.lowering import lower
    >>> Generated(plan_of(lower({"gain": close - ref(close, 1)})), Path(mkdtemp())).kernel is None
    True
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        text = text_of(plan)
        name = f"program_{plan.program.version}_{_digest(text.encode())}"
        self.path = folder.resolve() / sources_hash() / f"{name}.py"
        self.kernel: Callable[..., Any] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        if not self.path.exists() or self.path.read_bytes() != text.encode():
            self._write(text)
        if self._marker.exists():
            self.kernel = load(self.path)

    @property
    def _marker(self) -> Path:
        return self.path.with_suffix(_READY)

    def _write(self, text: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._marker.unlink(missing_ok=True)
        draft = self.path.with_suffix(f".{os.getpid()}.part")
        draft.write_text(text, encoding="utf-8")
        draft.replace(self.path)

    def begin(self) -> None:
        """Compile in another process, unless that was done or is being done, by whomever."""
        if self.kernel is None and not self._compiling():
            command = [sys.executable, "-m", "nofx_pipelines.features.execution.generated", str(self.path)]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )

    def ready(self, wait_s: float = 0.0) -> bool:
        """Whether the kernel is there; loads it when it has become so, waits up to ``wait_s`` for that."""
        until = time.monotonic() + wait_s
        while self.kernel is None:
            compiling = self._compiling()
            if self._marker.exists():
                self.kernel = load(self.path)  # its text was compared, or written, when this was made
            elif not compiling or time.monotonic() >= until:
                break
            else:
                time.sleep(_LOOK_S)
        return self.kernel is not None

    def _compiling(self) -> bool:
        """Whether our process, or one of somebody else, is at it."""
        if self._process is not None and self._process.poll() is None:
            return True
        with _one_process(self.path) as ours:
            return not ours


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]


class _Written(SourceFileLoader):
    """Compiles a kernel's text, once it has the hash in its name; bytecode from the disk is not looked at."""

    def get_code(self, fullname: str) -> CodeType:
        text = self.get_data(self.path)
        if not self.name.endswith(_digest(text)):
            raise FeatureError(
                f"{self.path} is not the kernel that was written there",
                kept="the program runs by its tables",
                hint=f"delete {Path(self.path).parent}; it is written again",
            )
        code: CodeType = self.source_to_code(text, self.path)
        return code


def load(path: Path) -> Any:
    """The function ``push`` of a written kernel; FeatureError where its text is another one."""
    name = f"nofx_kernel_{path.stem}"  # what Numba's cache looks its globals up in
    spec = importlib.util.spec_from_file_location(name, path, loader=_Written(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module.push


@contextmanager
def _one_process(path: Path) -> Iterator[bool]:
    """Whether nobody else compiles this kernel; it is ours then."""
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def compile_at(path: Path) -> None:
    """Compile a written kernel into its cache and mark it as ready, unless another process is at it."""
    with _one_process(path) as ours:
        if ours:
            _compile(path)


def _compile(path: Path) -> None:
    from numba import types

    push = load(path)
    array = types.Array(types.float64, 1, "C")
    signature = (types.Array(types.int64, 1, "C"), types.int64, types.int64, array, array, types.float64)
    push.compile(signature)
    path.with_suffix(_READY).touch()


if __name__ == "__main__":
    os.nice(10)  # whatever serves meanwhile goes first
    compile_at(Path(sys.argv[1]))
