"""The kit that families build ONNX graphs with: float64, the same bytes for the same model.

Everything is computed in double precision, trees included (``TreeEnsemble`` of ai.onnx.ml 5), so a value
right at a split's threshold takes the branch that LightGBM takes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

INPUT, OUTPUT = "features", "score"
_OPSETS = {"": 21, "ai.onnx.ml": 5}
_IR_VERSION = 10


@dataclass
class Part:
    """Nodes and constants that compute ``output`` ``[N, 1]`` from the graph's input."""

    prefix: str
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    output: str = INPUT

    def constant(self, name: str, values: NDArray[Any] | float) -> str:
        """Add a constant and return its full name."""
        from onnx import numpy_helper

        full = f"{self.prefix}_{name}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), full))
        return full

    def then(self, op: str, *inputs: str, name: str, domain: str = "", **attributes: Any) -> str:
        """Add a node; its output becomes the part's output."""
        from onnx import helper

        self.output = f"{self.prefix}_{name}"
        node = helper.make_node(op, inputs, [self.output], name=self.output, domain=domain, **attributes)
        self.nodes.append(node)
        return self.output


def model_bytes(parts: Sequence[Part], feature_names: Sequence[str], family: str) -> bytes:
    """The sum of ``parts`` as a checked ONNX model, serialised deterministically."""
    import onnx
    from onnx import TensorProto, helper

    total = Part("model")
    total.output = parts[0].output
    for number, part in enumerate(parts[1:]):
        total.then("Add", total.output, part.output, name=f"add_{number}")
    axis = total.constant("axis", np.array([1], dtype=np.int64))
    flat = helper.make_node("Squeeze", [total.output, axis], [OUTPUT], name=OUTPUT)
    graph = helper.make_graph(
        [node for part in (*parts, total) for node in part.nodes] + [flat],
        f"nofx_{family}",
        [helper.make_tensor_value_info(INPUT, TensorProto.DOUBLE, ["N", len(feature_names)])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.DOUBLE, ["N"])],
        initializer=[constant for part in (*parts, total) for constant in part.constants],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()]
    model = helper.make_model(
        graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="nofx-pipelines"
    )
    helper.set_model_props(model, {"family": family, "feature_names": json.dumps(list(feature_names))})
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))
