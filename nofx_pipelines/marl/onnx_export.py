"""A policy as ONNX: observations, the last ones and the mask in, the likeliest actions out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.marl.networks import StackedMLP
from nofx_pipelines.marl.policy import Policy
from nofx_pipelines.models.onnx_graph import Part

OBSERVATION, BEFORE, MASK, OUTPUT = "observation", "before", "mask", "action"
_OPSET, _IR = 21, 10
_INT64, _FLOAT, _BOOL = 7, 1, 9  # TensorProto


def policy_bytes(policy: Policy, agents: Sequence[str]) -> bytes:
    """The greedy policy as a checked ONNX model; same policy, same bytes.

    Inputs: ``observation`` ``[E, A, F]`` float32, ``mask`` ``[E, A, K]`` bool (discrete) and ``before``
    ``[E, A, F]``, the observation of the step before (agents that speak; NaN at an episode's start). Output:
    ``action`` ``[E, A]`` int64, or ``[E, A, D]`` float32.
    """
    import onnx
    from onnx import TensorProto, helper

    part = Part("policy")
    _logits(part, policy)
    inputs = [
        helper.make_tensor_value_info(
            OBSERVATION, TensorProto.FLOAT, ["E", policy.agents, policy.observation]
        )
    ]
    if policy.messenger is not None:
        inputs.append(
            helper.make_tensor_value_info(BEFORE, TensorProto.FLOAT, ["E", policy.agents, policy.observation])
        )
    if policy.discrete:
        shape = ["E", policy.agents, policy.actions]
        inputs.append(helper.make_tensor_value_info(MASK, TensorProto.BOOL, shape))
        _greedy(part)
        output = helper.make_tensor_value_info(OUTPUT, TensorProto.INT64, ["E", policy.agents])
    else:
        part.then("Tanh", part.output, name="bounded")
        output = helper.make_tensor_value_info(
            OUTPUT, TensorProto.FLOAT, ["E", policy.agents, policy.actions]
        )
    last = helper.make_node("Identity", [part.output], [OUTPUT], name=OUTPUT)
    graph = helper.make_graph(
        [*part.nodes, last], "nofx_agents", inputs, [output], initializer=part.constants
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
        producer_name="nofx-pipelines",
    )
    helper.set_model_props(model, {"family": "agents", "agents": json.dumps(list(agents))})
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _logits(part: Part, policy: Policy) -> None:
    scaled = _scaled(part, policy, OBSERVATION, "seen")
    if policy.messenger is not None:
        scaled = part.then("Concat", scaled, _heard(part, policy), name="with_words", axis=2)
    _mlp(part, policy.actor, scaled, "actor")


def _scaled(part: Part, policy: Policy, name: str, prefix: str) -> str:
    """What ``networks.Scale`` does."""
    scale = policy.scale
    if float(scale.count) == 0:
        return part.then("Identity", name, name=prefix)
    spread = (scale.square - scale.mean.square()).clamp_min(1e-6).sqrt().float().numpy()
    centred = part.then(
        "Sub", name, part.constant(f"{prefix}_mean", scale.mean.float().numpy()), name=f"{prefix}_centred"
    )
    unit = part.then("Div", centred, part.constant(f"{prefix}_spread", spread), name=f"{prefix}_unit")
    low, high = (
        part.constant(f"{prefix}_{side}", np.array(v, dtype=np.float32))
        for side, v in (("low", -5.0), ("high", 5.0))
    )
    return part.then("Clip", unit, low, high, name=prefix)


def _heard(part: Part, policy: Policy) -> str:
    """The likeliest words of the last step as each agent hears them; nothing where ``before`` is NaN."""
    messenger, agents = policy.messenger, policy.agents
    assert messenger is not None
    words, vocabulary = messenger.config.words, messenger.config.vocabulary
    missing = part.then("IsNaN", BEFORE, name="unsaid")
    known = part.then(
        "Where", missing, part.constant("nothing", np.array(0.0, dtype=np.float32)), BEFORE, name="said"
    )
    said = _mlp(part, messenger.speaker, _scaled(part, policy, known, "earlier"), "speaker")
    cut = part.then(
        "Reshape", said, _integers(part, "shape_cut", [-1, agents, words, vocabulary]), name="words_cut"
    )
    best = part.then("ArgMax", cut, name="words_best", axis=-1, keepdims=0)
    depth, values = (
        _integers(part, "shape_vocabulary", [vocabulary]),
        part.constant("off_on", np.array([0.0, 1.0], dtype=np.float32)),
    )
    flat = part.then("OneHot", best, depth, values, name="words_hot", axis=-1)
    flat = part.then(
        "Reshape", flat, _integers(part, "shape_flat", [-1, 1, agents, words * vocabulary]), name="words_flat"
    )
    if messenger.config.mode == "silent":
        flat = part.then(
            "Mul", flat, part.constant("mute", np.array(0.0, dtype=np.float32)), name="words_mute"
        )
    others = (1.0 - np.eye(agents, dtype=np.float32))[None, :, :, None]
    spread = part.then("Mul", flat, part.constant("others", others), name="words_spread")
    heard = part.then(
        "Reshape",
        spread,
        _integers(part, "shape_heard", [-1, agents, agents * words * vocabulary]),
        name="words_heard",
    )
    first = part.then("Cast", missing, name="unsaid_float", to=_FLOAT)
    any_first = part.then(
        "ReduceMax", first, _integers(part, "shape_all_axes", [1, 2]), name="unsaid_any", keepdims=1
    )
    spoke = part.then("Sub", part.constant("one", np.array(1.0, dtype=np.float32)), any_first, name="spoke")
    return part.then("Mul", heard, spoke, name="heard")


def _mlp(part: Part, network: StackedMLP, x: str, prefix: str) -> str:
    """A stacked perceptron: ``[E, A, in]`` to ``[E, A, out]``."""
    h = part.then("Transpose", x, name=f"{prefix}_by_agent", perm=[1, 0, 2])
    layers = [*network.hidden, network.last]
    for number, layer in enumerate(layers):
        weight = part.constant(f"{prefix}_weight_{number}", layer.weight.detach().numpy())
        bias = part.constant(f"{prefix}_bias_{number}", layer.bias.detach().numpy())
        h = part.then(
            "Add",
            part.then("MatMul", h, weight, name=f"{prefix}_product_{number}"),
            bias,
            name=f"{prefix}_{number}",
        )
        if layer is not network.last:
            h = part.then("Tanh", h, name=f"{prefix}_bent_{number}")
    return part.then("Transpose", h, name=f"{prefix}_by_copy", perm=[1, 0, 2])


def _greedy(part: Part) -> None:
    """The likeliest action that is allowed; all are where none is."""
    logits = part.output
    allowed = part.then("Cast", MASK, name="allowed", to=_FLOAT)
    some = part.then("ReduceMax", allowed, _integers(part, "shape_last", [2]), name="some", keepdims=1)
    free = part.then("Cast", some, name="some_bool", to=_BOOL)
    legal = part.then("Or", MASK, part.then("Not", free, name="none"), name="legal")
    hidden = part.constant("hidden", np.array(-1e9, dtype=np.float32))
    masked = part.then("Where", legal, logits, hidden, name="masked")
    part.then("ArgMax", masked, name="greedy", axis=-1, keepdims=0)


def _integers(part: Part, name: str, values: list[int]) -> str:
    return part.constant(name, np.array(values, dtype=np.int64))


class OnnxPolicy:
    """Acts with ONNX Runtime on one thread; reads nothing but ONNX bytes."""

    def __init__(self, model: bytes) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        found = self._session.get_modelmeta().custom_metadata_map
        self.agents: tuple[str, ...] = tuple(json.loads(found.get("agents", "[]")))
        self._inputs = {entry.name for entry in self._session.get_inputs()}

    def act(
        self, observation: NDArray[Any], mask: NDArray[Any], before: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Greedy actions of observations ``[E, A, F]`` under masks ``[E, A, K]``."""
        told = {OBSERVATION: np.asarray(observation, dtype=np.float32)}
        if MASK in self._inputs:
            told[MASK] = np.asarray(mask, dtype=np.bool_)
        if BEFORE in self._inputs:
            nothing = np.full_like(told[OBSERVATION], np.nan)
            told[BEFORE] = nothing if before is None else np.asarray(before, dtype=np.float32)
        return np.asarray(self._session.run([OUTPUT], told)[0])
