"""Break every operator of the kernel once and see whether the tests notice.

    python -m tests.features.mutate            # all of them, in about half an hour on one core
    python -m tests.features.mutate sum trend  # some

Each mutation changes one line of a copy of the sources and runs `PROOF` on it, without compiling (so a mutant
takes seconds). A mutant that passes is printed with its line; the exit status is how many did.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROOF = (
    "tests/features/test_mutants.py",
    "tests/features/test_operators.py",
    "tests/features/test_slower.py::test_rows_of_many_instruments_side_by_side",
)
ROWS, BLOCKS, CROSS = (
    f"nofx_pipelines/features/{p}" for p in ("kernel/rows.py", "kernel/blocks.py", "cross_section.py")
)

MUTATIONS: dict[str, tuple[str, str, str]] = {
    "add": (BLOCKS, "row.finite(get(a, r) + get(b, r))", "row.finite(get(a, r) + abs(get(b, r)))"),
    "sub": (BLOCKS, "row.finite(get(a, r) - get(b, r))", "row.finite(get(b, r) - get(a, r))"),
    "mul": (BLOCKS, "row.finite(get(a, r) * get(b, r))", "row.finite(get(a, r) * abs(get(b, r)))"),
    "div": (BLOCKS, "row.finite(get(a, r) / get(b, r))", "get(a, r) / get(b, r)"),
    "neg": (BLOCKS, "put(out, r, -get(a, r))", "put(out, r, get(a, r))"),
    "abs": (BLOCKS, "put(out, r, abs(get(a, r)))", "put(out, r, get(a, r))"),
    "not": (BLOCKS, "put(out, r, 1.0 - get(a, r))", "put(out, r, get(a, r))"),
    "exp": (BLOCKS, "row.finite(np.exp(a))", "np.exp(a)"),
    "atan": (BLOCKS, "return math.atan(a)", "return math.tan(a)"),
    "log": (ROWS, "finite(math.log(a)) if a > 0.0", "finite(math.log(abs(a))) if a != 0.0"),
    "sqrt": (ROWS, "math.sqrt(a) if a >= 0.0", "math.sqrt(abs(a)) if a == a"),
    "sign": (ROWS, "(-1.0 if a < 0.0 else 0.0)", "-1.0"),
    "pow": (ROWS, "finite(a**b)", "finite(abs(a) ** b)"),
    "minimum": (ROWS, "(b if b < a else a)", "(b if b > a else a)"),
    "maximum": (ROWS, "(b if b > a else a)", "(b if b < a else a)"),
    "lt": (ROWS, "(1.0 if a < b else 0.0)", "(1.0 if a <= b else 0.0)"),
    "le": (ROWS, "(1.0 if a <= b else 0.0)", "(1.0 if a < b else 0.0)"),
    "eq": (ROWS, "(1.0 if a == b else 0.0)", "(1.0 if a >= b else 0.0)"),
    "and": (ROWS, "if a == 0.0 or b == 0.0:", "if a == 0.0 and b == 0.0:"),
    "or": (ROWS, "if a == 1.0 or b == 1.0:", "if a == 1.0 and b == 1.0:"),
    "where": (ROWS, "(a if condition != 0.0 else b)", "(b if condition != 0.0 else a)"),
    "is_null": (ROWS, "return 1.0 if a != a else 0.0", "return 0.0 if a != a else 1.0"),
    "fill_null": (ROWS, "return b if a != a else a", "return a"),
    "known": (ROWS, "return np.nan if (a != a or b != b) else 1.0\n", "return np.nan if a != a else 1.0\n"),
    "ref": (BLOCKS, "n - get_int(outs, 2 * k + 1)\n", "n - get_int(outs, 2 * k + 1) + 1\n"),
    "count": (BLOCKS, "n + 1 - get_int(outs, 2 * k + 1)", "n - get_int(outs, 2 * k + 1)"),
    "streak": (ROWS, "return 0.0 if x != x else min(rows", "return min(rows"),
    "sum": (ROWS, "return a + b\n", "return a - b\n"),
    "product": (ROWS, "return a * b\n", "return a + b\n"),
    "min": (ROWS, "    if code == MIN:\n        return b if b < a else a", "    if code == MIN:\n        return b"),
    "max": (ROWS, "    return b if b > a else a\n\n\n@_inline\ndef neutral", "    return a\n\n\n@_inline\ndef neutral"),
    "suffix": (ROWS, "last = merge(code, get(m, ring + j * w), last)", "last = get(m, ring + j * w)"),
    "window end": (ROWS, "(finite(total) if c >= least else np.nan), at, prefix", "(finite(total) if c > least else np.nan), at, prefix"),
    "argmax ties": (ROWS, "where = float(at) if newest else where", "where = float(at)"),
    "argmax place": (ROWS, "found, back = old, at - 1 + n -", "found, back = old, at + n -"),
    "argmax missing": (ROWS, "value = -empty if missing_first else empty", "value = empty"),
    "var": (ROWS, "spread += apart * apart * (before * k * over(c))", "spread += apart * apart * (before * over(c))"),
    "var ddof": (ROWS, "max(spread, 0.0) * over(c - ddof)", "max(spread, 0.0) * over(c)"),
    "var suffix": (ROWS, "            squares += away * away\n            put(m, sums + j * w, total)", "            squares += away\n            put(m, sums + j * w, total)"),
    "skew": (ROWS, "3.0 * mean * s2 + 2.0", "3.0 * mean * s2 + 1.0"),
    "kurt": (ROWS, "6.0 * mean * mean * s2", "5.0 * mean * mean * s2"),
    "shape merge": (ROWS, "3.0 * d * (a * second - b * second_b)", "3.0 * d * (a * second + b * second_b)"),
    "trend": (ROWS, "along += weight * apart * apart_t", "along -= weight * apart * apart_t"),
    "trend suffix": (ROWS, "cross += float(j) * away", "cross += float(j + 1) * away"),
    "trend holes": (ROWS, "            t1 += place\n                t2 += place * place", "            t1 += place\n                t2 += place"),
    "rsquare": (ROWS, "along * along / (span * spread)", "along / (span * spread)"),
    "residual": (ROWS, "(x - mean) + along / span * middle", "(x - mean) - along / span * middle"),
    "wmean": (ROWS, "mean + along / (c * (middle + n))", "mean + along / (c * (middle + n + 1))"),
    "cov": (ROWS, "vxy += weight * gx * gy", "vxy += weight * gx * gx"),
    "corr": (ROWS, "vxy / math.sqrt(vx * vy)", "vxy / vx"),
    "beta": (ROWS, "return finite(along / span)", "return finite(span / along)"),
    "beta residual": (ROWS, "(y - my) - vxy / vx * (x - mx)", "(y - my) + vxy / vx * (x - mx)"),
    "pair suffix": (ROWS, "            sxy += dx * dy\n        put(m, sums", "            sxy += dx * dx\n        put(m, sums"),
    "mad": (ROWS, "away += abs(get(m, j) - mean)", "away += get(m, j) - mean"),
    "order": (ROWS, "right = same if j < gone else after", "right = same"),
    "quantile": (ROWS, "place = q * (size - 1)", "place = q * size"),
    "rank": (ROWS, "(below + 0.5 * (same + 1)) / size", "(below + same) / size"),
    "ewm": (ROWS, "average += (x - average) * alpha", "average += (x - average) * (1.0 - alpha)"),
    "ewm seed": (ROWS, "average /= n", "average /= n + 1"),
    "decayed": (ROWS, "bottom *= 1.0 - alpha", "bottom *= alpha"),
    "recur": (ROWS, "finite(a * last + b)", "finite(a * last - b)"),
    "running": (ROWS, "total = x if begun == 0.0 else", "total ="),
    "since": (ROWS, "return 0.0 if hit else rows + 1.0", "return 1.0 if hit else rows + 1.0"),
    "first since": (ROWS, "elif code != FIRST:", "else:"),
    "start": (ROWS, "    if start:\n        begun = 0.0", "    if start and begun > 1.0:\n        begun = 0.0"),
    "sample": (BLOCKS, "if get(when, r) == 1.0:\n                put(out, k, get(x, r))", "if get(when, r) == get(when, r):\n                put(out, k, get(x, r))"),
    "hold": (BLOCKS, "held = get(y, k)", "held = get(y, 0)"),
    "turned lanes": (BLOCKS, "put_int(lanes, segments, get_int(g[2], s))", "put_int(lanes, segments, 0)"),
    "turned rows": (BLOCKS, "put_int(scratch, segments, before)", "put_int(scratch, segments, 0)"),
    "floor": (BLOCKS, "return np.floor(a)", "return np.ceil(a)"),
    "sar": (ROWS, "point, factor = high, min(factor + step, largest)", "point, factor = high, factor + step"),
    "seasonal": (ROWS, "max(1.0 / seen, 2.0 / (n + 1.0))", "1.0 / seen"),
    "cross rank": (CROSS, "position / wide - 0.5", "position / wide"),
    "cross rank share": (CROSS, "(position + 1.0) / size", "position / size"),
    "cross sum": (CROSS, "np.where(count >= min_count, _sums(group, values[valid]), np.nan)[group]", "np.where(count >= min_count, _sums(group, values[valid]) / count, np.nan)[group]"),
    "zscore": (CROSS, "np.sqrt(squares / (count - 1))", "np.sqrt(squares / count)"),
    "demean": (CROSS, "values - cross_mean(values, groups, min_count)", "values + cross_mean(values, groups, min_count)"),
    "cross mean": (CROSS, "_sums(group, values[valid]) / count\n        out", "_sums(group, values[valid])\n        out"),
    "neutralise": (CROSS, "dy - slope[group] * dx", "dy"),
}  # fmt: skip
"""By name: the file, what stands there once or more, and what is put in its first place."""


def survives(folder: Path, name: str) -> bool:
    """Whether the proof passes on a mutant; RuntimeError when the line is not there."""
    path, old, new = MUTATIONS[name]
    target = folder / path
    source = target.read_text()
    if old not in source:
        raise RuntimeError(f"{name}: {path} has no line {old!r}")
    target.write_text(source.replace(old, new, 1))
    try:
        return proof(folder) == 0
    finally:
        target.write_text(source)


def proof(folder: Path) -> int:
    """The exit status of the tests on a folder's sources."""
    env = {**os.environ, "PYTHONPATH": str(folder), "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:randomly", *PROOF]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True).returncode


def main(names: list[str]) -> int:
    """Print what became of every mutant."""
    chosen, alive = names or list(MUTATIONS), []
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept)
        for tree in ("nofx_pipelines", "tests"):
            shutil.copytree(ROOT / tree, folder / tree, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        if proof(folder):
            print("the tests fail before anything is broken")
            return -1
        for name in chosen:
            begun = time.perf_counter()
            lives = survives(folder, name)
            alive += [name] * lives
            print(
                f"{name:16} {'SURVIVED' if lives else 'noticed'}  {time.perf_counter() - begun:.0f} s",
                flush=True,
            )
    print(f"{len(chosen) - len(alive)} of {len(chosen)} noticed")
    return len(alive)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
