"""Two projects on the same topics."""

from collections import Counter
from collections.abc import Sequence

from services.consumers.dead_letters.record import DeadLetter
from services.consumers.loop import BatchResult
from services.consumers.projects import ProjectFilter, ProjectMarker
from services.kafka.record_source import Headers, OutputRecord, Record


class FakeHandler:
    """Folds at most `most` records at once; those of value `bad` are dead letters."""

    def __init__(self, most: int | None = None) -> None:
        self.most, self.folded = most, list[int]()

    def fold(self, records: Sequence[Record]) -> BatchResult:
        taken = records[: self.most]
        self.folded += [record.offset for record in taken]
        dead = [DeadLetter(record, "why") for record in taken if record.value == b"bad"]
        return BatchResult([OutputRecord("t", b"k", b"v", [("a", b"1")])], dead, self.most)


def record(offset: int, project: bytes | None = None, value: bytes = b"v") -> Record:
    headers: Headers = [] if project is None else [("traceparent", b"00"), ("project", project)]
    return Record("t", 0, offset, b"k", value, headers)


def test_outputs_name_their_project() -> None:
    """Beside their other headers."""
    (output,) = ProjectMarker(FakeHandler(), "new").fold([record(0)]).outputs
    assert [("a", b"1"), ("project", b"new")] == output.headers


def test_deltas_of_another_project_are_passed_over() -> None:
    """Those of no project are of an earlier version, and everybody's."""
    handler = FakeHandler()
    records = [record(0, b"old"), record(1, b"new"), record(2), record(3, b"new", b"bad"), record(4, b"old")]
    result = ProjectFilter(handler, "new").fold(records)
    assert [1, 2, 3] == handler.folded
    assert (5, 1) == (result.records, len(result.dead_letters))
    assert Counter({("any", "folded"): 2, ("any", "other_project"): 2}) == result.counts


def test_a_batch_of_others_alone_is_passed_over() -> None:
    """The handler is not called."""
    handler = FakeHandler()
    result = ProjectFilter(handler, "new").fold([record(0, b"old"), record(1, b"old")])
    assert ([], 2, []) == (handler.folded, result.records, result.outputs)


def test_a_batch_that_is_folded_in_parts_continues_at_the_right_record() -> None:
    """The first record that the handler has not folded."""
    result = ProjectFilter(FakeHandler(most=1), "new").fold(
        [record(0, b"old"), record(1), record(2, b"old"), record(3)]
    )
    assert 3 == result.records
    assert Counter({("any", "folded"): 1, ("any", "other_project"): 2}) == result.counts
    assert 1 == ProjectFilter(FakeHandler(most=1), "new").fold([record(0), record(1)]).records
