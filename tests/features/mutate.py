"""Break every operator of the kernel once and see whether the tests notice.

    python -m tests.features.mutate            # all of them, in ten minutes to half an hour on one core
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
    "tests/features/algebra/test_operators.py",
    "tests/features/algebra/test_resampling.py::test_rows_of_many_instruments_side_by_side",
)
ROWS, WINDOWS, CLOCKS, MOVES, PLAIN, WIDE, EIGHTS, HISTORIES, ENTRIES, TILES = (
    f"nofx_pipelines/features/kernel/{name}.py"
    for name in (
        "rows",
        "windows",
        "clocks",
        "copies",
        "elementwise",
        "wide",
        "simd",
        "histories",
        "entries",
        "tiles",
    )
)
CROSS, TABLES, LANES = (
    f"nofx_pipelines/features/{name}.py"
    for name in ("execution/cross_section", "kernel/instruction_tables", "streaming/instrument_state")
)

MUTATIONS: dict[str, tuple[str, str, str]] = {
    "add": (PLAIN, "row.finite(a + b)", "row.finite(a + abs(b))"),
    "sub": (PLAIN, "row.finite(a - b)", "row.finite(b - a)"),
    "mul": (PLAIN, "row.finite(a * b)", "row.finite(a * abs(b))"),
    "div": (PLAIN, "row.finite(a / b)", "a / b"),
    "neg": (PLAIN, "lambda a, b, c: -a", "lambda a, b, c: a"),
    "abs": (PLAIN, "lambda a, b, c: abs(a)", "lambda a, b, c: a"),
    "not": (PLAIN, "lambda a, b, c: 1.0 - a", "lambda a, b, c: a"),
    "exp": (PLAIN, "row.finite(np.exp(a))", "np.exp(a)"),
    "atan": (PLAIN, "math.atan(a)", "math.tan(a)"),
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
    "ref": (WINDOWS, "n - get_int(outs, 2 * k + 1)\n", "n - get_int(outs, 2 * k + 1) + 1\n"),
    "count": (WINDOWS, "n + 1 - get_int(outs, 2 * k + 1)", "n - get_int(outs, 2 * k + 1)"),
    "streak": (ROWS, "return 0.0 if x != x else min(rows", "return min(rows"),
    "sum": (ROWS, "return a + b\n", "return a - b\n"),
    "long prefix": (WINDOWS, "row.nothing(code) if at == 0 else prefix", "prefix"),
    "long before": (WINDOWS, "put(older, j - at - 1, get", "put(older, j - at, get"),
    "long suffixes": (WINDOWS, "put(older, stop + there - 1, whole)", "put(older, stop + there, whole)"),
    "long rest": (WINDOWS, "put(older, stop + j - 1, whole)", "put(older, stop + j, whole)"),
    "long last": (WINDOWS, "put(older, stop - 1, row.nothing(code))", "put(older, stop - 1, whole)"),
    "long state": (WINDOWS, "get(older, rows - at + j - 1)", "get(older, rows - at + j)"),
    "long values": (WINDOWS, "get(x, lo + rows - at + j)", "get(x, lo + j)"),
    "long whole": (WINDOWS, "    put(m, ring, whole)\n", ""),
    "long nothing": (ROWS, "return -0.0 if code == SUM else neutral(code)", "return neutral(code)"),
    "long finite": (WINDOWS, "row.finite(row.merge(code, get(older, q), get(line, q)))", "row.merge(code, get(older, q), get(line, q))"),
    "long order": (WINDOWS, "get(older, q), get(line, q)", "get(line, q), get(older, q)"),
    "long enough": (WINDOWS, "rows >= max(n, _LONG)", "rows >= _LONG"),
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
    "sample": (CLOCKS, "if get(when, r) == 1.0:\n                put(out, k, get(x, r))", "if get(when, r) == get(when, r):\n                put(out, k, get(x, r))"),
    "hold": (CLOCKS, "held = get(y, k)", "held = get(y, 0)"),
    "turned back": (MOVES, "put(own, r, get(register, r * WIDTH + s))", "put(own, r, get(register, r * WIDTH))"),
    "turned eights": (MOVES, "put_eight(target, 3 * TURNS, t[3])", "put_eight(target, 3 * TURNS, t[2])"),
    "copied": (MOVES, "put(target, r, get(source, r))", "put(target, r, get(source, 0))"),
    "turned lanes": (CLOCKS, "put_int(lanes, kept, get_int(get_int(g, 2), s))", "put_int(lanes, kept, 0)"),
    "turned rows": (CLOCKS, "put_int(starts, kept, before)", "put_int(starts, kept, 0)"),
    "floor": (PLAIN, "np.floor(a)", "np.ceil(a)"),
    "sar": (ROWS, "point, factor = high, min(factor + step, largest)", "point, factor = high, factor + step"),
    "seasonal": (ROWS, "max(1.0 / seen, 2.0 / (n + 1.0))", "1.0 / seen"),
    "eight add": (WIDE, "finite(a + b)", "finite(a + sizes(b))"),
    "eight sub": (WIDE, "finite(a - b)", "finite(b - a)"),
    "eight mul": (WIDE, "finite(a * b)", "finite(a * sizes(b))"),
    "eight div": (WIDE, "finite(a / b)", "a / b"),
    "eight neg": (WIDE, "lambda a, b, c: -a", "lambda a, b, c: a"),
    "eight abs": (WIDE, "lambda a, b, c: sizes(a)", "lambda a, b, c: a"),
    "eight sqrt": (WIDE, "pick(a >= 0.0, roots(a), np.nan)", "roots(sizes(a))"),
    "eight minimum": (WIDE, "pick((a != a) | (b != b), np.nan, pick(b < a, b, a))", "pick(b < a, b, a)"),
    "eight maximum": (WIDE, "pick((a != a) | (b != b), np.nan, pick(b > a, b, a))", "pick(b > a, b, a)"),
    "eight lt": (WIDE, "_whether(a, b, a < b)", "_whether(a, b, a <= b)"),
    "eight le": (WIDE, "_whether(a, b, a <= b)", "_whether(a, b, a < b)"),
    "eight eq": (WIDE, "_whether(a, b, a == b)", "_whether(a, b, a >= b)"),
    "eight whether": (WIDE, "np.nan, pick(holds, 1.0, 0.0)", "0.0, pick(holds, 1.0, 0.0)"),
    "eight and": (WIDE, "pick((a == 0.0) | (b == 0.0), 0.0", "pick((a == 0.0) & (b == 0.0), 0.0"),
    "eight or": (WIDE, "pick((a == 1.0) | (b == 1.0), 1.0", "pick((a == 1.0) & (b == 1.0), 1.0"),
    "eight where": (WIDE, "pick(a != 0.0, b, c)", "pick(a != 0.0, c, b)"),
    "eight is null": (WIDE, "pick(a != a, 1.0, 0.0)", "pick(a != a, 0.0, 1.0)"),
    "eight fill null": (WIDE, "pick(a != a, b, a)", "a"),
    "eight not": (WIDE, "lambda a, b, c: 1.0 - a", "lambda a, b, c: a"),
    "eight known": (WIDE, "pick((a != a) | (b != b), np.nan, 1.0),\n", "pick(a != a, np.nan, 1.0),\n"),
    "eight finite": (WIDE, "pick(sizes(value) < np.inf, value, np.nan)", "value"),
    "eight missing": (WIDE, "pick(value == value, value, row.neutral(code))", "value"),
    "eight sum": (WIDE, "        return a + b\n", "        return a - b\n"),
    "eight product": (WIDE, "        return a * b\n", "        return a + b\n"),
    "eight min": (WIDE, "        return pick(b < a, b, a)", "        return b"),
    "eight max": (WIDE, "    return pick(b > a, b, a)", "    return a"),
    "eight suffix": (WIDE, "last = _merge(code, get_eight(m, ring + j * w), last)", "last = get_eight(m, ring + j * w)"),
    "eight window end": (WIDE, "pick(get_eight(valid, r) >= least, finite(total)", "pick(get_eight(valid, r) > least, finite(total)"),
    "eight argmax ties": (WIDE, "moved = (better | (value == best)) if newest else better", "moved = better | (value == best)"),
    "eight argmax place": (WIDE, "(at - 1 + n) - get_eight(m, kept", "(at + n) - get_eight(m, kept"),
    "eight argmax missing": (WIDE, "-empty if missing_first else empty", "empty"),
    "eight var": (WIDE, "gap * gap * (before * k * share_n)", "gap * gap * (before * share_n)"),
    "eight var ddof": (WIDE, "row.over(n - ddof)", "row.over(float(n))"),
    "eight var suffix": (WIDE, "                q += away * away\n                put_eight(m, sums + j * w, t)\n                put_eight(m, sums + (n + j) * w, q)\n            put", "                q += away\n                put_eight(m, sums + j * w, t)\n                put_eight(m, sums + (n + j) * w, q)\n            put"),
    "eight trend": (WIDE, "along += weight * gap * gap_t", "along -= weight * gap * gap_t"),
    "eight trend suffix": (WIDE, "p += float(j) * away", "p += float(j + 1) * away"),
    "eight trend full": (WIDE, "at, filled = 0, True", "at = 0"),
    "eight rsquare": (WIDE, "along * along / (span * spread)", "along / (span * spread)"),
    "eight residual": (WIDE, "(value - mean) + along / span * middle", "(value - mean) - along / span * middle"),
    "eight wmean": (WIDE, "mean + along / (c * (middle + n))", "mean + along / (c * (middle + n + 1))"),
    "eight cov": (WIDE, "vxy += weight * gx * gy", "vxy += weight * gx * gx"),
    "eight corr": (WIDE, "q = vxy / roots(vx * vy)", "q = vxy / vx"),
    "eight beta": (WIDE, "finite(vxy / vx)", "finite(vx / vxy)"),
    "eight beta residual": (WIDE, "(vy_now - my) - vxy / vx", "(vy_now - my) + vxy / vx"),
    "eight pair suffix": (WIDE, "        sxy += dx * dy\n        put_eight(m, sums", "        sxy += dx * dx\n        put_eight(m, sums"),
    "eight ref": (WIDE, "            i = at - get_int(outs, 2 * k + 1)\n            value", "            i = at - get_int(outs, 2 * k + 1) + 1\n            value"),
    "eight count": (WIDE, "found = get_eight(m, counted + k * w) + valid - old", "found = get_eight(m, counted + k * w) + valid"),
    "eight streak": (WIDE, "pick(there, pick(more < n, more, float(n)), 0.0)", "pick(more < n, more, float(n))"),
    "eight order": (WIDE, "pick(gone > j, same, after)", "same"),
    "eight quantile": (WIDE, "place = level * (n - 1)", "place = level * n"),
    "eight rank": (WIDE, "(below + 0.5 * (equal + 1.0)) / n", "(below + equal) / n"),
    "ready": (WIDE, "full &= every(get_eight(valid, r + k * apart) == n)", "full &= True"),
    "sorted and full": (WIDE, "full &= every(get_eight(m, b + w) == n)", "full &= True"),
    "turned over": (EIGHTS, "tuple(np.array(rows).T.copy())", "tuple(np.array(rows).copy())"),
    "eights' ends": (HISTORIES, "ends[begins[i], 0] = t[s]", "pass"),
    "eights' state": (HISTORIES, "states[i, k] = memory[base[k] + s * apart[k]]", "pass"),
    "eights' snapshots": (HISTORIES, "snapshots[begins[i], j] = memory", "snapshots[begins[i] - 1, j] = memory"),
    "valid bits": (HISTORIES, "last += there <<", "last += 1 <<"),
    "one row of a condition": (ENTRIES, "if get_int(g, 0) > 0:  # no row", "if True:  # no row"),
    "one row's column": (TILES, "put_int(f, _REGISTERS, lo * 8)", "put_int(f, _REGISTERS, 0)"),
    "register's address": (TABLES, "registers.ctypes.data + places", "registers.ctypes.data + 8 + places"),
    "panel's address": (TABLES, "panel.ctypes.data + (-2 - places)", "panel.ctypes.data + (-1 - places)"),
    "thread's tiles": (LANES, "self.tiles[first:]", "self.tiles[0:]"),
    "thread's rows": (LANES, "self.bounds[first:]", "self.bounds[0:]"),
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
