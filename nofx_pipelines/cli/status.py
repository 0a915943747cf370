"""``nofx status``: what is fresh, what is not, and why."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from nofx_pipelines.cli.dagster_home import prepare_dagster_home
from nofx_pipelines.cli.dead_runs import dead_runs
from nofx_pipelines.cli.plan import Selection
from nofx_pipelines.cli.terminal import home_option, say, table
from nofx_pipelines.config_file import load_usable
from nofx_pipelines.errors import DataError, PluginError
from nofx_pipelines.plan import StageState
from nofx_pipelines.storage import is_writable


def show_status(home: Path) -> None:
    """Print one line a stage."""
    from dagster import DagsterInstance

    config, refused = load_usable(home)
    selection = Selection(config, None, None, datetime.now(UTC))
    states: list[StageState] = []
    with ExitStack() as stack:
        instance = None
        left: list[str] = []
        if is_writable(home):
            place = str(prepare_dagster_home(home))
            instance = stack.enter_context(DagsterInstance.from_config(place))
            left = [f"{dead.shown}: {dead.reason}" for dead in dead_runs(instance)]
        else:
            say(f"{home} cannot be written: Dagster's records were not looked at, and nofx run will refuse\n")
        for key, feed in config.feeds.items():
            try:
                above = selection.of_feed(feed, instance)
            except (DataError, PluginError) as error:
                states.append(StageState(feed.scope, feed.source_bars, False, error.problem))
                continue
            states += above.states
            for universe in config.universes.values():
                if (universe.market, universe.freq) == key:
                    below = selection.of_universe(universe, instance, feed_fresh=not above.keys)
                    states += below.states
    rows = [(state.key, "fresh" if state.fresh else "stale", state.reason) for state in states]
    rows += [(name, "refused", str(error)) for name, error in refused.items()]
    say(table(("stage", "state", "reason"), rows))
    from nofx_pipelines.features.streaming.status import stream_lines

    if streams := stream_lines(home):
        say("\n" + table(("stream", "version", "stands at"), streams))
    for line in left:
        say(f"left behind: {line}. Next: nofx run, or nofx doctor --repair")
    stale = sum(not state.fresh for state in states)
    say(
        f"\n{stale} of {len(states)} stages are not fresh"
        + (f". Next: nofx run {home_option(home)}" if stale else "")
    )
