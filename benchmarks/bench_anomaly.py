"""Scoring by isolation forest, ours against scikit-learn's, and the whole of ``anomaly_scores`` beside it.

    python -m benchmarks.bench_anomaly

Both score with the same fitted trees on one thread; ours walks complete binary trees without a branch.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.ensemble import IsolationForest

from benchmarks.bench_leakcheck import simulated
from benchmarks.timing import machine_table, median_seconds
from nofx_pipelines.anomaly.detectors.isolation_forest import SAMPLES, TREES, Forest
from nofx_pipelines.anomaly.scoring import score_sessions
from nofx_pipelines.config import UniverseConfig

SEED = 7


def forests(rows: int, features: int) -> list[tuple[str, str, str, str]]:
    """Rows a second of both on ``rows`` by ``features`` numbers."""
    x = np.random.default_rng(SEED).standard_t(4, size=(rows, features))
    ours = Forest.fit(x, SEED)
    peer = IsolationForest(n_estimators=TREES, max_samples=SAMPLES, random_state=SEED, n_jobs=1).fit(x)
    largest = float(np.abs(ours.statistics(x) + peer.score_samples(x)).max())
    assert largest < 1e-9, largest
    one = x[:1].copy()
    return [
        *_pair(
            f"{rows:,} x {features}",
            median_seconds(lambda: ours.statistics(x)),
            median_seconds(lambda: peer.score_samples(x)),
            rows,
        ),
        *_pair(
            f"1 x {features}",
            median_seconds(lambda: ours.statistics(one), repeats=50),
            median_seconds(lambda: peer.score_samples(one), repeats=50),
            1,
        ),
    ]


def _pair(shape: str, ours: float, theirs: float, rows: int) -> list[tuple[str, str, str, str]]:
    return [
        (shape, "NOFX, heap forest", f"{ours / rows * 1e6:,.2f}", "1.00x"),
        (shape, "scikit-learn", f"{theirs / rows * 1e6:,.2f}", f"{theirs / ours:.2f}x"),
    ]


def main() -> None:
    """Print both tables."""
    rows = [*forests(100_000, 8), *forests(100_000, 30)]
    print(machine_table("Isolation forest, scoring", ("rows", "", "us a row", "to ours"), rows))
    universe = UniverseConfig(name="cn", market="cn", freq="1d")
    with TemporaryDirectory() as folder:
        bars = simulated(Path(folder), universe)
    days = bars["session_date"].unique().sort().to_list()

    def scored() -> None:
        score_sessions(
            bars, "1d", days, detectors=universe.anomaly.detectors, seed=SEED, detector_version="bench"
        )

    seconds = median_seconds(scored, repeats=3)
    cells = [(f"{bars.height:,}", f"{seconds:.2f}", f"{bars.height / seconds:,.0f}")]
    print(
        machine_table(
            "anomaly_scores with its monthly refits", ("daily bars", "seconds", "bars a second"), cells
        )
    )


if __name__ == "__main__":
    main()
