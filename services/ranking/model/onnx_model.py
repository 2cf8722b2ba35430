"""A model as ranking sees it, and its graph run by ONNX Runtime.

Knows the graph's inputs; knows nothing of registries or requests. Never imports torch.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from services.features.encode import Tensors
from services.ranking.model.execution import Execution
from services.ranking.model.onnx_session import Graph, open_graph
from services.registry.model import Scores
from services.registry.reader import MANY

INPUTS = ("scenario", "behavior", "language", "item", "item_text", "cross")


class OnnxModel:
    """A graph on ONNX Runtime.

    Args:
        path: model.onnx.
        version: name and version.
        providers: execution providers, best first; all must be obtained.
        execution: how graphs are run.
    """

    def __init__(
        self,
        path: Path,
        version: str,
        providers: Sequence[str],
        execution: Execution = Execution(),  # noqa: B008 - it cannot be changed
    ) -> None:
        self._graph = open_graph(path, providers, execution)
        self._many: Graph | None = None
        if execution.batch_wait_ms > 0 and (many := path.with_name(MANY)).exists():
            self._many = open_graph(many, providers, execution)
        self._contexts = execution.batch_requests if execution.buckets else 0
        self.version = version

    @property
    def takes_many(self) -> bool:
        """Whether several requests can be scored in one run."""
        return self._many is not None

    def score(self, tensors: Tensors, target: np.ndarray, _left_s: float = math.inf, /) -> Scores:
        """Scores of one request."""
        inputs = {name: getattr(tensors, name) for name in INPUTS}
        return Scores(*self._graph.run({**inputs, "target": target.astype(np.float32)[None]}))

    def score_many(self, requests: Sequence[tuple[Tensors, np.ndarray]]) -> list[Scores]:
        """Scores of requests of as many scenarios, in one run; the model must `takes_many`."""
        if self._many is None:
            raise TypeError(f"{self.version} has no graph for several requests")
        preference, transfer, score, probability = self._many.run(_joined(requests, self._contexts))
        bounds = np.cumsum([len(tensors.item) for tensors, _ in requests])[:-1]
        split = zip(*(np.split(output, bounds) for output in (preference, score, probability)), strict=True)
        found = zip(split, transfer[: len(requests)], strict=True)
        return [Scores(p, weights, r, share) for (p, r, share), weights in found]


def _joined(requests: Sequence[tuple[Tensors, np.ndarray]], contexts: int) -> dict[str, np.ndarray]:
    """The inputs of the graph of several requests; `request` says whose an item is.

    Where shapes shall stay few, the last request's context is repeated until there are as many as `contexts`.
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
