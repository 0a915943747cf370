"""Layers that keep ``[B, L, D]``; what a bar's output holds comes from that bar and earlier ones only."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nofx_pipelines.models.networks.shapes import FEED_FORWARD
from nofx_pipelines.models.networks.spec import ACTIVATIONS, Node


class CausalConv(nn.Module):
    """Convolution over time, padded in front."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.conv = nn.Conv1d(width, width, kernel)

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x.transpose(1, 2), (self.kernel - 1, 0))  # [B, D, L + K - 1]
        return self.conv(padded).transpose(1, 2)


class Recurrent(nn.Module):
    """LSTM or GRU; only the outputs go on."""

    def __init__(self, width: int, op: str) -> None:
        super().__init__()
        self.cell = (nn.LSTM if op == "lstm" else nn.GRU)(width, width, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        output, _ = self.cell(x)
        return output


class CausalAttention(nn.Module):
    """Self-attention of each bar to itself and earlier ones."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (self._split(layer(x)) for layer in (self.query, self.key, self.value))  # [B, H, L, D/H]
        scores = q @ k.transpose(-1, -2) / math.sqrt(width // self.heads)
        later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        weights = scores.masked_fill(later, -1e9).softmax(dim=-1)
        joined = (weights @ v).transpose(1, 2).reshape(batch, length, width)
        return self.output(joined)

    def _split(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        return x.reshape(batch, length, self.heads, width // self.heads).transpose(1, 2)


class Transformer(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = CausalAttention(width, heads)
        self.norm_in, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inner = nn.Linear(width, FEED_FORWARD * width)
        self.outer = nn.Linear(FEED_FORWARD * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm_in(x))
        return x + self.outer(F.gelu(self.inner(self.norm_out(x))))


class CausalPooling(nn.Module):
    """Mean or maximum over the last bars; the first bars see fewer."""

    def __init__(self, kernel: int, pool: str) -> None:
        super().__init__()
        self.kernel, self.pool = kernel, pool

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x.transpose(1, 2), (self.kernel - 1, 0), mode="replicate")
        if self.pool == "max":
            return F.max_pool1d(padded, self.kernel, stride=1).transpose(1, 2)
        return F.avg_pool1d(padded, self.kernel, stride=1).transpose(1, 2)


class BatchNorm(nn.Module):
    """Batch normalisation of each column over rows and time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.transpose(1, 2)).transpose(1, 2)


class Activation(nn.Module):
    """One of ``ACTIVATIONS``."""

    def __init__(self, op: str) -> None:
        super().__init__()
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        match self.op:
            case "swish":
                return F.silu(x)
            case "tanh":
                return torch.tanh(x)
            case "sigmoid":
                return torch.sigmoid(x)
            case "leaky_relu":
                return F.leaky_relu(x, 0.01)
            case _:
                return getattr(F, self.op)(x)


def layer(node: Node, width: int, features: int) -> nn.Module:
    """The module of one node that has one input."""
    match node.op:
        case "project":
            return nn.Linear(features, width)
        case "dense":
            return nn.Linear(width, width)
        case "conv1d":
            return CausalConv(width, node.get("kernel"))
        case "lstm" | "gru":
            return Recurrent(width, node.op)
        case "attention":
            return CausalAttention(width, node.get("heads"))
        case "transformer":
            return Transformer(width, node.get("heads"))
        case "pooling":
            return CausalPooling(node.get("kernel"), node.get("pool"))
        case "batch_norm":
            return BatchNorm(width)
        case "layer_norm":
            return nn.LayerNorm(width)
        case "dropout":
            return nn.Dropout(node.get("p"))
        case "score":
            return nn.Linear(width, 1)
        case op if op in ACTIVATIONS:
            return Activation(op)
        case _:
            return nn.Identity()
