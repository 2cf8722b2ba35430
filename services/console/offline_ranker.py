"""Ranks a request with any model version of the registry, in this process.

The ranking server assigns models by user; here the version is chosen. Rows come from the same online store. Nothing is
written.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.ranking.model.ab_split import FixedModel
from services.ranking.pipeline import Ranker, rank
from services.registry.description import FIELDS_OF_ALL, RECOGNISER
from services.registry.model import ScoringModel
from services.registry.promotion import list_roles
from services.registry.reader import Registry, Version
from services.settings.load import Settings

MAX_LOADED = 4
DEADLINE_S = 20.0
"""Deadline of a ranking, seconds: the first one reads all rows."""


class OfflineRanker:
    """Ranks with versions of the registry. Thread-safe; calls block.

    Args:
        registry: the model registry.
        name: model that the servers rank with.
        load: loads a version; raises CrossRecError.
        open_ranker: builds a ranker for a model.
    """

    def __init__(
        self,
        registry: Registry,
        name: str,
        load: Callable[[Version], ScoringModel],
        open_ranker: Callable[[ScoringModel], Ranker],
    ) -> None:
        self._registry, self._name, self._load, self._open = registry, name, load, open_ranker
        self._lock, self._loaded = threading.Lock(), dict[Version, ScoringModel]()
        self._ranker: Ranker | None = None

    def versions(self) -> dict[str, str]:
        """The versions that can rank, NAME/VERSION, with their role: serving ones first, then the newest.

        Raises CrossRecError if the registry cannot be read.
        """
        self._registry.invalidate_listings()
        roles: dict[Version, str] = {}
        if self._registry.newest(self._name):
            for version, role in list_roles(self._registry, self._name):
                roles[version] = f"{roles[version]}, {role}" if version in roles else role
        all_of_them = [version for name in self._registry.names() for version in self._registry.versions(name)]
        found = [*roles, *(version for version in all_of_them if version not in roles and self._ranks(version))]
        return {str(version): roles.get(version, "") for version in found}

    def rank(self, version: str, request: pb.RankRequest) -> pb.RankResponse:
        """The answer of a version. Raises CrossRecError for a wrong version, rows or request."""
        ranker = self._ranker_with(Version.parse(version))
        until_s = time.monotonic() + DEADLINE_S
        return pb.RankResponse.FromString(rank(ranker, request, lambda: until_s - time.monotonic()))

    def _ranker_with(self, version: Version) -> Ranker:
        with self._lock:
            if version not in self._loaded:
                while len(self._loaded) >= MAX_LOADED:
                    self._loaded.pop(next(iter(self._loaded)))
                self._loaded[version] = self._load(version)
            model = self._loaded[version]
            if self._ranker is None:
                self._ranker = self._open(model)
            return replace(self._ranker, models=FixedModel(model))

    def _ranks(self, version: Version) -> bool:
        return self._registry.manifest(version, FIELDS_OF_ALL).get("kind") != RECOGNISER


def open_offline_ranker(settings: Settings) -> OfflineRanker:
    """A ranker over the settings' registry, on the CPU, whatever the servers run on. Opens nothing yet."""
    from services.features.schema import build_schema

    registry = Registry(settings.registry_dir, settings.registry_cache_dir)

    def load(version: Version) -> ScoringModel:
        from services.ranking.model.loader import ModelLoader
        from services.text.encoder import read_encoder_info

        schema = build_schema(settings.features)
        encoder = read_encoder_info(settings.encoder_dir).fingerprint
        return ModelLoader(registry, schema, encoder, ("CPUExecutionProvider",))(version)

    def open_ranker(model: ScoringModel) -> Ranker:
        from services.ranking.wiring import build_ranker

        return build_ranker(settings, FixedModel(model))[0]

    return OfflineRanker(registry, settings.ranking.model, load, open_ranker)
