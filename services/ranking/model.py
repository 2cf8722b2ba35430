"""A model as ranking sees it, and its graph run by ONNX Runtime.

Knows the graph's inputs; knows nothing of registries or requests. Never imports torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime

from services.features.encode import Tensors
from services.ranking.registry import ModelUnavailable

INPUTS = ("scenario", "behavior", "language", "item", "item_text", "cross")
OUTPUTS = ("preference", "transfer", "score", "probability")


@dataclass(frozen=True)
class Scores:
    """What the model says: P [N, J], M [J], R [N] and R / sum M [N]."""

    preference: np.ndarray
    transfer: np.ndarray
    score: np.ndarray
    probability: np.ndarray


class Model(Protocol):
    """Scores one request."""

    version: str

    def score(self, tensors: Tensors, target: np.ndarray) -> Scores:
        """Scores of the candidates; target [J] is the posterior over target scenarios."""
        ...


class FakeModel:
    """A model for tests: preference rises with the first item feature, weights follow the target."""

    version = "fake/1"

    def score(self, tensors: Tensors, target: np.ndarray) -> Scores:
        """P[n, j] = sigmoid of item feature 0; M[j] = (1 + target[j]) / 2."""
        preference = 1 / (1 + np.exp(-tensors.item[:, :1])) * np.ones_like(tensors.cross[:, :, 0])
        transfer = (1 + target) / 2
        score = preference @ transfer
        return Scores(preference, transfer, score, score / transfer.sum())


class OnnxModel:
    """A graph on ONNX Runtime.

    Args:
        path: model.onnx.
        version: name and version.
        providers: execution providers, best first; all must be obtained.
    """

    def __init__(self, path: Path, version: str, providers: Sequence[str]) -> None:
        options = onnxruntime.SessionOptions()
        # One thread beats two for graphs of this size, and leaves the other core to other requests.
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=list(providers))
        except Exception as error:
            # Its errors have no common class; all of them say that this file does not become a session here.
            raise ModelUnavailable(f"model {version}: ONNX Runtime cannot open {path}: {error}") from error
        obtained = self._session.get_providers()
        if missing := [provider for provider in providers if provider not in obtained]:
            raise ModelUnavailable(
                f"ranking.providers: asked for {', '.join(missing)}, ONNX Runtime obtained only {', '.join(obtained)}"
            )
        self.version = version

    def score(self, tensors: Tensors, target: np.ndarray) -> Scores:
        """One run of the graph."""
        inputs = {name: getattr(tensors, name) for name in INPUTS}
        return Scores(*self._session.run(OUTPUTS, {**inputs, "target": target.astype(np.float32)[None]}))
