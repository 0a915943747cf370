"""Investigations: a job that looks into one anomaly, and the sensor that starts it for critical ones."""

import json
from pathlib import Path

import dagster as dg

from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.lake.store import Lake
from resources.lake import LakeResource


class Anomaly(dg.Config):
    """Which anomaly to look into."""

    anomaly_id: str


def investigation_job_name(universe: UniverseConfig) -> str:
    """The name of the job."""
    return f"investigate_{universe.name}"


def investigation_job(universe: UniverseConfig, feed: FeedConfig, home: Path) -> dg.JobDefinition:
    """Write a page on one anomaly of ``universe`` under ``home/investigations``."""

    @dg.op(name=f"look_into_{universe.name}")
    def look_into(context: dg.OpExecutionContext, config: Anomaly, lake: LakeResource) -> None:
        from nofx_pipelines.anomaly.investigation import investigate, write_investigation

        page = investigate(lake.open(), universe, feed, config.anomaly_id)
        path = write_investigation(home, universe, config.anomaly_id, page)
        context.add_output_metadata({"page": dg.MetadataValue.md(page), "path": str(path)})

    @dg.job(name=investigation_job_name(universe), description=f"Look into one anomaly of {universe.name}")
    def investigation() -> None:
        look_into()

    return investigation


def critical_sensor(universe: UniverseConfig, lake_root: Path) -> dg.SensorDefinition:
    """Start an investigation for every new critical anomaly of the newest sessions, once each."""

    @dg.sensor(
        name=f"{universe.name}_critical_anomaly",
        job_name=investigation_job_name(universe),
        minimum_interval_seconds=60,
        description=f"A critical anomaly in {universe.name}",
    )
    def critical_anomaly(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        from nofx_pipelines.anomaly.investigation import critical

        seen: list[str] = json.loads(context.cursor or "[]")
        now = critical(Lake(lake_root), universe)
        fresh = [name for name in now if name not in seen]
        if not fresh:
            return dg.SkipReason("no critical anomaly that was not looked into")
        step = f"look_into_{universe.name}"
        requests = [
            dg.RunRequest(
                run_key=name,
                run_config={"ops": {step: {"config": {"anomaly_id": name}}}},
                tags={"nofx/anomaly": name},
            )
            for name in fresh
        ]
        kept = [name for name in seen if name in now]  # what is no longer news needs no memory
        return dg.SensorResult(run_requests=requests, cursor=json.dumps([*kept, *fresh]))

    return critical_anomaly
