"""A searched network as ONNX nodes: preprocessing in float64, the network in float32, as torch runs it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.models.networks.shapes import infer
from nofx_pipelines.models.networks.spec import ArchSpec, Node
from nofx_pipelines.models.onnx_graph import INPUT, Part
from nofx_pipelines.models.preprocessing import Preprocessing

_FLOAT, _DOUBLE = 1, 11  # TensorProto
_SIMPLE = {
    "relu": "Relu",
    "selu": "Selu",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "gelu": "Gelu",
    "mish": "Mish",
}


def network_part(spec: ArchSpec, weights: dict[str, NDArray[Any]], prepared: Preprocessing) -> Part:
    """Raw window columns ``[N, L * C]`` to scores ``[N, 1]``; ``weights`` by name, as ``network.state``."""
    graph = _Graph(Part("network"), weights, spec.width)
    graph.standardise(spec, prepared)
    values, costs = {"input": graph.part.output}, infer(spec)
    for node in spec.nodes:
        inputs = [values[name] for name in node.inputs]
        values[node.name] = graph.node(node, inputs, costs[node.inputs[0]].length)
    graph.part.then("Cast", values["score"], name="as_double", to=_DOUBLE)
    return graph.part


class _Graph:
    """Adds nodes to a part; names follow the architecture's nodes."""

    def __init__(self, part: Part, weights: dict[str, NDArray[Any]], width: int) -> None:
        self.part, self.weights, self.width = part, weights, width

    def standardise(self, spec: ArchSpec, prepared: Preprocessing) -> None:
        part = self.part
        shape = np.array([-1, spec.lookback, spec.features], dtype=np.int64)
        windows = part.then("Reshape", INPUT, part.constant("window", shape), name="windows")
        missing = part.then("IsNaN", windows, name="missing")
        part.then("Where", missing, part.constant("median", prepared.median), windows, name="known")
        part.then("Sub", part.output, part.constant("mean", prepared.mean), name="centred")
        part.then("Div", part.output, part.constant("scale", prepared.scale), name="standard")
        low, high = part.constant("low", -prepared.clip), part.constant("high", prepared.clip)
        part.then("Clip", part.output, low, high, name="clipped")
        part.then("Cast", part.output, name="as_float", to=_FLOAT)

    def node(self, node: Node, inputs: list[str], length: int) -> str:
        """Add one node of the architecture; its output's name."""
        x, name = inputs[0], node.name
        match node.op:
            case "project" | "dense" | "score":
                return self.linear(x, name, f"layers.{name}")
            case "conv1d":
                return self.conv(x, name, node.get("kernel"))
            case "lstm" | "gru":
                return self.recurrent(x, name, node.op)
            case "attention":
                return self.attention(x, name, f"layers.{name}", node.get("heads"), length)
            case "transformer":
                return self.transformer(x, name, node.get("heads"), length)
            case "pooling":
                return self.pooling(x, name, node.get("kernel"), node.get("pool"))
            case "batch_norm":
                return self.batch_norm(x, name)
            case "layer_norm":
                return self.layer_norm(x, name, f"layers.{name}")
            case "add":
                return self.part.then("Add", *inputs, name=name)
            case "last":
                return self.part.then("Gather", x, self.integer(name, length - 1), name=name, axis=1)
            case "mean":
                axes = self.integer(name, [1])
                return self.part.then("ReduceMean", x, axes, name=name, keepdims=0)
            case "dropout":
                return x
            case op:
                return self.activation(x, name, op)

    def integer(self, name: str, value: int | list[int]) -> str:
        return self.part.constant(f"{name}_at", np.array(value, dtype=np.int64))

    def weight(self, key: str, transpose: bool = False) -> str:
        value = self.weights[key]
        return self.part.constant(
            key.replace(".", "_"), np.ascontiguousarray(value.T if transpose else value)
        )

    def linear(self, x: str, name: str, key: str) -> str:
        product = self.part.then(
            "MatMul", x, self.weight(f"{key}.weight", transpose=True), name=f"{name}_product"
        )
        return self.part.then("Add", product, self.weight(f"{key}.bias"), name=name)

    def conv(self, x: str, name: str, kernel: int) -> str:
        swapped = self.part.then("Transpose", x, name=f"{name}_columns", perm=[0, 2, 1])
        key = f"layers.{name}.conv"
        wide = self.part.then(
            "Conv",
            swapped,
            self.weight(f"{key}.weight"),
            self.weight(f"{key}.bias"),
            name=f"{name}_conv",
            kernel_shape=[kernel],
            pads=[kernel - 1, 0],
        )
        return self.part.then("Transpose", wide, name=name, perm=[0, 2, 1])

    def recurrent(self, x: str, name: str, op: str) -> str:
        order = [0, 3, 1, 2] if op == "lstm" else [1, 0, 2]  # ONNX wants i, o, f, c and z, r, h
        key = f"layers.{name}.cell"
        gates = {
            n: self._gates(f"{key}.{n}_l0", order) for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        bias = np.concatenate([gates["bias_ih"], gates["bias_hh"]])
        constants = [
            self.part.constant(f"{name}_{what}", value[None])
            for what, value in (("input", gates["weight_ih"]), ("state", gates["weight_hh"]), ("bias", bias))
        ]
        steps = self.part.then("Transpose", x, name=f"{name}_steps", perm=[1, 0, 2])
        more: dict[str, Any] = {} if op == "lstm" else {"linear_before_reset": 1}
        self.part.then(op.upper(), steps, *constants, name=f"{name}_cell", hidden_size=self.width, **more)
        flat = self.part.then("Squeeze", self.part.output, self.integer(name, [1]), name=f"{name}_flat")
        return self.part.then("Transpose", flat, name=name, perm=[1, 0, 2])

    def _gates(self, key: str, order: list[int]) -> NDArray[Any]:
        parts = np.split(self.weights[key], len(order))
        return np.ascontiguousarray(np.concatenate([parts[k] for k in order]))

    def attention(self, x: str, name: str, key: str, heads: int, length: int) -> str:
        part, size = self.part, self.width // heads
        split = part.constant(f"{name}_split", np.array([-1, length, heads, size], dtype=np.int64))

        def of(which: str, perm: list[int]) -> str:
            flat = self.linear(x, f"{name}_{which}_flat", f"{key}.{which}")
            cut = part.then("Reshape", flat, split, name=f"{name}_{which}_cut")
            return part.then("Transpose", cut, name=f"{name}_{which}", perm=perm)

        query, keys, values = of("query", [0, 2, 1, 3]), of("key", [0, 2, 3, 1]), of("value", [0, 2, 1, 3])
        scores = part.then("MatMul", query, keys, name=f"{name}_scores")
        scale = part.constant(f"{name}_scale", np.array(math.sqrt(size), dtype=np.float32))
        scaled = part.then("Div", scores, scale, name=f"{name}_scaled")
        later = part.constant(f"{name}_later", np.triu(np.ones((length, length), dtype=np.bool_), 1))
        hidden = part.constant(f"{name}_hidden", np.array(-1e9, dtype=np.float32))
        masked = part.then("Where", later, hidden, scaled, name=f"{name}_masked")
        weights = part.then("Softmax", masked, name=f"{name}_weights", axis=-1)
        mixed = part.then("MatMul", weights, values, name=f"{name}_mixed")
        back = part.then("Transpose", mixed, name=f"{name}_back", perm=[0, 2, 1, 3])
        whole = part.constant(f"{name}_whole", np.array([-1, length, self.width], dtype=np.int64))
        joined = part.then("Reshape", back, whole, name=f"{name}_joined")
        return self.linear(joined, f"{name}_output", f"{key}.output")

    def transformer(self, x: str, name: str, heads: int, length: int) -> str:
        key = f"layers.{name}"
        normed = self.layer_norm(x, f"{name}_norm_in", f"{key}.norm_in")
        seen = self.attention(normed, f"{name}_attention", f"{key}.attention", heads, length)
        first = self.part.then("Add", x, seen, name=f"{name}_first")
        again = self.layer_norm(first, f"{name}_norm_out", f"{key}.norm_out")
        inner = self.activation(self.linear(again, f"{name}_inner", f"{key}.inner"), f"{name}_bent", "gelu")
        return self.part.then("Add", first, self.linear(inner, f"{name}_outer", f"{key}.outer"), name=name)

    def pooling(self, x: str, name: str, kernel: int, pool: str) -> str:
        pads = self.part.constant(f"{name}_pads", np.array([0, kernel - 1, 0, 0, 0, 0], dtype=np.int64))
        padded = self.part.then("Pad", x, pads, name=f"{name}_padded", mode="edge")
        swapped = self.part.then("Transpose", padded, name=f"{name}_columns", perm=[0, 2, 1])
        op = "MaxPool" if pool == "max" else "AveragePool"
        pooled = self.part.then(op, swapped, name=f"{name}_pooled", kernel_shape=[kernel])
        return self.part.then("Transpose", pooled, name=name, perm=[0, 2, 1])

    def batch_norm(self, x: str, name: str) -> str:
        key = f"layers.{name}.norm"
        weight, bias, mean, variance = (
            self.weights[f"{key}.{n}"] for n in ("weight", "bias", "running_mean", "running_var")
        )
        scale = weight / np.sqrt(variance + np.float32(1e-5))
        scaled = self.part.then("Mul", x, self.part.constant(f"{name}_by", scale), name=f"{name}_scaled")
        return self.part.then(
            "Add", scaled, self.part.constant(f"{name}_plus", bias - mean * scale), name=name
        )

    def layer_norm(self, x: str, name: str, key: str) -> str:
        weights = self.weight(f"{key}.weight"), self.weight(f"{key}.bias")
        return self.part.then("LayerNormalization", x, *weights, name=name, axis=-1, epsilon=1e-5)

    def activation(self, x: str, name: str, op: str) -> str:
        if op == "swish":
            return self.part.then("Mul", x, self.part.then("Sigmoid", x, name=f"{name}_gate"), name=name)
        if op == "leaky_relu":
            return self.part.then("LeakyRelu", x, name=name, alpha=0.01)
        return self.part.then(_SIMPLE[op], x, name=name)
