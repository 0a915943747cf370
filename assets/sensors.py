"""Sensors: the inbox, which takes each new file once."""

import hashlib
import json
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg

from assets.jobs import inbox_job_name
from assets.partitions import keys_between
from assets.schedules import RANGE_END, RANGE_START
from nofx_pipelines.config import FeedConfig, SourceConfig
from nofx_pipelines.errors import NofxError
from nofx_pipelines.market.inbox import file_key, inbox_files, inbox_folder


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


def _spans(feed: FeedConfig, files: list[Path]) -> tuple[list[tuple[date, date]], list[str]]:
    from nofx_pipelines.market.sources import open_source

    spans, refused = [], []
    now = datetime.now(UTC)
    for file in files:
        link = SourceConfig(kind="files", path=file)
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
