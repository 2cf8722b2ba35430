"""Baselines of the ranking benchmark: two servers of the same contract, each a process of its own.

    floor   the same messages and the same model on precomputed tensors: no features
    feast   get_online_features, as Feast's documentation shows, then the same encoding and the same model

`python -m tests.bench.rank_servers floor|feast ADDRESS`, with the settings of the environment.
"""

import sys

import grpc
import numpy as np

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.features.encode import Tensors, encode
from services.features.schema import Schema, build_schema
from services.ranking.respond import serialize_reply
from services.ranking.service import MAX_REQUEST_BYTES, RANKING_SERVICE, register_rank
from services.ranking.wiring import build_models
from services.registry.model import ScoringModel
from services.server.grpc_server import ServerLimits, build_server
from services.server.lifecycle import freeze_heap, serve_until_signal
from services.settings.load import load_settings
from services.store.feast_registry import open_feature_store
from services.text.encoder import read_encoder_info
from tests.bench.feast_path import FeastPath

THREADS = 4


class FeastServer:
    """Answers like the ranking server, with features read through Feast.

    Args:
        path: reads the rows of requests.
        schema: the feature schema.
        model: scores candidates.
    """

    def __init__(self, path: FeastPath, schema: Schema, model: ScoringModel) -> None:
        self._path, self._schema, self._model = path, schema, model

    def tensors(self, request: pb.RankRequest) -> Tensors:
        """The tensors of a request."""
        return encode(self._schema, self._path.hydrate(request))

    def rank(self, request: pb.RankRequest, _: grpc.ServicerContext) -> bytes:
        """The answer to a request; its scenario and time must be set."""
        scenarios = self._path.scenarios
        target = np.eye(len(scenarios))[scenarios.index(request.scenario_id)]
        scores = self._model.score(self.tensors(request), target)
        weights = zip(scenarios, scores.transfer.tolist(), scores.share.tolist(), strict=True)
        head = pb.RankResponse(
            scenario_id=request.scenario_id,
            transfer_weights=[pb.TransferWeight(scenario_id=name, weight=m, share=s) for name, m, s in weights],
            model_version=self._model.version,
        )
        order = np.argsort(-scores.score, kind="stable")
        return serialize_reply(head, tuple(request.item_ids), scores, order, explain=request.options.explain)


class FloorServer(FeastServer):
    """The same without features: the tensors of the first request of each size are reused for that size."""

    def __init__(self, path: FeastPath, schema: Schema, model: ScoringModel) -> None:
        super().__init__(path, schema, model)
        self._ready: dict[int, Tensors] = {}

    def tensors(self, request: pb.RankRequest) -> Tensors:
        """Precomputed tensors."""
        size = len(request.item_ids)
        if size not in self._ready:
            self._ready[size] = super().tensors(request)
        return self._ready[size]


SERVERS = {"floor": FloorServer, "feast": FeastServer}


def main(name: str, address: str) -> None:
    """Serve until SIGTERM."""
    settings = load_settings()
    schema, models = build_schema(settings.features), build_models(settings)
    path = FeastPath(open_feature_store(settings), schema, read_encoder_info(settings.encoder_dir).fingerprint)
    service = SERVERS[name](path, schema, models.assign("").model)

    def register(server: grpc.Server) -> None:
        register_rank(server, service.rank)

    built = build_server(RANKING_SERVICE, register, address, ServerLimits(THREADS, MAX_REQUEST_BYTES))
    freeze_heap()
    serve_until_signal(built.server, built.health, 1.0, lambda: None)


if __name__ == "__main__":
    main(*sys.argv[1:])
