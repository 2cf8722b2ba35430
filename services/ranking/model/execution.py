"""How graphs are run, as a value: on which shapes, captured or not, several requests at once or not.

Knows the settings; knows nothing of ONNX Runtime.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.settings.processes import RankingSettings

BUCKETS = (64, 128, 256, 512, 1024, 2048)
"""Numbers of candidates to which runs on a device are filled up."""

PROCESSOR = "CPUExecutionProvider"


@dataclass(frozen=True)
class Execution:
    """How graphs are run; the defaults are the processor's.

    Args:
        provider_options: options of providers, as ONNX Runtime takes them: name of the provider, option, value.
        buckets: ascending numbers of candidates to which runs are filled up; empty: runs have the request's shape.
            A larger request is cut into several runs.
        cuda_graph: capture each shape's run as a CUDA graph; needs CUDAExecutionProvider and buckets.
        batch_wait_ms: longest that a request waits for others to be scored with, milliseconds; 0: it does not.
        batch_requests: most requests that are scored together.
    """

    provider_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    buckets: tuple[int, ...] = ()
    cuda_graph: bool = False
    batch_wait_ms: float = 0.0
    batch_requests: int = 8


def execution_of(chosen: RankingSettings) -> Execution:
    """What the settings say; buckets that are not set are BUCKETS where a device comes first, else none."""
    buckets = chosen.candidate_buckets
    if buckets is None:
        buckets = () if chosen.providers[0] == PROCESSOR else BUCKETS
    return Execution(
        provider_options=chosen.provider_options,
        buckets=buckets,
        cuda_graph=chosen.cuda_graph,
        batch_wait_ms=chosen.batch_wait_ms,
        batch_requests=chosen.batch_requests,
    )
