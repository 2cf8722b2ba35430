"""A scoring model whose graph is run by ONNX Runtime.

Knows the graph's inputs; knows nothing of registries or requests. Never imports torch.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from services.features.encode import Tensors
from services.features.item_vectors import ItemVectors
from services.ranking.model.execution import ExecutionConfig
from services.ranking.model.onnx_session import Graph, open_graph
from services.registry.model import Scores
from services.registry.reader import BATCHED

INPUTS = ("scenario", "behavior", "language", "item", "item_text", "cross")


class OnnxModel:
    """A graph on ONNX Runtime.

    Args:
        path: model.onnx.
        version: name and version.
        providers: execution providers, best first; all must be obtained.
        execution: how graphs are run.
        vectors: the learned item vectors that the model was trained on; none, or one.
    """

    def __init__(
        self,
        path: Path,
        version: str,
        providers: Sequence[str],
        execution: ExecutionConfig = ExecutionConfig(),  # noqa: B008 - it cannot be changed
        vectors: Sequence[ItemVectors] = (),
    ) -> None:
        self._graph = open_graph(path, providers, execution)
        self._batched_graph: Graph | None = None
        if execution.batch_wait_ms > 0 and (batched := path.with_name(BATCHED)).exists():
            self._batched_graph = open_graph(batched, providers, execution)
        self._contexts = execution.batch_requests if execution.buckets else 0
        self.version, self.vectors = version, vectors

    @property
    def supports_batching(self) -> bool:
        """Whether a batch of requests can be scored in one run."""
        return self._batched_graph is not None

    def score(self, tensors: Tensors, target: np.ndarray, _left_s: float = math.inf, /) -> Scores:
        """Scores of one request."""
        inputs = {name: getattr(tensors, name) for name in INPUTS}
        return Scores(*self._graph.run({**inputs, "target": target.astype(np.float32)[None]}))

    def score_batch(self, requests: Sequence[tuple[Tensors, np.ndarray]]) -> list[Scores]:
        """Scores of requests with the same number of scenarios, in one run; needs `supports_batching`."""
        if self._batched_graph is None:
            raise TypeError(f"{self.version} has no graph for batches of requests")
        preference, transfer, score, probability = self._batched_graph.run(_concatenate(requests, self._contexts))
        bounds = np.cumsum([len(tensors.item) for tensors, _ in requests])[:-1]
        split = zip(*(np.split(output, bounds) for output in (preference, score, probability)), strict=True)
        answers = zip(split, transfer[: len(requests)], strict=True)
        return [Scores(p, weights, r, share) for (p, r, share), weights in answers]


def _concatenate(requests: Sequence[tuple[Tensors, np.ndarray]], contexts: int) -> dict[str, np.ndarray]:
    """The inputs of the batched graph; `request` holds the index of each item's request.

    To limit the number of shapes, the last request's context is repeated until there are `contexts` of them.
    """
    tensors = [each for each, _ in requests]
    filled = [*requests, *[requests[-1]] * (contexts - len(requests))]
    users = {name: np.concatenate([getattr(each, name) for each, _ in filled]) for name in ("behavior", "language")}
    items = {name: np.concatenate([getattr(each, name) for each in tensors]) for name in ("item", "item_text", "cross")}
    return {
        "scenario": np.stack([each.scenario for each, _ in filled]),
        **users,
        **items,
        "target": np.stack([target for _, target in filled]).astype(np.float32),
        "request": np.repeat(np.arange(len(requests)), [len(each.item) for each in tensors]),
    }
