"""Tracing that exports to memory, and spans by name."""

from dataclasses import dataclass, field

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.server.telemetry.opentelemetry import Tracing

TRACE_ID = 0xA1B2C3D4E5F60718A1B2C3D4E5F60718
PARENT_ID = 0x1122334455667788
TRACEPARENT = f"00-{TRACE_ID:032x}-{PARENT_ID:016x}-01"
"""The trace context of a caller whose trace is sampled."""
UNSAMPLED = TRACEPARENT[:-1] + "0"


@dataclass
class RecordedTracing:
    """Tracing whose spans are available after it is closed."""

    ratio: float = 1.0
    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)

    def __post_init__(self) -> None:
        self.tracing = Tracing("test", self.ratio, self.exporter)

    def spans(self) -> list[ReadableSpan]:
        """Close the tracing and return its spans, in the order in which they ended."""
        self.tracing.close()
        return list(self.exporter.get_finished_spans())


def span_tree(spans: list[ReadableSpan], trace_id: int = TRACE_ID) -> set[tuple[str, str]]:
    """(parent's name, name) of the spans of a trace; a parent outside of them is given by its id."""
    own = [span for span in spans if span.context.trace_id == trace_id]
    names = {span.context.span_id: span.name for span in own}
    parents = [f"{span.parent.span_id:016x}" if span.parent else "" for span in own]
    return {(names.get(int(parent or "0", 16), parent), span.name) for parent, span in zip(parents, own, strict=True)}


def find_span(spans: list[ReadableSpan], name: str) -> ReadableSpan:
    """The one span of the name."""
    (found,) = [span for span in spans if span.name == name]
    return found
