"""Several projects of a store on the same topics: each folds the deltas that its own consumers made.

All behaviour consumers read the same events and write deltas to the same topic. A header names the project that a delta
is for; deltas without one, of earlier versions, are everybody's.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from services.consumers.loop import BatchHandler, BatchResult
from services.kafka.record_source import Record

PROJECT = "project"
"""Header of an activity record: the project whose behaviour consumer wrote it."""


def for_project(kind: str, handler: BatchHandler, project: str) -> BatchHandler:
    """The handler of a kind of consumer, with deltas of its project alone."""
    match kind:
        case "behavior":
            return ProjectMarker(handler, project)
        case "activity":
            return ProjectFilter(handler, project)
        case _:
            return handler


class ProjectMarker:
    """Names the project in what a handler produces.

    Args:
        handler: folds behaviour.
        project: the store's project.
    """

    def __init__(self, handler: BatchHandler, project: str) -> None:
        self._handler, self._header = handler, (PROJECT, project.encode())

    def fold(self, records: Sequence[Record]) -> BatchResult:
        """Fold the records."""
        result = self._handler.fold(records)
        return replace(
            result, outputs=[replace(each, headers=[*each.headers, self._header]) for each in result.outputs]
        )


class ProjectFilter:
    """Passes a project's own deltas to a handler, and over those of others.

    Args:
        handler: folds deltas.
        project: the store's project.
    """

    def __init__(self, handler: BatchHandler, project: str) -> None:
        self._handler, self._project = handler, project.encode()

    def fold(self, records: Sequence[Record]) -> BatchResult:
        """Fold the project's records."""
        own = [record for record in records if self._is_own(record)]
        if len(own) == len(records):
            return self._handler.fold(records)
        result = self._handler.fold(own) if own else BatchResult()
        taken = len(records)
        if result.records is not None and result.records < len(own):
            taken = next(number for number, each in enumerate(records) if each is own[result.records])
        counts = result.counts or Counter({("any", "folded"): len(own[: result.records]) - len(result.dead_letters)})
        others = taken - len(own[: result.records])
        return replace(result, records=taken, counts=counts + Counter({("any", "other_project"): others}))

    def _is_own(self, record: Record) -> bool:
        return all(value == self._project for name, value in record.headers if name == PROJECT)
