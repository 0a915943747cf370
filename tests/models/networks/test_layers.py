"""Each layer against torch's own, a loop, or its formula."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nofx_pipelines.models.networks.layers import (
    Activation,
    BatchNorm,
    CausalAttention,
    CausalConv,
    CausalPooling,
    Recurrent,
    Transformer,
)
from nofx_pipelines.models.networks.spec import ACTIVATIONS

B, L, D = 3, 7, 8
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture
def x() -> Tensor:
    return torch.randn(B, L, D, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_attention_is_torch_s_with_a_causal_mask(x: Tensor, heads: int) -> None:
    ours, theirs = CausalAttention(D, heads), nn.MultiheadAttention(D, heads, batch_first=True)
    _give_attention(ours, theirs)
    later = torch.ones(L, L, dtype=torch.bool).triu(1)
    expected, _ = theirs(x, x, x, attn_mask=later, need_weights=False)
    torch.testing.assert_close(ours(x), expected, **CLOSE)


def test_a_transformer_is_torch_s_pre_norm_block(x: Tensor) -> None:
    ours = Transformer(D, 2)
    theirs = nn.TransformerEncoderLayer(
        D, 2, 2 * D, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    _give_attention(ours.attention, theirs.self_attn)
    for mine, other in (
        (ours.norm_in, theirs.norm1),
        (ours.norm_out, theirs.norm2),
        (ours.inner, theirs.linear1),
        (ours.outer, theirs.linear2),
    ):
        other.load_state_dict(mine.state_dict())
    later = torch.ones(L, L, dtype=torch.bool).triu(1)
    torch.testing.assert_close(ours(x), theirs(x, src_mask=later), **CLOSE)


def _give_attention(ours: CausalAttention, theirs: nn.MultiheadAttention) -> None:
    parts = (ours.query, ours.key, ours.value)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.weight.copy_(ours.output.weight)
        theirs.out_proj.bias.copy_(ours.output.bias)


@pytest.mark.parametrize("kernel", [3, 5])
def test_a_convolution_is_its_sum_over_the_last_bars(x: Tensor, kernel: int) -> None:
    layer = CausalConv(D, kernel)
    weight, bias = layer.conv.weight, layer.conv.bias
    assert bias is not None
    expected = torch.zeros(B, L, D)
    for t in range(L):
        for back in range(min(kernel, t + 1)):
            expected[:, t] += x[:, t - back] @ weight[:, :, kernel - 1 - back].T
    torch.testing.assert_close(layer(x), expected + bias, **CLOSE)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("pool", ["mean", "max"])
def test_pooling_is_over_the_last_bars(x: Tensor, kernel: int, pool: str) -> None:
    """Before the first bar the first one stands in."""
    longer = torch.cat([x[:, :1].expand(B, kernel - 1, D), x], dim=1)
    windows = torch.stack([longer[:, t : t + kernel] for t in range(L)], dim=1)  # [B, L, K, D]
    expected = windows.mean(dim=2) if pool == "mean" else windows.amax(dim=2)
    torch.testing.assert_close(CausalPooling(kernel, pool)(x), expected, **CLOSE)


@pytest.mark.parametrize("op", ["lstm", "gru"])
def test_a_recurrent_layer_is_its_cell_bar_by_bar(x: Tensor, op: str) -> None:
    layer = Recurrent(D, op)
    cell = (nn.LSTMCell if op == "lstm" else nn.GRUCell)(D, D)
    cell.load_state_dict({name.removesuffix("_l0"): w for name, w in layer.cell.state_dict().items()})
    held, outputs = None, []
    for t in range(L):
        held = cell(x[:, t], held)
        outputs.append(held[0] if op == "lstm" else held)
    torch.testing.assert_close(layer(x), torch.stack(outputs, dim=1), **CLOSE)


def test_batch_norm_is_over_rows_and_bars(x: Tensor) -> None:
    found = BatchNorm(D).train()(x)
    flat = x.reshape(-1, D)
    spread = torch.sqrt(flat.var(dim=0, unbiased=False) + 1e-5)
    torch.testing.assert_close(found, (x - flat.mean(dim=0)) / spread, **CLOSE)


SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017
FORMULAS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda v: np.maximum(v, 0),
    "gelu": lambda v: v * np.array([_normal(each) for each in v]),
    "swish": lambda v: v / (1 + np.exp(-v)),
    "mish": lambda v: v * np.tanh(np.log1p(np.exp(v))),
    "selu": lambda v: SELU_SCALE * np.where(v > 0, v, SELU_ALPHA * np.expm1(v)),
    "tanh": lambda v: (np.exp(2 * v) - 1) / (np.exp(2 * v) + 1),
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "leaky_relu": lambda v: np.where(v > 0, v, 0.01 * v),
}


def _normal(value: float) -> float:
    from statistics import NormalDist

    return NormalDist().cdf(value)


@pytest.mark.parametrize("op", ACTIVATIONS)
def test_an_activation_is_its_formula(op: str) -> None:
    values = np.linspace(-4, 4, 41)
    found = Activation(op)(torch.from_numpy(values)).numpy()
    np.testing.assert_allclose(found, FORMULAS[op](values), rtol=1e-9, atol=1e-12)


def test_the_formulas_differ_from_one_another() -> None:
    values = np.linspace(-4, 4, 41)
    found = [FORMULAS[op](values) for op in ACTIVATIONS]
    assert all(not np.allclose(a, b) for k, a in enumerate(found) for b in found[:k])
