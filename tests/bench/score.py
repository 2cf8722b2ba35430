"""`crossrec bench score`: the registered model alone, per execution provider, on random features.

Times the same calls as the server makes: chunked runs on the CPU, padded runs on a device.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from export.evaluation.machine import machine, versions
from services.features.encode import Tensors, leading_shapes
from services.ranking.model.batching import BatchingModel
from services.ranking.model.execution import build_execution
from services.ranking.model.onnx_model import INPUTS, OnnxModel
from services.registry.promotion import find_serving
from services.registry.reader import MODEL, Registry
from services.settings.load import Settings
from services.settings.processes import RankingSettings

CANDIDATES = (1, 50, 200, 500, 1000, 2000)
REQUESTS = (2, 4, 8)
BATCHED_CANDIDATES = 50
"""Candidates per request when several requests are scored in one run."""

THREADS = 16
"""Concurrent requests, alone and batched."""

WAIT_S = 0.001
"""Longest wait of a request for its batch, seconds."""

WARM_UP = 10
PACKAGES = ("crossrec", "onnxruntime-gpu", "numpy")


def run_bench_score(settings: Settings, providers: Sequence[str], runs: int) -> dict[str, Any]:
    """Milliseconds per provider, each alone with the CPU as fallback; without any, the providers of the settings.

    Raises ModelUnavailable if there is no model, or a provider is not obtained.
    """
    chosen = settings.ranking
    registry = Registry(settings.registry_dir, settings.registry_cache_dir)
    version = find_serving(registry, chosen.model, chosen.version, "ranking.model")
    manifest = registry.manifest(version)
    path = registry.fetch(version, manifest) / MODEL
    measured = {}
    for asked in [_providers_of(provider) for provider in providers] or [chosen.providers]:
        execution = build_execution(chosen.model_copy(update={"providers": asked}))
        # Any wait above 0 loads the graph that scores several requests.
        execution = replace(execution, batch_wait_ms=1.0, batch_requests=max(REQUESTS))
        model = OnnxModel(path, str(version), asked, execution)
        measured[asked[0]] = _measure(model, manifest, runs)
    return {
        "model": str(version),
        "providers": measured,
        "workload": {"sources": len(manifest["sources"]), "runs": runs, "features": "normally distributed, seed 0"},
        "versions": versions(PACKAGES),
        "machine": machine(),
    }


def _providers_of(provider: str) -> tuple[str, ...]:
    processor = RankingSettings().providers
    return processor if provider in processor else (provider, *processor)


def _measure(model: OnnxModel, manifest: Mapping[str, Any], runs: int) -> dict[str, Any]:
    """Figures per number of candidates, and per number of requests in one run if the model has a graph for it."""
    random = np.random.default_rng(0)
    found: dict[str, Any] = {"candidates": {}}
    for items in CANDIDATES:
        request = random_request(manifest, items, random)
        found["candidates"][str(items)] = _time_calls(lambda request=request: model.score(*request), runs)  # type: ignore[misc]
    if model.supports_batching:
        found["requests_in_one_run"] = {"candidates_each": BATCHED_CANDIDATES}
        for count in REQUESTS:
            requests = [random_request(manifest, BATCHED_CANDIDATES, random) for _ in range(count)]
            timed = _time_calls(lambda requests=requests: model.score_batch(requests), runs)  # type: ignore[misc]
            found["requests_in_one_run"][str(count)] = timed
        batched = BatchingModel(model, WAIT_S, max(REQUESTS))
        found["concurrent"] = {
            "threads": THREADS,
            "candidates_each": BATCHED_CANDIDATES,
            "alone_per_s": _calls_per_s(lambda: model.score(*requests[0]), runs),
            "batched_per_s": _calls_per_s(lambda: batched.score(*requests[0]), runs),
        }
    return found


def random_request(manifest: Mapping[str, Any], items: int, random: np.random.Generator) -> tuple[Tensors, np.ndarray]:
    """Random tensors of the model's widths, and a target posterior."""
    sources = len(manifest["sources"])
    shapes = leading_shapes(items, sources)
    widths = {name: len(manifest["tensors"][name]) for name in INPUTS}
    made = {name: random.normal(size=(*shapes[name], widths[name])).astype(np.float32) for name in INPUTS}
    return Tensors(**made), np.eye(sources)[0]


def _calls_per_s(call: Callable[[], object], runs: int) -> float:
    """Calls per second of THREADS threads that make `runs` calls each."""

    def run(times: int) -> None:
        for _ in range(times):
            call()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(run, [WARM_UP] * THREADS))
        begin = time.perf_counter()
        list(pool.map(run, [runs] * THREADS))
        return round(THREADS * runs / (time.perf_counter() - begin), 1)


def _time_calls(call: Callable[[], object], runs: int) -> dict[str, float]:
    """Milliseconds of a call: median and 99th percentile, and mean CPU time."""
    for _ in range(WARM_UP):
        call()
    took, busy = [], time.process_time()
    for _ in range(runs):
        begin = time.perf_counter()
        call()
        took.append(time.perf_counter() - begin)
    busy = time.process_time() - busy
    p50, p99 = np.percentile(took, [50, 99]) * 1000
    return {"p50_ms": round(p50, 4), "p99_ms": round(p99, 4), "cpu_ms": round(busy * 1000 / runs, 4)}
