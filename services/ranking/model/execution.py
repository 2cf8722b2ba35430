"""How graphs are run: in which shapes, as CUDA graphs or not, in batches of requests or not.

Knows the settings; knows nothing of ONNX Runtime.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from services.settings.processes import RankingSettings

BUCKETS = (64, 128, 256, 512, 1024, 2048)
"""Numbers of candidates to which runs on a device are padded."""

PROCESSOR = "CPUExecutionProvider"


@dataclass(frozen=True)
class ExecutionConfig:
    """How graphs are run; the defaults are for CPUs.

    Args:
        provider_options: options of providers, as ONNX Runtime takes them: name of the provider, option, value.
        buckets: ascending numbers of candidates to which runs are padded; empty: runs have the request's shape.
            A larger request is split into several runs.
        cuda_graph: capture each shape's run as a CUDA graph; needs CUDAExecutionProvider and buckets.
        batch_wait_ms: longest time that a request waits for a batch, milliseconds; 0: no batching.
        batch_requests: largest batch, requests.
    """

    provider_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    buckets: tuple[int, ...] = ()
    cuda_graph: bool = False
    batch_wait_ms: float = 0.0
    batch_requests: int = 8


def build_execution(chosen: RankingSettings) -> ExecutionConfig:
    """The settings' configuration; buckets default to BUCKETS if the first provider is a device, else to none."""
    buckets = chosen.candidate_buckets
    if buckets is None:
        buckets = () if chosen.providers[0] == PROCESSOR else BUCKETS
    return ExecutionConfig(
        provider_options=chosen.provider_options,
        buckets=buckets,
        cuda_graph=chosen.cuda_graph,
        batch_wait_ms=chosen.batch_wait_ms,
        batch_requests=chosen.batch_requests,
    )


def split_evenly(count: int, most: int) -> list[slice]:
    """Slices of `count` rows: as few as possible with at most `most` rows, of nearly equal length."""
    parts = max(1, -(-count // most))
    bounds = [count * part // parts for part in range(parts + 1)]
    return [slice(begin, end) for begin, end in pairwise(bounds)]


def bucket_for(count: int, buckets: Sequence[int]) -> int:
    """The smallest of the ascending `buckets` that holds `count` rows; the last one must hold them."""
    return next(size for size in buckets if size >= count)
