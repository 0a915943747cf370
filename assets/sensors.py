"""Sensors: the inbox, which takes each new file once, and the throne, whose new holder signals at once."""

import hashlib
import json
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg

from assets.jobs import inbox_job_name, signals_job_name
from assets.partitions import keys_between
from assets.schedules import RANGE_END, RANGE_START
from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.errors import NofxError
from nofx_pipelines.market.inbox import file_key, inbox_files, inbox_folder, inbox_link


def inbox_sensor(feed: FeedConfig, home: Path) -> dg.SensorDefinition:
    """Ingest the files dropped into ``$NOFX_HOME/inbox/<market>/<freq>/``.

    All files that came since the last look make one run over the sessions that they hold. A file
    is known by its content: copied again it is not taken again, rewritten it is.
    """

    @dg.sensor(
        name=inbox_job_name(feed),
        job_name=inbox_job_name(feed),
        minimum_interval_seconds=30,
        description=f"New files in inbox/{feed.market}/{feed.freq}",
    )
    def inbox(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        seen: list[str] = json.loads(context.cursor or "[]")
        fresh = {key: f for f in inbox_files(feed, home) if (key := file_key(f)) not in seen}
        if not fresh:
            return dg.SkipReason(f"nothing new in {inbox_folder(feed, home)}")
        cursor = json.dumps([*seen, *fresh])
        spans, refused = _spans(feed, list(fresh.values()))
        keys = spans and keys_between(
            feed, min(s for s, _ in spans), max(e for _, e in spans), datetime.now(UTC)
        )
        if not keys:
            why = "; ".join(refused) or f"their sessions lie outside {feed.start} .. {feed.end or 'now'}"
            context.log.warning(f"nothing usable in {', '.join(f.name for f in fresh.values())}: {why}")
            return dg.SensorResult(run_requests=[], cursor=cursor)
        run_key = hashlib.sha256("".join(sorted(fresh)).encode()).hexdigest()
        request = dg.RunRequest(
            run_key=run_key,
            tags={
                RANGE_START: keys[0],
                RANGE_END: keys[1],
                "nofx/inbox": ", ".join(f.name for f in fresh.values())[:200],
            },
        )
        return dg.SensorResult(run_requests=[request], cursor=cursor)

    return inbox


def champion_sensor(universe: UniverseConfig, home: Path) -> dg.SensorDefinition:
    """Refresh ``signals`` when ``@champion`` moved, by a run's gates or by hand; once for each version."""

    @dg.sensor(
        name=f"{universe.name}_champion",
        job_name=signals_job_name(universe),
        minimum_interval_seconds=60,
        description=f"A new champion of {universe.name}",
    )
    def champion(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        from nofx_pipelines.lake.store import Lake
        from nofx_pipelines.promotion.signals import signalled_version
        from nofx_pipelines.registry.tracking import Tracker

        reigning = Tracker(home).alias(universe.model_name, "champion")
        if reigning is None or reigning == context.cursor:
            return dg.SkipReason(f"{universe.model_name}@champion is version {reigning or 'none'} as before")
        if signalled_version(Lake(home / "lake"), universe) == reigning:
            return dg.SensorResult(skip_reason="its signals are there already", cursor=reigning)
        request = dg.RunRequest(run_key=f"{universe.model_name}/{reigning}", tags={"nofx/champion": reigning})
        return dg.SensorResult(run_requests=[request], cursor=reigning)

    return champion


def _spans(feed: FeedConfig, files: list[Path]) -> tuple[list[tuple[date, date]], list[str]]:
    from nofx_pipelines.market.sources import open_source

    spans, refused = [], []
    now = datetime.now(UTC)
    for file in files:
        link = inbox_link(feed, file)
        try:
            source = open_source(
                link,
                market=feed.market,
                freq=feed.freq,
                start=feed.start,
                end=feed.end or now.date(),
                now=now,
            )
            spans.append(source.span())
        except NofxError as error:
            refused.append(f"{file.name}: {error}")
    return spans, refused
