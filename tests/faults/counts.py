"""Faults that are tried, and what becomes of them: the table of docs/results.md.

python -m tests.faults.counts  # two minutes; as root, for the full disks
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from nofx_pipelines.errors import FeatureError, LakeError
from nofx_pipelines.features.algebra.function_key import function_key
from nofx_pipelines.lake.query import query
from nofx_pipelines.lake.store import Lake
from tests.faults import full_disk

FLIPS, COMPUTED_FLIPS = 5_000, 60
COMPUTE = """
import datetime as dt, sys
import polars as pl
from nofx_pipelines.features import Feature, FeatureSet, close, compute, ema, rolling_mad, rolling_std
at = [dt.datetime(2024, 1, day, 7, tzinfo=dt.timezone.utc) for day in range(2, 30)]
bars = pl.DataFrame({"instrument_id": "A", "ts_close": at, "close": [1.0 + k * k % 7 for k in range(28)]})
bars = bars.with_columns(session_date=pl.col("ts_close").dt.date())
made = {"mad": rolling_mad(close, 3), "std": rolling_std(close, 5), "ema": ema(close, 4), "odd": close * 2}
features = tuple(Feature(name, expr, "ratio", "x.", False) for name, expr in made.items())
frame = compute(bars, FeatureSet("s", features), bars_per_year=243).frame
print(hash(tuple(map(str, frame.rows()))))
"""


@dataclass(frozen=True)
class Count:
    """One line of the table."""

    fault: str
    tried: int
    answered: int
    """Refused in words of ours, computed again, or told apart."""
    silent: int
    raw: int
    """Tracebacks and processes that end."""


def flips_in_compiled_code() -> Iterator[Count]:
    """One bit in a stored kernel: read with its digest; and computed with, in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        files = _compiled(Path(place))
        rng, answered, raw = random.Random(7), 0, 0
        from nofx_pipelines.kernel_cache import _checked

        for number in range(FLIPS):
            path = files[number % len(files)]
            whole = path.read_bytes()
            path.write_bytes(_flipped(whole, rng))
            try:
                answered += _checked(path) is None
            except Exception:  # noqa: BLE001 (that is what is counted)
                raw += 1
            path.write_bytes(whole)
        assert all(_checked(path) is not None for path in files)
        yield Count("one bit of a compiled kernel, read", FLIPS, answered, FLIPS - answered - raw, raw)

        expected, same, other, ended = _compute(Path(place))[1], 0, 0, 0
        for _ in range(COMPUTED_FLIPS):
            path = rng.choice(files)
            path.write_bytes(_flipped(path.read_bytes(), rng))
            status, said = _compute(Path(place))
            same += status == 0 and said == expected
            other += status == 0 and said != expected
            ended += status != 0
        yield Count("the same, features computed in a new process", COMPUTED_FLIPS, same, other, ended)


def _compiled(home: Path) -> list[Path]:
    status, _ = _compute(home)
    assert status == 0
    return sorted(path for end in ("nbi", "nbc") for path in (home / "kernels").rglob(f"*.{end}"))


def _compute(home: Path) -> tuple[int, str]:
    # a package that cannot be written, so that kernels lie in the home
    code = f"import nofx_pipelines.kernel_cache as k; k._PACKAGE = k.Path('/proc/none')\n{COMPUTE}"
    environment = {**os.environ, "NOFX_HOME": str(home), "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout


def _flipped(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def python_features() -> Iterator[Count]:
    """Functions of one text that read something else, and those that no key covers."""
    from tests.features.algebra.test_function_key import READERS, REFUSED, VALUES, a_compiled_helper

    pairs = [
        (reader, one, other)
        for reader in READERS
        for one, other in VALUES
        if reader is not a_compiled_helper or isinstance(one, (int, float))
    ]
    apart = sum(function_key(reader(one)) != function_key(reader(other)) for reader, one, other in pairs)
    yield Count(
        "Python features of one text that read another value", len(pairs), apart, len(pairs) - apart, 0
    )
    refused = [_outcome(lambda f=function: function_key(f), FeatureError) for _, function, _ in REFUSED]
    yield _counted("Python features that read the clock, files, chance, objects", refused)


def sql_escapes() -> Iterator[Count]:
    """SQL that would read or write something else than tables."""
    from tests.lake.test_query import SELECTS, STATEMENTS

    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "secret.csv").write_text("a\n1\n")
        lake = Lake(Path(place) / "lake")
        rows = full_disk.frame(0.0)
        lake.table("cn", "features").replace(date(2024, 1, 1), date(2024, 1, 11), rows)
        texts = [text.format(place).replace("labels", "features") for text in (*STATEMENTS, *SELECTS)]
        tried = [_outcome(lambda t=text: query(lake, t), LakeError) for text in texts]
    yield _counted("SQL that reaches beyond tables", tried)


def full_disks() -> Iterator[Count]:
    """A disk with less and less room, under every writer."""
    with tempfile.TemporaryDirectory() as place:
        for name, tally in full_disk.inside(Path(place)).items():
            answered = tally.refused + tally.completed
            silent = tally.damaged + tally.unequal
            yield Count(f"a full disk: {name}", tally.attempts, answered, silent, tally.other)


def _outcome(attempt: Callable[[], Any], ours: type[Exception]) -> str:
    try:
        attempt()
    except ours:
        return "answered"
    except Exception:  # noqa: BLE001 (that is what is counted)
        return "raw"
    return "silent"


def _counted(fault: str, outcomes: list[str]) -> Count:
    return Count(fault, len(outcomes), *(outcomes.count(kind) for kind in ("answered", "silent", "raw")))


if __name__ == "__main__":
    print("| fault | tried | answered | silent | raw errors |\n|---|---|---|---|---|")
    for measure in (python_features, sql_escapes, flips_in_compiled_code, full_disks):
        for line in measure():
            print(f"| {' | '.join(f'{v:,}' if isinstance(v, int) else v for v in vars(line).values())} |")
            sys.stdout.flush()
