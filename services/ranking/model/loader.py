"""Loads a version of a model to serve: reads, checks and opens it, scores its sample requests, warms it up.

Knows the order of the checks; each check is in a module of its own.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from services.errors import CrossRecError
from services.features.encode import Tensors, leading_shapes
from services.features.schema import Schema
from services.ranking.model.batching import BatchingModel
from services.ranking.model.execution import ExecutionConfig
from services.ranking.model.onnx_model import OnnxModel
from services.registry.compatibility import model_differences
from services.registry.model import ScoringModel
from services.registry.reader import BATCHED, MODEL, ModelMismatch, ModelUnavailable, Registry, Version
from services.registry.samples import SAMPLES, check_samples, read_samples
from services.registry.vectors_file import VECTORS, read_vectors
from services.server.logging import log_event

WARM_ITEMS = (1, 30, 100, 500, 2000)
"""Numbers of candidates that a model scores before it serves, up to the most of a request, to allocate memory."""

_logger = logging.getLogger(__name__)


class ModelLoader:
    """Loads versions for one server.

    Args:
        registry: the model registry.
        schema: the server's feature schema.
        encoder: fingerprint of the server's text encoder.
        providers: ONNX Runtime's execution providers.
        execution: how graphs are run.
    """

    def __init__(
        self,
        registry: Registry,
        schema: Schema,
        encoder: int,
        providers: Sequence[str],
        execution: ExecutionConfig = ExecutionConfig(),  # noqa: B008 - it cannot be changed
    ) -> None:
        self._registry, self._schema, self._encoder = registry, schema, encoder
        self._providers, self._execution = providers, execution

    def __call__(self, version: Version) -> ScoringModel:
        """A warm model that has passed every check.

        Raises ModelMismatch or ModelUnavailable naming the problem, RegistryUnavailable if a retry may help.
        """
        manifest = self._registry.manifest(version)
        if differences := model_differences(manifest, self._schema, self._encoder):
            where = self._registry.where(version)
            raise ModelMismatch(f"model {where} does not fit this server: {'; '.join(differences)}")
        directory = self._registry.fetch(version, manifest)
        try:
            vectors = (read_vectors((directory / VECTORS).read_bytes()),) if VECTORS in manifest["files"] else ()
            model = OnnxModel(directory / MODEL, str(version), self._providers, self._execution, vectors)
            if SAMPLES in manifest["files"]:
                worst = check_samples(model, read_samples((directory / SAMPLES).read_bytes()))
                log_event(_logger, "model_checked", model=str(version), samples_difference_max=worst)
            else:
                log_event(_logger, "model_without_samples", model=str(version))
            warm(model, manifest)
        except CrossRecError as error:
            raise type(error)(f"model {self._registry.where(version)}: {error}") from error
        except Exception as error:
            # ONNX Runtime's errors have no common class, and this boundary keeps a bad graph from serving.
            raise ModelUnavailable(f"model {self._registry.where(version)}: it cannot be run: {error}") from error
        return self._with_batching(model)

    def _with_batching(self, model: OnnxModel) -> ScoringModel:
        wait_ms, requests = self._execution.batch_wait_ms, self._execution.batch_requests
        if wait_ms <= 0:
            return model
        if not model.supports_batching:
            log_event(_logger, "model_unbatched", model=model.version, reason=f"no {BATCHED} is registered")
            return model
        return BatchingModel(model, wait_ms / 1000, requests)


def warm(model: OnnxModel, manifest: Mapping[str, Any]) -> None:
    """Score requests of several sizes, so that no real request pays for lazy initialisation."""
    scenarios = max(1, len(manifest.get("sources", ())))
    widths = {name: len(names) for name, names in manifest["tensors"].items()}
    for items in WARM_ITEMS:
        shapes = leading_shapes(items, scenarios)
        zeros = {name: np.zeros((*shape, widths[name]), np.float32) for name, shape in shapes.items()}
        model.score(Tensors(**zeros), np.full(scenarios, 1 / scenarios))
