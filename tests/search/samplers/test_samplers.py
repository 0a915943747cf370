"""What every sampler holds to, and what is refused of a user's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nofx_pipelines import plugins
from nofx_pipelines.errors import ConfigError, PluginError
from nofx_pipelines.models.families.gbdt import gbdt_space
from nofx_pipelines.models.space import Parameter, SearchSpace
from nofx_pipelines.search.samplers import Observation, sampler
from tests.member_files import members_of
from tests.skeleton_files import run_tests_of, write_skeleton

SPACE = SearchSpace(
    "small",
    (
        Parameter("depth", "int", 1, 9),
        Parameter("rate", "float", 0.01, 1.0, log=True),
        Parameter("loss", "choice", choices=("l1", "l2")),
    ),
    (3, 0.1, "l2"),
)
BUILT_IN = plugins.builtin_names("samplers")


def history(size: int, space: SearchSpace = SPACE, seed: int = 0) -> list[Observation]:
    """Trials at random: complete, pruned, failed, the last two of them running."""
    trials, rng, drawing = list[Observation](), np.random.default_rng(seed), sampler("random")
    for number in range(size):
        params = drawing.propose(space, trials, number, 1)
        value = float(rng.normal())
        state = "RUNNING" if number >= size - 2 else ("COMPLETE", "PRUNED", "COMPLETE", "FAIL")[number % 4]
        measured = state in ("COMPLETE", "PRUNED")
        steps = (value, value + 0.1, value)[: 3 if state == "COMPLETE" else 1] if measured else ()
        trials.append(Observation(number, params, state, steps[-1] if measured else None, steps))
    return trials


def test_every_file_is_a_sampler() -> None:
    assert members_of("samplers") == BUILT_IN
    assert {"random", "tpe"} <= set(BUILT_IN)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_proposal_depends_on_history_number_and_seed_only(name: str) -> None:
    trials = history(15)
    first = sampler(name).propose(SPACE, trials, 15, 3)
    np.random.default_rng(5).random(100)
    assert sampler(name).propose(SPACE, list(trials), 15, 3) == first
    assert list(first) == ["depth", "rate", "loss"]
    assert len({str(sampler(name).propose(SPACE, trials, 15, seed)) for seed in range(8)}) > 1
    assert sampler(name).propose(SPACE, trials, 14, 3) != first


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("space", [SPACE, gbdt_space()], ids=lambda space: space.name)
def test_a_proposal_is_of_the_space(name: str, space: SearchSpace) -> None:
    for size in (1, 3, 12, 25):
        trials = history(size, space)
        assert space.why_outside(sampler(name).propose(space, trials, size, 4)) is None


def test_an_unknown_sampler_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"sampler 'grid' is none of .* known are .*random, .*tpe"):
        sampler("grid")


TEXT = """
class Mine:
    def propose(self, space, history, number, seed):
        return {ANSWER}

SAMPLER = Mine()
"""
FIRST = "{**space.first_params, 'rate': 0.5}"


def write(folder: Path, answer: str = FIRST) -> Path:
    (folder / "mine.py").write_text(TEXT.replace("{ANSWER}", answer))
    return folder


def test_one_file_in_an_empty_folder_is_a_sampler(tmp_path: Path) -> None:
    ours = sampler("mine:SAMPLER", write(tmp_path))
    assert ours.propose(SPACE, [], 1, 1) == {"depth": 3, "rate": 0.5, "loss": "l2"}


def test_numpy_s_numbers_are_taken_as_python_s(tmp_path: Path) -> None:
    write(tmp_path, "{'depth': np.int64(2), 'rate': np.float64(0.5), 'loss': np.str_('l1')}")
    (tmp_path / "mine.py").write_text("import numpy as np\n" + (tmp_path / "mine.py").read_text())
    found = sampler("mine:SAMPLER", tmp_path).propose(SPACE, [], 1, 1)
    assert [type(value) for value in found.values()] == [int, float, str]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            "{**space.first_params, 'depth': 10}",
            r"outside the space 'small': depth = 10 lies outside depth \(int",
        ),
        ("{**space.first_params, 'depth': 2.5}", r"depth = 2\.5 lies outside"),
        ("{**space.first_params, 'rate': float('nan')}", "rate = nan lies outside"),
        ("{**space.first_params, 'leaves': 1}", "it has no parameter leaves"),
        ("{'depth': 3, 'loss': 'l1'}", "rate is missing"),
        ("None", "proposes NoneType, not a value for each parameter"),
        ("[3, 0.1, 'l2']", "proposes list, not a value for each parameter"),
        ("history[99]", "raised IndexError when proposing trial 7"),
    ],
)
def test_a_proposal_that_is_none_is_refused_by_name(tmp_path: Path, answer: str, words: str) -> None:
    ours = sampler("mine:SAMPLER", write(tmp_path, answer))
    with pytest.raises(PluginError, match=rf"plug-in 'mine:SAMPLER' \(sampler, .*mine\.py\) .*{words}"):
        ours.propose(SPACE, history(7), 7, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SAMPLER = 3", r"has no method propose\(space, history, number, seed\)"),
        (
            "class Mine:\n    def propose(self): ...\nSAMPLER = Mine",
            r"is the class Mine: assign an instance, Mine\(\)",
        ),
        ("import nowhere", "raised ModuleNotFoundError when importing it"),
        ("OTHER = 3", "has no 'SAMPLER'; it has OTHER"),
    ],
)
def test_what_is_no_sampler_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(PluginError, match=rf"plug-in 'mine:SAMPLER' .*{words}"):
        sampler("mine:SAMPLER", tmp_path)


def test_the_skeleton_is_a_sampler_and_passes_its_own_test(tmp_path: Path) -> None:
    write_skeleton("samplers", tmp_path)
    assert SPACE.why_outside(sampler("mine:SAMPLER", tmp_path).propose(SPACE, history(12), 12, 1)) is None
    done = run_tests_of(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
