"""One home that brings a member of every kind: `nofx run` uses each, reports it, and sees it change.

The members are those that ``nofx new`` writes, which are the recipes of CONTRIBUTING.
"""

from __future__ import annotations

import html
import json
import math
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from safetensors.numpy import load

from nofx_pipelines import plugins
from nofx_pipelines.cli.new import write_skeleton
from nofx_pipelines.config import Config, SourceConfig
from nofx_pipelines.config_file import load_config
from nofx_pipelines.graph import STAGES
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.inbox import with_inbox
from nofx_pipelines.market.sources import open_source
from nofx_pipelines.models.dataset import feature_columns
from nofx_pipelines.nas.refresh import space_of
from nofx_pipelines.plan import plan_feed, plan_universe
from nofx_pipelines.registry.tracking import Tracker
from tests.end_to_end.conftest import command

pytestmark = pytest.mark.xdist_group("plugins")

START, CHANGES, END = date(2024, 1, 1), date(2025, 4, 1), date(2025, 6, 1)
"""The source delivers up to the second date, files in a broker's format what comes after."""
NAMES = {kind: f"my_{kind}:{of.attribute}" for kind, of in plugins.KINDS.items()}
TOML = f"""
[markets.cn.1d]
start = {START}
end = {END}
sources = [
  {{ kind = "{NAMES["sources"]}", options = {{ path = "bars.jsonl" }} }},
  {{ kind = "files", path = "PATH", formats = ["{NAMES["formats"]}"] }},
]

[universes.mine]
market = "cn"
freq = "1d"
features = ["technical", "{NAMES["features"]}"]
families = ["ridge", "{NAMES["families"]}", "network"]
labels = {{ kind = "{NAMES["labels"]}" }}
folds = {{ count = 3 }}
search = {{ trials = 3, sampler = "{NAMES["samplers"]}" }}
nas = {{ trials = 2, epochs = 1, rows = 500, lookback = 3, strategy = "{NAMES["strategies"]}" }}
anomaly = {{ detectors = ["robust_z", "rules", "{NAMES["detectors"]}"] }}
gates = {{ resamples = 200, use = ["net_sharpe", "leak_check", "{NAMES["gates"]}"] }}

[universes.mine.marl]
algorithm = "{NAMES["algorithms"]}"
task = "{NAMES["tasks"]}"
roles = ["trend_follower", "{NAMES["roles"]}", "risk_manager"]
rewards = ["role", "{NAMES["rewards"]}"]
iterations = 2
envs = 4
window = 20
seeds = [7]
"""
MARKS = {
    "sources": ('pl.format("{}:{}", pl.lit(self._path.name)', 'pl.format("{}:{}", pl.lit("marked")'),
    "formats": ("timedelta(hours=3)", "timedelta(hours=3, minutes=17)"),
    "features": ("close / ref(close, 10) - 1,", "close / ref(close, 10) + 41,"),
    "labels": ("return Labelled(value)", "return Labelled(value + 50.0)"),
    "detectors": ("SLACK = 0.5", "SLACK = 0.4321"),
    "families": ('"clip": self.prepared.clip}', '"clip": self.prepared.clip, "mark": "left by fit"}'),
    "samplers": ("places = rng.uniform(size=len(", "places = np.full(fill_value=0.3141, shape=len("),
    "strategies": (
        "unseen(space, space.random(rng), history, rng)",
        "space.canonical([len(d.values) - 1 - number % 2 * (len(d.values) > 1) for d in space.decisions])",
    ),
    "algorithms": ("hidden: tuple[int, ...] = (32,)", "hidden: tuple[int, ...] = (19,)"),
    "roles": ("outcome.own[:, me] - outcome.index", "500.0 + outcome.own[:, me] - outcome.index"),
    "tasks": ("capital: float = 100_000.0", "capital: float = 100.0"),
    "rewards": ("-self.fine * outcome.deeper", "1000.0 - self.fine * outcome.deeper"),
    "gates": ("MAX_TURNOVER = 0.25", "MAX_TURNOVER = 0.2345"),
}
"""A change of each skeleton that leaves in the results what no other member's code does."""
TRAINED = {"candidate_model", "champion", "signals"}
LEARNED = {"training_set", "hpo_study", "nas_search", *TRAINED}
AGENTS = {"marl_training", "marl_policy"}
# searches, and what follows them alone, wait for their refresh when only data may have moved
INGESTED = {
    *("source_bars_1d", "bars", "features", "online_features", "labels", "training_set"),
    *("anomaly_scores", "anomalies", "anomaly_clusters", "signals"),
}
STALE = {
    "sources": INGESTED,
    "formats": INGESTED,
    "features": {"features", "online_features", *LEARNED},
    "labels": {"labels", *LEARNED},
    "detectors": {"anomaly_scores", "anomalies", "anomaly_clusters"},
    "families": {"hpo_study", *TRAINED},
    "samplers": {"hpo_study", *TRAINED},
    "strategies": {"nas_search", *TRAINED},
    "algorithms": AGENTS,
    "roles": AGENTS,
    "tasks": AGENTS,
    "rewards": AGENTS,
    "gates": {"champion", "signals"},
}
"""The stages that a change of a kind's member makes stale: these, and no others."""
RUNS_IT = {
    "features": "features",
    "labels": "labels",
    "detectors": "anomaly_scores",
    "families": "hpo_study",
    "samplers": "hpo_study",
    "strategies": "nas_search",
    "gates": "champion",
} | dict.fromkeys(("algorithms", "roles", "tasks", "rewards"), "marl_training")
"""The first stage that runs a kind's member; sources and formats are the ingestion's."""


def write_data(home: Path) -> None:
    """Bars of the simulator as a vendor's lines and as a broker's statements."""
    source = open_source(
        SourceConfig(kind="simulated", instruments=8),
        market="cn",
        freq="1d",
        start=START,
        end=END,
        now=datetime(2026, 1, 1, tzinfo=UTC),
    )
    bars = pl.concat([batch.bars for batch in source.batches(START, END)])
    bars = bars.filter(pl.col("status") == "traded").sort("session_date", "instrument_id")
    day = pl.col("session_date").dt.to_string()
    numbers = ("open", "high", "low", "close", "volume", "amount")
    early = bars.filter(pl.col("session_date") < CHANGES)
    early.select(pl.col("instrument_id").alias("id"), day.alias("day"), *numbers).write_ndjson(
        home / plugins.FOLDER / "bars.jsonl"
    )
    late = bars.filter(pl.col("session_date") >= CHANGES).select(
        pl.col("instrument_id").alias("Ticker"),
        day.alias("Trade Day"),
        pl.col("open").alias("Open Px"),
        pl.col("high").alias("High Px"),
        pl.col("low").alias("Low Px"),
        pl.col("close").alias("Last Px"),
        (pl.col("volume") / 100).alias("Lots"),
        pl.col("amount").alias("Turnover"),
    )
    (home / "statements").mkdir()
    late.write_csv(home / "statements" / "harbour.csv")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The home after its first run, and what the run said; read it, do not change it."""
    home = tmp_path_factory.mktemp("plugged")
    for kind in plugins.KINDS:
        write_skeleton(home, kind, f"my_{kind}")
        file, (text, marked) = home / plugins.FOLDER / f"my_{kind}.py", MARKS[kind]
        assert text in file.read_text()
        file.write_text(file.read_text().replace(text, marked))
    write_data(home)
    (home / "nofx.toml").write_text(TOML.replace("PATH", str(home / "statements")))
    return home, command(home)("run").stdout


@pytest.fixture
def home(ran: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy that a test may change."""
    # the statements stay where they were: files under another path are read again
    shutil.copytree(ran[0], tmp_path / "home")
    return tmp_path / "home"


def rows(home: Path, name: str, scope: str = "mine") -> pl.DataFrame:
    return Lake(home / "lake").table(scope, name).scan().collect()


def test_what_was_ingested_labelled_and_searched_bears_the_members_marks(ran: tuple[Path, str]) -> None:
    home, said = ran
    assert "failed" not in said
    bars = rows(home, "source_bars_1d", "cn")
    early, late = (
        bars.filter(pl.col("session_date") < CHANGES),
        bars.filter(pl.col("session_date") >= CHANGES),
    )
    assert min(early.height, late.height) > 100
    assert set(early["raw_ref"].str.extract(r"^(.*):\d+$")) == {"marked"}
    lag = late.select(pl.col("knowledge_time") - pl.col("ts_close")).to_series().unique().to_list()
    assert lag == [timedelta(hours=3, minutes=17)]
    for table in ("features", "training_set"):
        momentum = rows(home, table)["my_features_momentum_10"].drop_nulls()
        assert len(momentum) > 1_000
        assert momentum.is_between(41.0, 43.5).all()
    assert rows(home, "labels")["forward_return"].drop_nulls().is_between(30.0, 70.0).all()
    scores = rows(home, "anomaly_scores").filter(pl.col("detector") == NAMES["detectors"])["neg_log10_p"]
    assert scores.is_not_null().sum() > 100
    (learned,) = Tracker(home).artifacts.rglob("detectors.json")
    assert '"slack": 0.4321' in learned.read_text()


def test_trials_models_and_verdicts_bear_the_members_marks(ran: tuple[Path, str]) -> None:
    home, _ = ran
    config = load_config(home).universes["mine"]
    proposed = [json.loads(params) for params in rows(home, "hpo_trials").sort("trial")["params"][1:]]
    penalty = math.exp(math.log(0.001) + 0.3141 * math.log(300.0))
    assert proposed == [{"penalty": pytest.approx(penalty), "l1_share": pytest.approx(0.3141 * 0.95)}] * 2
    scale_free = len(feature_columns(rows(home, "training_set")))
    space = space_of(config.nas, scale_free, config.labels.horizon)
    most = [len(decision.values) for decision in space.decisions]
    expected = [space.canonical([size - 1 - back * (size > 1) for size in most]) for back in (0, 1)]
    searched = rows(home, "nas_trials").filter(pl.col("fidelity") < 1.0).sort("trial")["genotype"]
    assert [tuple(genotype) for genotype in searched] == expected
    tracker = Tracker(home)
    candidate = tracker.load("nofx-signal-mine@champion")
    (onnx,) = [file for file in tracker.artifacts.rglob("model.onnx") if file.read_bytes() == candidate.onnx]
    model = json.loads((onnx.parent / "model.json").read_text())
    assert (model["mark"], set(model["params"])) == ("left by fit", {"penalty", "l1_share"})
    verdict = rows(home, "gates").filter(pl.col("gate") == NAMES["gates"]).row(0, named=True)
    assert verdict["threshold"] == 0.2345
    assert verdict["reason"].startswith("turnover of a session is at most ")
    page = (home / "report" / "index.html").read_text()
    assert html.escape(verdict["reason"]) in page
    assert "my_roles" in page


def test_teams_and_their_accounts_bear_the_members_marks(ran: tuple[Path, str]) -> None:
    home, _ = ran
    history = rows(home, "marl_history").unnest("reward_components", "losses")
    assert set(history["agent"]) == {"trend_follower", "my_roles", "risk_manager"}
    assert (history["value"].null_count(), history["policy"].null_count()) == (history.height, 0)  # no critic
    mine = pl.col("agent") == "my_roles"
    # in each of twenty bars 1,000 for everybody by the reward, and 500 by the role; returns are far below
    assert history.filter(mine)["reward"].is_between(29_000.0, 31_000.0).all()
    assert history.filter(~mine)["reward"].is_between(19_000.0, 21_000.0).all()
    weights = load(rows(home, "marl_teams")["weights"][0])
    assert {size for array in weights.values() for size in array.shape} & {19, 32, 64} == {19}
    # with 100 of money nobody can buy a lot of 100 shares
    assert (rows(home, "policy_equity")["turnover"] == 0.0).all()


def test_the_report_names_every_plug_in_and_the_hash_of_its_sources(ran: tuple[Path, str]) -> None:
    home, _ = ran
    page = (home / "report" / "index.html").read_text()
    for kind, name in NAMES.items():
        assert name in page
        assert plugins.find(kind, name, home / plugins.FOLDER).digest() in page


def test_lineage_names_what_made_a_model(ran: tuple[Path, str]) -> None:
    home, _ = ran
    folder = home / plugins.FOLDER
    tracker = Tracker(home)
    models = tracker.models()
    signal = tracker.load("nofx-signal-mine@champion").tags
    agents = tracker.load(f"nofx-agents-mine/{models.filter(name='nofx-agents-mine')['version'][0]}").tags
    recorded = json.loads(signal["nofx.plugins"])
    assert plugins.find("features", NAMES["features"], folder).digest() in recorded.values()
    team = json.loads(agents["nofx.plugins"])
    for kind in ("algorithms", "tasks", "roles", "rewards"):
        assert plugins.find(kind, NAMES[kind], folder).digest() in team.values()


def stale(config: Config) -> dict[str, str]:
    """The stages that are not fresh, ingestion included, and why."""
    lake, now = Lake(config.lake), datetime.now(UTC)
    feed, universe = config.feeds["cn", "1d"], config.universes["mine"]
    span = {"start": START, "end": END, "now": now}
    fed = plan_feed(lake, config, with_inbox(feed, config.home, now), **span)
    states = plan_universe(lake, feed, universe, feed_fresh=fed.fresh, **span)
    return {state.stage: state.reason for state in (fed, *states) if not state.fresh}


def test_nothing_is_stale_and_a_changed_member_makes_stale_what_runs_it_and_what_follows(home: Path) -> None:
    config = load_config(home)
    assert stale(config) == {}
    for kind in plugins.KINDS:
        file = home / plugins.FOLDER / f"my_{kind}.py"
        text = file.read_text()
        file.write_text(text + "\n# another thought\n")
        moved = stale(load_config(home))
        file.write_text(text)
        assert set(moved) == STALE[kind], kind
        if kind in RUNS_IT:
            assert moved[RUNS_IT[kind]].startswith("code or settings changed"), (kind, moved)
    assert stale(load_config(home)) == {}


def test_status_says_so_too(home: Path) -> None:
    assert f"\n0 of {1 + len(STAGES)} stages are not fresh" in command(home)("status").stdout
    file = home / plugins.FOLDER / "my_gates.py"
    file.write_text(file.read_text() + "\n# another thought\n")
    said = command(home)("status").stdout
    line = next(line for line in said.splitlines() if line.startswith("mine/champion"))
    assert "code or settings changed" in line
    doctor = command(home)("doctor").stdout
    assert f"plug-in {NAMES['gates']}" in doctor
    assert "champion (code or settings changed)" in doctor


def test_a_member_that_raises_names_itself_and_stops_nothing_else(home: Path) -> None:
    detector = home / plugins.FOLDER / "my_detectors.py"
    detector.write_text(detector.read_text() + "\n\nraise RuntimeError('out of order')\n")
    gate = home / plugins.FOLDER / "my_gates.py"
    gate.write_text(gate.read_text() + "\n# another thought\n")
    done = command(home)("run", check=False)
    assert done.returncode == 1
    failed = next(line for line in done.stdout.splitlines() if line.startswith("mine/anomaly_scores"))
    assert f"plug-in '{NAMES['detectors']}' (detector, {detector})" in done.stdout
    assert "raised RuntimeError when importing it: out of order" in failed
    assert "other universes and stages go on" in failed
    # the gate's stage ran in the same run
    assert any(line.split()[0] == "mine/champion" for line in done.stdout.splitlines() if line.strip())
    assert "champion" not in stale(load_config(home))
    assert "anomaly_scores" in stale(load_config(home))


def test_reproduce_refuses_another_plug_in_than_the_recorded_one(home: Path) -> None:
    model = "nofx-agents-mine/1"
    assert "the same weights, byte for byte" in command(home)("reproduce", model).stdout
    file = home / plugins.FOLDER / "my_roles.py"
    file.write_text(file.read_text() + "\n# another thought\n")
    refused = command(home)("reproduce", model, check=False)
    assert refused.returncode == 2
    assert NAMES["roles"] in refused.stderr


def test_an_unknown_name_stops_the_run_before_anything_is_read(home: Path) -> None:
    toml = home / "nofx.toml"
    toml.write_text(toml.read_text().replace(NAMES["gates"], "no_such_gate"))
    refused = command(home)("run", check=False)
    assert refused.returncode == 2
    assert "'no_such_gate'" in refused.stderr
    assert all(name in refused.stderr for name in plugins.builtin_names("gates"))
