"""The stage that settles the target scenario: the one that the request names, or a posterior over all.

The posterior is that of the registered recogniser, or of the user's habits alone where there is none. Knows the
recogniser's files; never imports scikit-learn.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.features.catalogue import attribute_values
from services.features.recognition import mix_posterior, recognition_features, user_prior
from services.features.rows import Block
from services.features.schema import Schema
from services.ranking.cache.scenario_cache import Scenarios
from services.ranking.degraded import Degraded
from services.ranking.validate import Request
from services.registry.compatibility import recogniser_differences
from services.registry.reader import MODEL, ModelMismatch, Registry, wanted_version

INPUT, OUTPUT = "features", "posterior"
MANIFEST_FIELDS = ("name", "version", "schema_fingerprint", "features", "inputs", "scenarios", "source_only", "sources")


class Recogniser(Protocol):
    """Says in which of its scenarios a moment is.

    Args:
        version: name and version.
        scenarios: the K scenarios that it tells apart.
        sources: the scenarios whose rows its features are made of, in order.
        source_only: those of them that are never a target.
    """

    version: str
    scenarios: tuple[str, ...]
    sources: tuple[str, ...]
    source_only: frozenset[str]

    def posterior(self, features: np.ndarray) -> np.ndarray:
        """Probabilities [R, K] from recognition features [R, F]."""
        ...


class OnnxRecogniser:
    """A registered version on ONNX Runtime.

    Args:
        directory: where its files are.
        manifest: its manifest, checked.
    """

    def __init__(self, directory: Path, manifest: Mapping[str, Any]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        # Trees are walked, not multiplied: a graphics card has nothing to win here.
        self._session = onnxruntime.InferenceSession(directory / MODEL, options, providers=["CPUExecutionProvider"])
        self.version = f"{manifest['name']}/{manifest['version']}"
        self.scenarios, self.sources = tuple(manifest["scenarios"]), tuple(manifest["sources"])
        self.source_only = frozenset(manifest["source_only"])
        shape = {value.name: value.shape[-1] for value in (*self._session.get_inputs(), *self._session.get_outputs())}
        expected = {INPUT: len(manifest["inputs"]), OUTPUT: len(self.scenarios)}
        if shape != expected:
            raise ModelMismatch(f"recogniser {directory}: its graph has {shape}, its manifest says {expected}")

    def posterior(self, features: np.ndarray) -> np.ndarray:
        """One run of the graph."""
        (result,) = self._session.run([OUTPUT], {INPUT: features})
        posterior: np.ndarray = result
        return posterior


def open_recogniser(registry: Registry, wanted: str, schema: Schema, *, required: bool) -> OnnxRecogniser | None:
    """The recogniser `wanted`: a name (its newest version), name/version, or "" for none.

    None if it is not there and not `required`. Raises ModelUnavailable, ModelMismatch.
    """
    name, _, number = wanted.partition("/")
    if not name or not (required or registry.newest(name)):
        return None
    version = wanted_version(registry, name, number, "ranking.recogniser", "crossrec train-recogniser")
    manifest = registry.manifest(version, MANIFEST_FIELDS)
    if found := recogniser_differences(manifest, schema):
        raise ModelMismatch(
            f"recogniser {registry.where(version)} does not fit this server: {'; '.join(found)}; `crossrec "
            "train-recogniser` makes one that does, an empty ranking.recogniser does without"
        )
    return OnnxRecogniser(registry.local(version, manifest), manifest)


def recognise(
    recogniser: Recogniser | None,
    schema: Schema,
    request: Request,
    scenarios: Scenarios,
    user_scenario: Block,
    degraded: Degraded,
) -> np.ndarray:
    """Posterior over target scenarios, [J]; user_scenario holds the user's rows [J].

    The given scenario, if there is one. Else the recogniser's posterior, where scenarios that it was not trained
    on keep what the user's habits give them; without a recogniser the habits alone.
    """
    count = len(scenarios.ids)
    if request.scenario_id:
        place = scenarios.index(request.scenario_id)
        if place is None:
            degraded.add(pb.DEGRADATION_REASON_UNKNOWN_SCENARIO, "the target scenario is not known: all count alike")
            return np.full(count, 1 / count)
        given: np.ndarray = np.eye(count)[place]
        return given
    time_s = np.array([request.time_s])
    prior: np.ndarray = user_prior(schema.config, time_s, user_scenario, scenarios.activity)[0]
    if recogniser is None:
        return prior
    context = attribute_values(schema.config, "context", request.context)[None]
    rows = [_rows_of(block, scenarios, recogniser.sources) for block in (user_scenario, scenarios.activity)]
    recognised = recogniser.posterior(recognition_features(schema.config, time_s, rows[0], rows[1], context))[0]
    known = {scenario: number for number, scenario in enumerate(recogniser.scenarios)}
    places = np.array([known.get(scenario, -1) for scenario in scenarios.ids])
    source_only = np.array([scenario in recogniser.source_only for scenario in scenarios.ids])
    return mix_posterior(prior, recognised.astype(np.float64), places, source_only)


def _rows_of(block: Block, scenarios: Scenarios, sources: tuple[str, ...]) -> Block:
    """What recognition reads of the rows of `sources`; of scenarios that are gone, rows without events."""
    places = np.array([-1 if (place := scenarios.index(source)) is None else place for source in sources])
    counts = np.where(places[:, None] >= 0, block.floats("counts")[places], 0.0)
    time_s = np.where(places >= 0, block.floats("time_s")[places], 0.0)
    return Block(block.view, len(sources), {"counts": counts, "time_s": time_s}, {})
