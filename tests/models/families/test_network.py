"""A network as a model: learns, serves as ONNX to the same scores, restores to the same bits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from nofx_pipelines.errors import ConfigError, NotEnoughData
from nofx_pipelines.models.dataset import Dataset
from nofx_pipelines.models.families.network import NetworkParams, SearchedNetwork, train
from nofx_pipelines.models.networks.spec import ACTIVATIONS
from nofx_pipelines.models.networks.training_config import TrainingConfig
from nofx_pipelines.nas.space import LAYER_OPS, SearchSpace
from nofx_pipelines.registry.onnx_scorer import OnnxScorer
from nofx_pipelines.search.measures import rank_ic

Rows = Callable[..., Dataset]
SPACE = SearchSpace(features=3, lookbacks=(1, 3, 5), widths=(8, 16))


def _genotype(**genes: int) -> tuple[int, ...]:
    found = [0] * len(SPACE.decisions)
    for name, gene in genes.items():
        found[SPACE.places[name]] = gene
    return SPACE.canonical(found)


def _params(genotype: tuple[int, ...], **training: float) -> NetworkParams:
    return NetworkParams(SPACE.decode(genotype).to_json(), TrainingConfig(**{"epochs": 2, **training}))  # type: ignore[arg-type]


def test_onnx_scores_as_torch_does_for_every_operation(make_rows: Rows) -> None:
    rows = make_rows()
    for op in range(len(LAYER_OPS)):
        for activation in range(len(ACTIVATIONS)):
            for lookback, extra in (
                (0, {}),
                (2, {"residual_0": 1, "norm_0": 1 + activation % 2, "dropout_0": 2}),
            ):
                genotype = _genotype(
                    lookback=lookback,
                    op_0=op,
                    activation_0=activation,
                    pool_0=activation % 2,
                    heads_0=activation % 2,
                    kernel_0=op % 2,
                    readout=activation % 2,
                    **extra,
                )
                model = train(rows, _params(genotype, epochs=1), seed=1)
                x = rows.x[:, -len(model.feature_names) :]
                scored = OnnxScorer(model.to_onnx())
                assert scored.feature_names == model.feature_names
                np.testing.assert_allclose(scored.predict(x), model.predict(x), atol=1e-5)


def test_onnx_scores_strange_values_as_torch_does(make_rows: Rows) -> None:
    rows = make_rows()
    model = train(rows, _params(_genotype(lookback=2, op_0=3, norm_0=2)), seed=1)
    x = rows.x[:6].copy()
    for row, value in enumerate((np.nan, np.inf, -np.inf, 1e300, -1e300, 0.0)):
        x[row] = value
    found = OnnxScorer(model.to_onnx()).predict(x)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, model.predict(x), atol=1e-5)


@pytest.mark.parametrize("op", [op for op in LAYER_OPS if op not in ("skip", "pooling")])
def test_every_learning_layer_finds_a_signal_of_three_bars(make_rows: Rows, op: str) -> None:
    genotype = _genotype(
        lookback=2, width=1, op_0=LAYER_OPS.index(op), activation_0=1, readout=1, residual_0=1
    )
    model = train(make_rows(seed=1), _params(genotype, epochs=15, batch=128), seed=2)
    fresh = make_rows(seed=9)
    assert rank_ic(model.predict(fresh.x), fresh) > 0.4


def test_the_same_seed_gives_the_same_bytes(make_rows: Rows) -> None:
    rows, params = make_rows(), _params(_genotype(lookback=1, op_0=3, dropout_0=2, norm_0=1))
    first, second = (train(rows, params, seed=5).to_onnx() for _ in range(2))
    assert first == second
    assert train(rows, params, seed=6).to_onnx() != first


def test_files_restore_the_same_bits(make_rows: Rows) -> None:
    rows = make_rows()
    model = train(rows, _params(_genotype(lookback=2, op_0=5, norm_0=1)), seed=1)
    again = SearchedNetwork.from_files(model.files())
    np.testing.assert_array_equal(again.predict(rows.x), model.predict(rows.x))
    assert again.to_onnx() == model.to_onnx()
    assert NetworkParams.of(again.settings) == model.params


def test_a_shorter_window_reads_the_newest_bars(make_rows: Rows) -> None:
    rows = make_rows(lookback=5)
    model = train(rows, _params(_genotype(lookback=1)), seed=1)
    assert model.feature_names == ("a@2", "b@2", "c@2", "a@1", "b@1", "c@1", "a", "b", "c")


def test_rows_beyond_the_budget_are_left_out_by_whole_bars(make_rows: Rows) -> None:
    rows = make_rows()
    few = train(rows, _params(_genotype(), row_budget=300), seed=1)
    assert few.to_onnx() != train(rows, _params(_genotype()), seed=1).to_onnx()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_a_device_that_is_not_there_is_named(make_rows: Rows) -> None:
    params = dataclasses.replace(_params(_genotype()), device="cuda")
    with pytest.raises(ConfigError, match="'cuda': this machine has cpu"):
        train(make_rows(), params, seed=1)


@pytest.mark.parametrize("spoil", ["nan", "infinite", "constant", "one_row", "one_instrument"])
def test_odd_rows_are_learned_from_without_odd_scores(make_rows: Rows, spoil: str) -> None:
    rows = make_rows(sessions=40)
    x = rows.x.copy()
    if spoil == "nan":
        x[:, 0::3] = np.nan
    if spoil == "infinite":
        x[5, :] = np.inf
        x[6, :] = -np.inf
    if spoil == "constant":
        x[:, 1::3] = 3.0
    rows = dataclasses.replace(rows, x=x)
    if spoil == "one_row":
        rows = rows.take(slice(0, 1))
    if spoil == "one_instrument":
        rows = rows.take(rows.instrument_id == "I0")
    for op in (0, 3, 5):
        try:
            model = train(rows, _params(_genotype(lookback=2, op_0=op, norm_0=2)), seed=1)
        except NotEnoughData as error:
            assert spoil == "one_row"
            assert "cannot be fitted to 1 rows" in str(error)  # noqa: PT017
            continue
        score = model.predict(rows.x)
        assert np.isfinite(score).all()
