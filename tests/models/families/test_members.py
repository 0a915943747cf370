"""The families that there are: a file each, found by name, a user's one among them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nofx_pipelines import plugins
from nofx_pipelines.errors import ConfigError, PluginError
from nofx_pipelines.models.dataset import Dataset, from_frame
from nofx_pipelines.models.families import family
from nofx_pipelines.models.training import Recipe, train
from nofx_pipelines.registry.onnx_scorer import OnnxScorer
from tests.member_files import members_of
from tests.skeleton_files import run_tests_of, write_skeleton


@pytest.fixture(scope="module")
def data(plant) -> Dataset:
    return from_frame(plant(sessions=80)[0])


def test_every_file_that_assigns_a_family_is_one() -> None:
    assert plugins.builtin_names("families") == members_of("families")
    assert {"ridge", "gbdt", "network"} <= set(members_of("families"))


@pytest.mark.parametrize("name", plugins.builtin_names("families"))
def test_each_is_loaded_by_its_file_s_name(name: str) -> None:
    member = family(name)
    assert type(member).__module__ == f"nofx_pipelines.models.families.{name}"
    assert member.name == name


@pytest.mark.parametrize(("name", "searched"), [("ridge", False), ("gbdt", True), ("network", False)])
def test_gbdt_alone_of_the_first_three_has_a_study(name: str, searched: bool) -> None:
    assert (family(name).space() is not None) == searched


def test_lightgbm_is_another_name_of_gbdt() -> None:
    assert family("lightgbm").name == "gbdt"


def test_asking_families_what_they_search_loads_no_heavy_library() -> None:
    """The studies' stage asks every family, the network's too."""
    code = "from nofx_pipelines.models.families import family; [family(n).space() for n in %r]; import sys; "
    code = (
        code % (plugins.builtin_names("families"),)
        + "print(*({'torch', 'lightgbm', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("name", ["ridge", "gbdt"])
def test_a_model_s_settings_and_its_files_are_enough_to_have_it_again(name: str, data: Dataset) -> None:
    model = family(name).fit(data, {}, 3, "cpu")
    assert family(name).fit(data, model.settings, 3, "cpu").to_onnx() == model.to_onnx()
    assert family(name).restore(model.files()).to_onnx() == model.to_onnx()


@pytest.mark.parametrize("name", plugins.builtin_names("families"))
def test_unknown_parameters_are_refused(name: str, data: Dataset) -> None:
    with pytest.raises(ConfigError, match=f"model family {name} has no parameter leaves"):
        family(name).fit(
            data,
            {"leaves": 3, "spec": "{}", "training": {}} if name == "network" else {"leaves": 3},
            1,
            "cpu",
        )


def test_a_network_without_an_architecture_is_refused(data: Dataset) -> None:
    with pytest.raises(ConfigError, match="its parameter spec is missing"):
        family("network").fit(data, {}, 1, "cpu")


def test_an_unknown_family_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    write_skeleton("families", tmp_path)
    with pytest.raises(
        ConfigError, match=r"'forest' is none of .*known are .*gbdt, .*network, .*ridge, .*mine:FAMILY"
    ):
        family("forest", tmp_path)


def test_the_skeleton_is_a_family_and_passes_its_own_test(tmp_path: Path) -> None:
    write_skeleton("families", tmp_path)
    done = run_tests_of(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_file_in_an_empty_folder_is_trained_fold_by_fold_and_served(tmp_path: Path, plant) -> None:
    """By name only, in processes of their own: the same bits with one process and with two."""
    write_skeleton("families", tmp_path)
    world = plant(sessions=120)
    recipe = Recipe("mine:FAMILY", {"penalty": 0.01}, 3, tmp_path)
    one, two = (train(*world, recipe, workers=n) for n in (1, 2))
    assert one.folds.equals(two.folds)
    assert one.hold_out.equals(two.hold_out)
    assert one.model.family == "mine:FAMILY"
    assert dict(one.model.settings) == {"penalty": 0.01, "l1_share": 0.5}
    x = from_frame(world[0]).x
    np.testing.assert_allclose(OnnxScorer(one.model.to_onnx()).predict(x), one.model.predict(x), atol=1e-12)
    again = family("mine:FAMILY", tmp_path).restore(one.model.files())
    assert again.to_onnx() == one.model.to_onnx() == two.model.to_onnx()


def test_a_file_named_like_a_built_in_family_is_not_that_family(tmp_path: Path, data: Dataset) -> None:
    write_skeleton("families", tmp_path).rename(tmp_path / "gbdt.py")
    assert family("gbdt", tmp_path).name == "gbdt"
    assert type(family("gbdt", tmp_path)).__name__ == "GbdtFamily"
    assert family("gbdt:FAMILY", tmp_path).fit(data, {}, 1, "cpu").family == "gbdt:FAMILY"


def test_one_that_calls_itself_like_a_built_in_one_is_refused(tmp_path: Path) -> None:
    file = write_skeleton("families", tmp_path)
    file.write_text(file.read_text().replace('name: str = "mine"', 'name: str = "ridge"'))
    with pytest.raises(PluginError, match=r"plug-in 'mine:FAMILY' .*mine\.py\) calls itself 'ridge'"):
        family("mine:FAMILY", tmp_path)
