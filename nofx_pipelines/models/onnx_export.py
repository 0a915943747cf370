"""ONNX graphs of our models in float64, preprocessing inside, the same bytes for the same model.

Everything is computed in double precision, trees included (``TreeEnsemble`` of ai.onnx.ml 5), so a value
right at a split's threshold takes the branch that LightGBM takes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nofx_pipelines.models.gbdt import Gbdt
    from nofx_pipelines.models.ridge import Ridge

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


def linear_part(ridge: Ridge, share: float) -> Part:
    """``share`` times the ridge's score."""
    part, prepared = Part("linear"), ridge.preprocessing
    missing = part.then("IsNaN", INPUT, name="missing")
    part.then("Where", missing, part.constant("median", prepared.median), INPUT, name="known")
    part.then("Sub", part.output, part.constant("mean", prepared.mean), name="centred")
    part.then("Div", part.output, part.constant("scale", prepared.scale), name="standard")
    low, high = part.constant("low", -prepared.clip), part.constant("high", prepared.clip)
    part.then("Clip", part.output, low, high, name="clipped")
    weights = part.constant("coefficients", share * ridge.coefficients[:, None])
    part.then("MatMul", part.output, weights, name="product")
    part.then("Add", part.output, part.constant("intercept", np.array([share * ridge.intercept])), name="sum")
    return part


def tree_part(model: Gbdt) -> Part:
    """The boosted trees' score, crosses of features included."""
    from onnx import numpy_helper

    part, trees = Part("trees"), model.trees
    _design(part, model.crosses)
    part.then(
        "TreeEnsemble",
        part.output,
        name="sum",
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function=1,
        post_transform=0,
        tree_roots=trees.roots.tolist(),
        nodes_featureids=trees.feature.tolist(),
        nodes_splits=numpy_helper.from_array(trees.threshold, "splits"),
        nodes_modes=numpy_helper.from_array(np.zeros(len(trees.feature), dtype=np.uint8), "modes"),
        nodes_missing_value_tracks_true=trees.missing_goes_left.tolist(),
        nodes_trueleafs=trees.left_is_leaf.tolist(),
        nodes_falseleafs=trees.right_is_leaf.tolist(),
        nodes_truenodeids=trees.left.tolist(),
        nodes_falsenodeids=trees.right.tolist(),
        leaf_targetids=[0] * len(trees.leaf_value),
        leaf_weights=numpy_helper.from_array(trees.leaf_value, "leaves"),
    )
    return part


def _design(part: Part, crosses: Sequence[tuple[int, int]]) -> None:
    """Features, their crosses, and zero for what LightGBM takes as zero: see ``gbdt.design``."""
    from nofx_pipelines.models.gbdt import ZERO

    if crosses:
        left, right = (np.array(side, dtype=np.int64) for side in zip(*crosses, strict=True))
        first = part.then("Gather", INPUT, part.constant("left", left), name="first", axis=1)
        second = part.then("Gather", INPUT, part.constant("right", right), name="second", axis=1)
        part.then("Concat", INPUT, part.then("Mul", first, second, name="crosses"), name="design", axis=1)
    values = part.output
    tiny = part.then(
        "Less", part.then("Abs", values, name="size"), part.constant("zero_below", ZERO), name="tiny"
    )
    part.then("Where", tiny, part.constant("zero", 0.0), values, name="flushed")


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


class OnnxScorer:
    """Scores features with ONNX Runtime on one thread; reads nothing but ONNX bytes."""

    def __init__(self, model: bytes) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        found = self._session.get_modelmeta().custom_metadata_map
        self.feature_names: tuple[str, ...] = tuple(json.loads(found.get("feature_names", "[]")))
        self.family: str = found.get("family", "")

    def predict(self, x: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Scores ``[N]`` for raw features ``[N, F]``; NaN is a feature that is not known."""
        rows = np.ascontiguousarray(x, dtype=np.float64)
        if not len(rows):
            return np.empty(0)
        return np.asarray(self._session.run([OUTPUT], {INPUT: rows})[0], dtype=np.float64)
