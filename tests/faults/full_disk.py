"""Writers on a disk with less and less room: what stands on it afterwards, and after there is room again.

python -m tests.faults.full_disk          # prints the table; as root, in a mount namespace of its own
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from nofx_pipelines.config_file import default_config
from nofx_pipelines.errors import StorageError
from nofx_pipelines.features.online.mapped_store import MappedStore
from nofx_pipelines.lake.mart import build_mart
from nofx_pipelines.lake.schemas import FEATURES
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.report.page import write_report
from nofx_pipelines.storage import storage_guard

SIZE_KIB = 4_096
FREE_KIB = (*range(0, 64, 4), *range(64, 512, 16), *range(512, 3_072, 128))
NOW = datetime(2024, 6, 1, tzinfo=UTC)
Write = Callable[[Path, int], None]
Read = Callable[[Path], object]


@dataclass
class Tally:
    """What became of one writer's attempts."""

    attempts: int = 0
    refused: int = 0
    """By StorageError; what stood there reads as before."""
    completed: int = 0
    other: int = 0
    """Errors that do not say that the disk is full."""
    damaged: int = 0
    """What stood there does not read, or as something between before and after."""
    unequal: int = 0
    """After there is room again, another result than on a disk that was never full."""


def frame(value: float) -> pl.DataFrame:
    """Ten sessions of sixty instruments, hardly to be compressed."""
    days = [date(2024, 1, 1) + timedelta(days=number) for number in range(10)]
    rows = pl.DataFrame({"session_date": days}).join(
        pl.DataFrame({"instrument_id": [f"I{n}" for n in range(60)]}), how="cross"
    )
    noise = pl.int_range(pl.len(), dtype=pl.UInt64).hash(int(value)).cast(pl.Float64) / 2.0**64
    rows = rows.with_columns(
        ts_close=pl.col("session_date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        version=pl.lit("v"),
    )
    wide = [(noise + k).alias(f"f{k}") for k in range(20)]
    return rows.select(list(FEATURES.columns)).with_columns(wide)


def _replace(folder: Path, number: int) -> None:
    table = Lake(folder / "lake").table("cn", "features")
    table.replace(date(2024, 1, 1), date(2024, 1, 11), frame(float(number)), run_id=str(number))


def _overwrite(folder: Path, number: int) -> None:
    table = Lake(folder / "lake").table("cn", "gates")
    row = {"model": "m", "version": str(number), "gate": "g", "value": 1.0, "threshold": 0.5}
    more = {"passed": True, "reason": "x" * 5_000, "decided_at": NOW}
    table.overwrite(pl.DataFrame([row | more], schema=table.schema.columns))


def _compact(folder: Path, number: int) -> None:
    table = Lake(folder / "lake").table("cn", "features")
    if number:
        table.compact()
        return
    for day, rows in frame(0.0).partition_by("session_date", as_dict=True).items():
        table.replace(day[0], day[0] + timedelta(days=1), rows)


def _tables(folder: Path) -> object:
    lake = Lake(folder / "lake")
    for scope, name in lake.tables():
        assert lake.table(scope, name).verify().whole
    return {key: lake.table(*key).scan().collect().write_json() for key in lake.tables()}


def _mart(folder: Path, number: int) -> None:
    build_mart(Lake(folder / "lake"), folder / "mart.duckdb", {"t": frame(float(number))})


def _read_mart(folder: Path) -> object:
    import duckdb

    with duckdb.connect(folder / "mart.duckdb", read_only=True) as connection:
        return connection.execute("SELECT sum(f0), count(*) FROM t").fetchall()


def _report(folder: Path, number: int) -> None:
    at = NOW + timedelta(minutes=number)
    write_report(Lake(folder / "lake"), default_config(folder), folder / "report.html", now=at)


def _read_report(folder: Path) -> object:
    page = (folder / "report.html").read_text()
    assert page.endswith("</html>\n")
    return page


def _online(folder: Path, number: int) -> None:
    store = MappedStore(folder / "online" / "features.online")
    entities, names = [f"E{k}" for k in range(200)], [f"f{k}" for k in range(40)]
    values = [[float(number + k)] * len(names) for k in range(200)]
    store.put(entities, [number + 1] * 200, f"v{number}", names, values)
    store.close()


def _read_online(folder: Path) -> object:
    store = MappedStore(folder / "online" / "features.online")
    return store.version, store.get(["E7"], ["f3"]).values.tolist(), len(store.entities())


WRITERS: dict[str, tuple[Write, Read]] = {
    "replace sessions": (_replace, _tables),
    "overwrite a table": (_overwrite, _tables),
    "compact": (_compact, _tables),
    "mart": (_mart, _read_mart),
    "report": (_report, _read_report),
    "online store": (_online, _read_online),
}


@contextmanager
def disk(folder: Path, kib: int) -> Iterator[Path]:
    """A file system of that size under ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def attempt(folder: Path, write: Write, read: Read, free_kib: int, tally: Tally) -> None:
    """Write once, write again with so much room, read, write again with all the room."""
    write(folder, 0)
    before = read(folder)
    ballast = folder / "ballast"
    fill(folder, ballast, free_kib)
    tally.attempts += 1
    try:
        with storage_guard(folder):
            write(folder, 1)
        tally.completed += 1
    except StorageError:
        tally.refused += 1
    except Exception as error:  # noqa: BLE001 (counted, and shown)
        tally.other += 1
        print(f"{free_kib} KiB: {type(error).__name__}: {error}", file=sys.stderr)
    ballast.unlink()
    try:
        between = read(folder)
    except Exception as error:  # noqa: BLE001 (counted, and shown)
        tally.damaged += 1
        print(f"{free_kib} KiB: {type(error).__name__}: {error}", file=sys.stderr)
        return
    write(folder, 1)
    after = read(folder)
    tally.damaged += between not in (before, after)
    with disk(folder / "other", SIZE_KIB) as other:
        write(other, 0)
        write(other, 1)
        tally.unequal += read(other) != after


def fill(folder: Path, ballast: Path, free_kib: int) -> None:
    """Take all room but so much."""
    import shutil

    with ballast.open("wb") as stream:
        while (room := shutil.disk_usage(folder).free - free_kib * 1024) > 0:
            stream.write(bytes(min(room, 2**20)))
            stream.flush()


def measure(folder: Path, step: int) -> dict[str, Tally]:
    """Every writer at every ``step``-th amount of room."""
    tallies = {}
    for name, (write, read) in WRITERS.items():
        tallies[name] = Tally()
        for free in FREE_KIB[::step]:
            with disk(folder, SIZE_KIB):
                attempt(folder, write, read, free, tallies[name])
    return tallies


def inside(folder: Path, step: int = 1) -> dict[str, Tally]:
    """`measure` in a mount namespace of its own; CalledProcessError where that is not allowed."""
    command = ["unshare", "-m", sys.executable, "-m", "tests.faults.full_disk", str(folder), str(step)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    sys.stderr.write(done.stderr)
    return {name: Tally(**tally) for name, tally in json.loads(done.stdout).items()}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measured = measure(Path(sys.argv[1]), int(sys.argv[2]))
        print(json.dumps({name: vars(tally) for name, tally in measured.items()}))
    else:
        import tempfile

        with tempfile.TemporaryDirectory() as place:
            found = inside(Path(place))
        print("| writer | full disks | refused | completed | other errors | damaged | unequal after |")
        print("|---|---|---|---|---|---|---|")
        for name, tally in found.items():
            print(f"| {name} | {' | '.join(str(value) for value in vars(tally).values())} |")
