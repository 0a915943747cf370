"""Scoring by ONNX Runtime, from nothing but the bytes of a graph that ``models.onnx_graph`` made."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.models.onnx_graph import INPUT, OUTPUT


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
