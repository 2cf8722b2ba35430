"""Graphs on ONNX Runtime: sessions with exactly the requested providers, run in pieces or in fixed shapes.

Knows the names of the graphs' inputs and which of them have a row per candidate; knows nothing of requests, models
or registries.
"""

import io
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime

from services.ranking.model.execution import ExecutionConfig, bucket_for, split_evenly
from services.registry.reader import ModelUnavailable

OUTPUTS = ("preference", "transfer", "score", "probability")
PER_ITEM = frozenset({"item", "item_text", "cross", "request", "preference", "score", "probability"})
"""Inputs and outputs whose first axis counts candidates."""

PAIRS_PER_RUN = 1536
"""Pairs of candidate and scenario that a CPU scores in one run: the intermediate results of the matrix products then
fit into a megabyte of cache, and the fixed cost of a run is still a few per cent."""

SHAPES_KEPT = 16
"""Shapes whose buffers are kept; more than there are buckets, because the number of scenarios can change."""

CUDA = "CUDAExecutionProvider"
ON_CUDA = (CUDA, "TensorrtExecutionProvider")

DEFAULTS: Mapping[str, Mapping[str, str]] = {CUDA: {"use_tf32": "0"}}
"""Default options of providers. TF32 keeps ten bits of a factor: scores would differ by 1e-3."""

Arrays = Mapping[str, np.ndarray]


class Graph(Protocol):
    """A graph that computes OUTPUTS."""

    def run(self, inputs: Arrays) -> list[np.ndarray]:
        """OUTPUTS for named inputs."""
        ...


def open_graph(path: Path, providers: Sequence[str], execution: ExecutionConfig) -> Graph:
    """Open a graph to run as configured in `execution`. Raises ModelUnavailable naming the setting."""
    if execution.cuda_graph and CUDA not in providers:
        raise ModelUnavailable(f"ranking.cuda_graph: needs {CUDA} among ranking.providers")
    if execution.cuda_graph and not execution.buckets:
        raise ModelUnavailable("ranking.cuda_graph: needs fixed shapes, so ranking.candidate_buckets must not be empty")
    return PaddedGraph(path, providers, execution) if execution.buckets else TiledGraph(path, providers, execution)


def open_session(
    path: Path,
    providers: Sequence[str],
    provider_options: Mapping[str, Mapping[str, str]],
    sizes: Mapping[str, int] | None = None,
) -> onnxruntime.InferenceSession:
    """Open a session on one thread with all the providers, free axes fixed to `sizes`.

    Raises ModelUnavailable if a provider is not obtained: ONNX Runtime would continue without it.
    """
    options = onnxruntime.SessionOptions()
    # One thread is faster than two for graphs of this size, and leaves the other cores to other requests.
    options.intra_op_num_threads = 1
    for axis, size in (sizes or {}).items():
        options.add_free_dimension_override_by_name(axis, size)
    requested = [(name, {**DEFAULTS.get(name, {}), **provider_options.get(name, {})}) for name in providers]
    if set(providers) & set(ON_CUDA):
        load_cuda()
    try:
        with redirect_stdout(io.StringIO()) as stdout:
            session = onnxruntime.InferenceSession(path, options, providers=requested)
    except Exception as error:
        # Its errors have no common class; all of them mean that this file cannot be opened here.
        raise ModelUnavailable(f"ONNX Runtime cannot open {path}: {error}") from error
    obtained = session.get_providers()
    if missing := [provider for provider in providers if provider not in obtained]:
        raise ModelUnavailable(
            f"ranking.providers: asked for {', '.join(missing)}, ONNX Runtime obtained only {', '.join(obtained)}"
            f"{_fallback_reason(stdout.getvalue())}; `crossrec doctor` reports what is missing"
        )
    # After a failure on a device ONNX Runtime would continue on the CPU permanently, with one line on standard output.
    session.disable_fallback()
    return session


def _fallback_reason(stdout: str) -> str:
    """The reason that ONNX Runtime printed when it fell back to other providers."""
    lines = [line.removeprefix("EP Error ") for line in stdout.splitlines() if line.startswith("EP Error ")]
    return f" ({lines[0]})" if lines else ""


def load_cuda() -> None:
    """Load CUDA's libraries from Python packages, where the loader does not search for them."""
    # It prints what it does not find; the error of the session that needs it reports the same.
    with redirect_stdout(io.StringIO()):
        onnxruntime.preload_dlls()


class TiledGraph:
    """A graph that takes any shape, run on pieces of the candidates that fit a CPU's cache.

    Args:
        path: the graph.
        providers: execution providers, best first; all must be obtained.
        execution: how it is run.
    """

    def __init__(self, path: Path, providers: Sequence[str], execution: ExecutionConfig) -> None:
        self._session = open_session(path, providers, execution.provider_options)

    def run(self, inputs: Arrays) -> list[np.ndarray]:
        """OUTPUTS for named inputs."""
        return _run_in_pieces(self._run, inputs, max(1, PAIRS_PER_RUN // inputs["cross"].shape[1]))

    def _run(self, inputs: Arrays) -> list[np.ndarray]:
        outputs: list[np.ndarray] = self._session.run(OUTPUTS, inputs)
        return outputs


class PaddedGraph:
    """A graph run in few shapes, each with its own buffers on the device; candidates are padded to a bucket.

    The padding rows hold old values: the outputs of a row do not depend on other rows.

    Args:
        path: the graph.
        providers: execution providers, best first; all must be obtained.
        execution: how it is run; `buckets` is not empty.
    """

    def __init__(self, path: Path, providers: Sequence[str], execution: ExecutionConfig) -> None:
        self._path, self._providers, self._execution = path, providers, execution
        self._session = open_session(path, providers, execution.provider_options)
        self._given = {given.name: given for given in self._session.get_inputs()}
        self._bound = lru_cache(maxsize=SHAPES_KEPT)(self._bind)
        # A captured graph belongs to the thread that captured it.
        self._thread = ThreadPoolExecutor(1, "cuda-graph") if execution.cuda_graph else None

    def run(self, inputs: Arrays) -> list[np.ndarray]:
        """OUTPUTS for named inputs."""
        if self._thread:
            return self._thread.submit(self._run, inputs).result()
        return self._run(inputs)

    def _run(self, inputs: Arrays) -> list[np.ndarray]:
        return _run_in_pieces(self._run_piece, inputs, self._execution.buckets[-1])

    def _run_piece(self, inputs: Arrays) -> list[np.ndarray]:
        count = len(inputs["item"])
        rows = bucket_for(count, self._execution.buckets)
        shapes = {name: (rows if name in PER_ITEM else len(value), *value.shape[1:]) for name, value in inputs.items()}
        return self._bound(tuple(shapes.items())).run(inputs, count)

    def _bind(self, shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> "BoundRun":
        session = self._session
        if self._execution.cuda_graph:
            # A capture needs every node on the device, those that compute shapes too: with fixed shapes there are none.
            session = open_session(self._path, self._providers, self._capture_options(), self._sizes(shapes))
        first = self._providers[0]
        number = int(self._execution.provider_options.get(first, {}).get("device_id", 0))
        return BoundRun(session, dict(shapes), ("cuda", number) if first in ON_CUDA else ("cpu", 0))

    def _capture_options(self) -> dict[str, Mapping[str, str]]:
        options = dict(self._execution.provider_options)
        return {**options, CUDA: {**options.get(CUDA, {}), "enable_cuda_graph": "1"}}

    def _sizes(self, shapes: Sequence[tuple[str, tuple[int, ...]]]) -> dict[str, int]:
        """Sizes of the graph's free axes, by name."""
        named = [axis for name, shape in shapes for axis in zip(self._given[name].shape, shape, strict=True)]
        return {axis: size for axis, size in named if isinstance(axis, str)}


class BoundRun:
    """Runs of one shape, with inputs and outputs at fixed addresses on the device; one at a time.

    Args:
        session: takes the shape.
        shapes: of the inputs.
        device: "cuda" or "cpu", and its number.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, shapes: Mapping[str, tuple[int, ...]], device: tuple[str, int]
    ) -> None:
        self._session, self._lock = session, threading.Lock()
        types = {given.name: given.type for given in session.get_inputs()}
        self._staged = {
            name: np.zeros(shape, np.int64 if types[name] == "tensor(int64)" else np.float32)
            for name, shape in shapes.items()
        }
        self._binding = session.io_binding()
        self._inputs = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(value, *device) for name, value in self._staged.items()
        }
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        self._outputs = [self._bind_output(name, shape, device) for name, shape in self._output_shapes(shapes)]
        self._on_device = device[0] != "cpu"

    @staticmethod
    def _output_shapes(shapes: Mapping[str, tuple[int, ...]]) -> list[tuple[str, tuple[int, ...]]]:
        (items, sources), batched = shapes["cross"][:2], "request" in shapes
        transfer = shapes["target"] if batched else (sources,)
        return [
            ("preference", (items, sources)),
            ("transfer", transfer),
            ("score", (items,)),
            ("probability", (items,)),
        ]

    def _bind_output(self, name: str, shape: tuple[int, ...], device: tuple[str, int]) -> Any:
        value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, *device)
        self._binding.bind_ortvalue_output(name, value)
        return value

    def run(self, inputs: Arrays, count: int) -> list[np.ndarray]:
        """OUTPUTS of the first `count` candidates."""
        with self._lock:
            for name, value in inputs.items():
                self._staged[name][: len(value)] = value
                if self._on_device:
                    self._inputs[name].update_inplace(self._staged[name])
            self._binding.synchronize_inputs()
            self._session.run_with_iobinding(self._binding)
            self._binding.synchronize_outputs()
            outputs = [value.numpy() for value in self._outputs]
            return [
                np.array(value[:count] if name in PER_ITEM else value)
                for name, value in zip(OUTPUTS, outputs, strict=True)
            ]


def _run_in_pieces(run: Callable[[Arrays], list[np.ndarray]], inputs: Arrays, most: int) -> list[np.ndarray]:
    parts = split_evenly(len(inputs["item"]), most)
    if len(parts) == 1:
        return run(inputs)
    results = [
        run({name: value[part] if name in PER_ITEM else value for name, value in inputs.items()}) for part in parts
    ]
    return [
        np.concatenate(outputs) if name in PER_ITEM else outputs[0]
        for name, outputs in zip(OUTPUTS, zip(*results, strict=True), strict=True)
    ]
