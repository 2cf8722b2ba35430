"""What the ranking server is measured against: two servers of the same contract, each a process of its own.

    floor   the same messages and the same model on tensors that lie ready: no features
    feast   get_online_features, as Feast's documentation shows, then the same encoding and the same model

`python -m export.bench.rank_servers floor|feast ADDRESS`, with the settings of the environment.
"""

import grpc
import numpy as np

from crossrec.ranking.v1 import ranking_pb2 as pb
from export.bench.feast_path import FeastPath
from services.features.encode import Tensors, encode
from services.ranking.model import Model
from services.ranking.reply import serialised

THREADS = 4


class _Server:
    """Answers as the ranking server does, from tensors."""

    def __init__(self, path: FeastPath, model: Model) -> None:
        self._path, self._model = path, model

    def tensors(self, request: pb.RankRequest) -> Tensors:
        """The tensors of a request."""
        return encode(self._path._schema, self._path.hydrate(request))

    def rank(self, request: pb.RankRequest, _: grpc.ServicerContext) -> bytes:
        """The answer."""
        scenarios = self._path.scenarios
        target = np.eye(len(scenarios))[scenarios.index(request.scenario_id)]
        scores = self._model.score(self.tensors(request), target)
        weights = zip(scenarios, scores.transfer.tolist(), strict=True)
        head = pb.RankResponse(
            scenario_id=request.scenario_id,
            transfer_weights=[pb.TransferWeight(scenario_id=name, weight=weight) for name, weight in weights],
            model_version=self._model.version,
        )
        order = np.argsort(-scores.score, kind="stable")
        return serialised(head, tuple(request.item_ids), scores, order, explain=request.options.explain)
