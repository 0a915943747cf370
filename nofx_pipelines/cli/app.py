"""``nofx``: the commands and their options. Each command's work stands in a module of its name."""

from __future__ import annotations

import os
import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from nofx_pipelines.config import resolve_home
from nofx_pipelines.errors import NofxError
from nofx_pipelines.processes import Terminated
from nofx_pipelines.storage import require_writable, storage_error

app = typer.Typer(
    name="nofx",
    help="From raw bars to a registered model, for A-shares, Hong Kong stocks and crypto.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _pointed_at(home: Path | None) -> Path | None:
    """Point this process at the home: compiled kernels look for their folder there."""
    if home is not None:
        os.environ["NOFX_HOME"] = str(resolve_home(home))
    return home


Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        help="Folder of all state; else $NOFX_HOME, else .nofx.",
        show_default=False,
        callback=_pointed_at,
    ),
]


def run() -> None:
    """Entry point of the console script."""
    try:
        app()
    except NofxError as error:
        from nofx_pipelines.cli.terminal import plain

        sys.stderr.write(f"nofx: {plain(str(error))}\n")
        sys.exit(2)
    except Exception as error:
        from nofx_pipelines.cli.terminal import plain

        known = storage_error(error, resolve_home())  # the home that a command was given
        if known is None:
            raise
        sys.stderr.write(f"nofx: {plain(str(known))}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("nofx: interrupted; what was committed stays. Next: nofx run goes on from there\n")
        sys.exit(130)
    except Terminated:
        sys.stderr.write("nofx: terminated; what was committed stays. Next: nofx run goes on from there\n")
        sys.exit(143)


@app.command()
def init(
    home: Home = None,
    market: Annotated[str | None, typer.Option(help="cn, hk or crypto; guessed from the files.")] = None,
    freq: Annotated[str | None, typer.Option(help="1d, 1h, 30m, 15m, 5m or 1m; guessed.")] = None,
    source: Annotated[str | None, typer.Option(help="files or simulated.")] = None,
    path: Annotated[Path | None, typer.Option(help="A file or folder of bars, for files.")] = None,
    name: Annotated[str | None, typer.Option(help="The new universe's name.")] = None,
) -> None:
    """Write nofx.toml, or extend it by a universe; shows what was recognised in the files."""
    from nofx_pipelines.cli.init import init_home

    init_home(
        require_writable(resolve_home(home)), market=market, freq=freq, source=source, path=path, name=name
    )


@app.command(name="run")
def run_command(
    home: Home = None,
    universe: Annotated[str | None, typer.Option(help="Names, comma-separated; all by default.")] = None,
    start: Annotated[
        str | None, typer.Option(help="First date, YYYY-MM-DD; daily bars run by whole months.")
    ] = None,
    end: Annotated[
        str | None, typer.Option(help="Date after the last, YYYY-MM-DD; daily bars run by whole months.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of sources, searches and gates.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Recompute what is fresh, too.")] = False,
) -> None:
    """Bring every stage up to date, from bars to signals, mart and report."""
    from nofx_pipelines.cli.run import RunOptions, run_universes

    options = RunOptions.parse(require_writable(resolve_home(home)), universe, start, end, seed, force)
    raise typer.Exit(run_universes(options))


@app.command()
def status(home: Home = None) -> None:
    """What is fresh, what is not, and why."""
    from nofx_pipelines.cli.status import show_status

    show_status(resolve_home(home))


@app.command()
def ui(
    home: Home = None,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
    mlflow_port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
) -> None:
    """Dagster's UI on this home, and MLflow's beside it; both on loopback only."""
    from nofx_pipelines.cli.ui import serve

    raise typer.Exit(serve(require_writable(resolve_home(home)), port, mlflow_port))


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="SELECT over the lake's tables, or SHOW TABLES.")],
    home: Home = None,
    format: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
    timeout: Annotated[float, typer.Option(help="Seconds after which it is stopped.")] = 300.0,
    memory: Annotated[
        str | None, typer.Option(help="What it may take, e.g. 4GB; half of the machine's by default.")
    ] = None,
    allow_files: Annotated[
        bool, typer.Option("--allow-files", help="It may read files too: read_csv('…'), 'x.parquet'.")
    ] = False,
) -> None:
    """Query the lake's tables; each has a leading column `scope`. It reads tables and nothing else."""
    from nofx_pipelines.cli.sql import run_sql

    run_sql(resolve_home(home), query, format, timeout_s=timeout, memory=memory, allow_files=allow_files)


features_app = typer.Typer(
    help="What features there are, how they look, how they stand now.", no_args_is_help=True
)
app.add_typer(features_app, name="features")


@features_app.command(name="list")
def features_list(
    set_: Annotated[list[str] | None, typer.Option("--set", help="A set; repeat it; all by default.")] = None,
    format: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
    home: Home = None,
) -> None:
    """Every feature with its unit, lookback and warm-up."""
    from nofx_pipelines.cli.features import list_features

    list_features(resolve_home(home), set_ or [], format)


@features_app.command(name="show")
def features_show(
    name: Annotated[str, typer.Argument(help="A feature, or set.feature.")], home: Home = None
) -> None:
    """A feature's formula, reach, unit and version."""
    from nofx_pipelines.cli.features import show_feature

    show_feature(resolve_home(home), name)


@features_app.command(name="plot")
def features_plot(
    name: Annotated[list[str], typer.Argument(help="Features.")],
    universe: Annotated[
        str | None, typer.Option(help="Of this universe's table; else simulated bars.")
    ] = None,
    instrument: Annotated[str | None, typer.Option(help="An instrument id; the first by default.")] = None,
    output: Annotated[Path, typer.Option(help="The page to write.")] = Path("features.html"),
    home: Home = None,
) -> None:
    """Draw features of one instrument."""
    from nofx_pipelines.cli.features import plot_features

    plot_features(name, universe, instrument, resolve_home(home), output)


@features_app.command(name="catalogue")
def features_catalogue(
    output: Annotated[Path, typer.Option(help="The page to write.")] = Path("catalogue.html"),
    home: Home = None,
) -> None:
    """Write a page of all features with formula, lookback, unit and picture."""
    from nofx_pipelines.cli.features import write_features_page

    write_features_page(resolve_home(home), output)


@features_app.command(name="get")
def features_get(
    universe: Annotated[str, typer.Option(help="The universe.")],
    entity: Annotated[
        list[str] | None, typer.Option(help="An instrument id; repeat it; all by default.")
    ] = None,
    name: Annotated[list[str] | None, typer.Option(help="A feature; repeat it; all by default.")] = None,
    home: Home = None,
    format: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
    namespace: Annotated[str, typer.Option(help="A store beside the universe's.")] = "",
) -> None:
    """The newest vectors from the online store, with event time, version, age and status."""
    from nofx_pipelines.cli.features import get_features

    get_features(resolve_home(home), universe, entity or [], name or [], format, namespace)


@app.command()
def stream(
    source: Annotated[str, typer.Option(help="replay, redis or ccxt.")] = "replay",
    universe: Annotated[str | None, typer.Option(help="Whose bars, sets and store.")] = None,
    bars: Annotated[Path | None, typer.Option(help="Replay this Parquet file instead.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Sets; the universe's by default.")] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="Replay from this session on, handed over to by a batch before it; ccxt: bars from this UTC "
            "date on, 500 bars ago without it."
        ),
    ] = None,
    key: Annotated[str, typer.Option(help="The Redis Stream; the server is $NOFX_REDIS_URL.")] = "bars",
    bar_minutes: Annotated[int, typer.Option(help="Trades become bars of so many minutes.")] = 1,
    exchange: Annotated[
        str, typer.Option(help="ccxt: its name of the exchange; no key is needed.")
    ] = "binance",
    symbol: Annotated[
        list[str] | None,
        typer.Option(help="ccxt: BTC/USDT, BTC/USDT:USDT for the perpetual; repeat it."),
    ] = None,
    timeframe: Annotated[str, typer.Option(help="ccxt: length of a bar, 1m to 1d.")] = "1m",
    idle: Annotated[
        float | None,
        typer.Option(help="Redis, ccxt: end after so many seconds without a new bar; never without it."),
    ] = None,
    state: Annotated[Path | None, typer.Option(help="Where to keep the state; goes on from it.")] = None,
    save_every: Annotated[int, typer.Option(help="Moments between two saves.")] = 100,
    grace: Annotated[
        float, typer.Option(min=0, help="Redis: a trade so many seconds late still corrects its bar.")
    ] = 10.0,
    namespace: Annotated[
        str, typer.Option(help="Another store beside the universe's, for another version of features.")
    ] = "",
    home: Home = None,
) -> None:
    """Features of bars as they come, into the online store; goes on where it was stopped or killed."""
    from nofx_pipelines.cli.stream import Source, run_stream

    read = Source(
        source,
        bars=bars,
        start=date.fromisoformat(start) if start else None,
        key=key,
        bar_minutes=bar_minutes,
        exchange=exchange,
        symbols=tuple(symbol or ()),
        timeframe=timeframe,
        idle_s=idle,
        grace_s=grace,
    )
    run_stream(
        require_writable(resolve_home(home)),
        read,
        universe=universe,
        sets=set_ or [],
        state=state,
        save_every=save_every,
        namespace=namespace,
    )


@app.command()
def anomalies(
    home: Home = None,
    universe: Annotated[str | None, typer.Option(help="One universe; all by default.")] = None,
    severity: Annotated[str, typer.Option(help="Lowest that is shown: low, medium, high, critical.")] = "low",
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 20,
    recovery: Annotated[bool, typer.Option("--recovery", help="Count planted ones found, per kind.")] = False,
) -> None:
    """What looked odd, why, and how loud; newest first."""
    from nofx_pipelines.cli.anomalies import show_anomalies, show_recovery

    if recovery:
        show_recovery(resolve_home(home), universe)
    else:
        show_anomalies(resolve_home(home), universe, severity, limit)


@app.command()
def triage(
    anomaly: Annotated[str, typer.Argument(help="An anomaly's id, or the beginning of it.")],
    state: Annotated[str, typer.Argument(help="open, confirmed or dismissed.")],
    universe: Annotated[str, typer.Option(help="The universe that it belongs to.")],
    home: Home = None,
    note: Annotated[str | None, typer.Option(help="What you know about it.")] = None,
) -> None:
    """Decide about an anomaly; the decision stays when it is found again."""
    from nofx_pipelines.cli.anomalies import decide

    decide(require_writable(resolve_home(home)), universe, anomaly, state, note)


@app.command()
def models(home: Home = None) -> None:
    """Registered models with their aliases, figures and lineage."""
    from nofx_pipelines.cli.models import show_models

    show_models(resolve_home(home))


@app.command()
def reproduce(
    model: Annotated[str, typer.Argument(help="MODEL, MODEL@alias or MODEL/version.")], home: Home = None
) -> None:
    """Retrain a registered model from its recorded inputs and compare the weights byte for byte."""
    from nofx_pipelines.cli.models import reproduce_model

    raise typer.Exit(reproduce_model(resolve_home(home), model))


@app.command()
def report(
    home: Home = None,
    output: Annotated[
        Path | None, typer.Option(help="The page to write; report/index.html of the home without it.")
    ] = None,
) -> None:
    """Build the HTML report from what stands in the lake and print its path."""
    from nofx_pipelines.cli.report import write_report

    write_report(resolve_home(home), output)


@app.command()
def compact(
    home: Home = None,
    recent: Annotated[int, typer.Option(min=1, help="Newest versions of each table that stay.")] = 30,
) -> None:
    """Merge small files and remove old versions; those behind registered models stay."""
    from nofx_pipelines.cli.compact import compact_home

    compact_home(require_writable(resolve_home(home)), recent)


# the command's name in 0.1.0; it goes with the version after this one
app.command(name="tidy", hidden=True, deprecated=True, help="The old name of `nofx compact`.")(compact)


@app.command(name="plugins")
def plugins_command(
    home: Home = None,
    kind: Annotated[str | None, typer.Option(help="One kind of member; all by default.")] = None,
    format: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
) -> None:
    """The members of every kind: built in, in the home's folder plugins, announced by packages."""
    from nofx_pipelines.cli.plugins import list_plugins

    list_plugins(resolve_home(home), kind, format)


@app.command()
def new(
    kind: Annotated[str, typer.Argument(help="What to write: `nofx plugins` lists the kinds.")],
    name: Annotated[str, typer.Argument(help="The file's name: letters, digits and _.")],
    home: Home = None,
) -> None:
    """Write a working member of that kind and its test into the home's folder plugins."""
    from nofx_pipelines.cli.new import write_skeleton

    write_skeleton(require_writable(resolve_home(home)), kind, name)


@app.command()
def doctor(
    home: Home = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="End dead runs, give back their slots, end their backfills.")
    ] = False,
) -> None:
    """Check the installation, the configuration, the tables' bytes, and what is left behind."""
    from nofx_pipelines.cli.doctor import examine

    place = resolve_home(home)
    raise typer.Exit(examine(require_writable(place) if repair else place, repair=repair))
