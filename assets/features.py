"""``<universe>/features``: every feature set of the universe in one table."""

from typing import Any

import dagster as dg

from assets.stage import Shown, StageView
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.stages import StageRun


def _show(result: Any, run: StageRun, table: LakeTable) -> Shown:
    from nofx_pipelines.features.algebra.user_functions import failures_of
    from nofx_pipelines.features.online.drift import MUCH, feature_drift
    from nofx_pipelines.features.sets.registry import universe_features

    drift = feature_drift(run.lake, run.universe)
    moved = drift.moved if drift else []
    check = dg.AssetCheckResult(
        check_name="drift",
        passed=not moved,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "above": MUCH,
            "and_above": "what is usual for the feature",
            "moved": ", ".join(moved[:20]),
            "known": drift is not None,
        },
    )
    declared = universe_features(run.universe)
    return Shown(
        rows=result.rows,
        seconds=result.seconds,
        more={
            "sessions_written": len(result.written),
            "sessions_fresh": len(result.fresh),
            "psi": dg.MetadataValue.json(dict(list(drift.psi.items())[:20]) if drift else {}),
        },
        checks=[check],
        described={f.name: f"{f.description} ({f.unit})" for f in declared.features},
        problems=[
            f"{f.name}: its function raised {errors} times, last {said}"
            for f in declared.features
            for errors, said in [failures_of(f.expr)]
            if errors
        ],
    )


VIEW = StageView(
    kinds=frozenset({"numba", "deltalake"}),
    description=lambda universe: (
        f"Feature sets {', '.join(universe.features)}, resumed from the session before"
    ),
    show=_show,
    checks=[("drift", "The newest sessions' features are distributed as those before (PSI)", False)],
)
