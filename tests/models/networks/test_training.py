"""Training against the closed form of what it minimises."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nofx_pipelines.errors import ModelError, NotEnoughData
from nofx_pipelines.models.networks.network import Network
from nofx_pipelines.models.networks.spec import ArchSpec, Node
from nofx_pipelines.models.networks.training import fit, predict
from nofx_pipelines.models.networks.training_config import TrainingConfig

LINEAR = ArchSpec(
    lookback=1,
    features=3,
    width=4,
    nodes=(
        Node("project", "project"),
        Node("readout", "last", inputs=("project",)),
        Node("score", "score", inputs=("readout",)),
    ),
)
DROPPED = ArchSpec(
    lookback=1,
    features=3,
    width=8,
    nodes=(
        Node("project", "project"),
        Node("dropout_0", "dropout", (("p", 0.3),), ("project",)),
        Node("readout", "last", inputs=("dropout_0",)),
        Node("score", "score", inputs=("readout",)),
    ),
)
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


def _rows(n: int = 400, seed: int = 3) -> Rows:
    """Windows, target and weights; the heavier half follows other coefficients than the lighter one."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 1, 3))
    heavy = np.arange(n) % 2 == 0
    y = np.where(heavy, x[:, 0] @ [0.5, -0.2, 0.1], x[:, 0] @ [-0.5, 0.4, 0.3]) + 0.1
    y += 0.05 * rng.normal(size=n)
    return x.astype(np.float32), y.astype(np.float32), np.where(heavy, 3.0, 0.5).astype(np.float32)


def _fit(rows: Rows, config: TrainingConfig, spec: ArchSpec = LINEAR, seed: int = 1) -> Network:
    return fit(spec, *rows, config, seed=seed, device="cpu")


def test_a_linear_network_finds_the_weighted_least_squares_solution() -> None:
    x, y, w = _rows()
    design = np.column_stack([x[:, 0], np.ones(len(x))])
    root = np.sqrt(w)[:, None]
    solution, *_ = np.linalg.lstsq(design * root, y * root[:, 0], rcond=None)
    config = TrainingConfig(epochs=400, batch=400, learning_rate=0.02, weight_decay=0.0)
    found = predict(_fit((x, y, w), config), x)
    np.testing.assert_allclose(found, design @ solution, atol=2e-3)


def test_weights_matter() -> None:
    x, y, w = _rows()
    config = TrainingConfig(epochs=20, batch=100)
    even = np.ones_like(w)
    assert not np.allclose(
        predict(_fit((x, y, w), config), x), predict(_fit((x, y, even), config), x), atol=0.02
    )


def test_the_same_seed_gives_the_same_bits_whatever_was_drawn_before() -> None:
    rows, config = _rows(), TrainingConfig(epochs=3, batch=64)
    first = predict(_fit(rows, config, DROPPED), rows[0])
    torch.rand(17)
    np.testing.assert_array_equal(predict(_fit(rows, config, DROPPED), rows[0]), first)
    assert not np.array_equal(predict(_fit(rows, config, DROPPED, seed=2), rows[0]), first)


def test_training_leaves_the_caller_s_random_numbers_alone() -> None:
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    _fit(_rows(), TrainingConfig(epochs=1), DROPPED)
    assert torch.equal(torch.rand(3), expected)


def test_dropout_is_off_when_predicting() -> None:
    rows = _rows()
    network = _fit(rows, TrainingConfig(epochs=2), DROPPED)
    np.testing.assert_array_equal(predict(network, rows[0]), predict(network, rows[0]))
    whole, parts = predict(network, rows[0]), predict(network, rows[0], batch=7)
    np.testing.assert_allclose(whole, parts, atol=1e-6)


def test_a_loss_that_is_not_finite_is_refused() -> None:
    x, y, w = _rows()
    y[5] = np.inf
    with pytest.raises(ModelError, match=r"the loss of [0-9a-f]{12} is inf"):
        _fit((x, y, w), TrainingConfig(epochs=1, batch=400))


@pytest.mark.parametrize("n", [2, 65])
def test_two_rows_and_a_last_batch_of_one_are_learned_from(n: int) -> None:
    """Batch norm has no spread over one row: such a batch is left out."""
    spec = ArchSpec(
        1, 3, 4, (LINEAR.nodes[0], Node("norm_0", "batch_norm", inputs=("project",)), *_after("norm_0"))
    )
    x, y, w = (part[:n] for part in _rows())
    assert np.isfinite(predict(_fit((x, y, w), TrainingConfig(epochs=2, batch=64), spec), x)).all()


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_rows_than_two_are_refused(n: int) -> None:
    x, y, w = (part[:n] for part in _rows())
    with pytest.raises(NotEnoughData, match=f"cannot be fitted to {n} rows"):
        _fit((x, y, w), TrainingConfig())


def _after(name: str) -> tuple[Node, Node]:
    return Node("readout", "last", inputs=(name,)), Node("score", "score", inputs=("readout",))


def test_no_rows_give_no_scores() -> None:
    network = _fit(_rows(), TrainingConfig(epochs=1))
    assert predict(network, np.empty((0, 1, 3), dtype=np.float32)).shape == (0,)
