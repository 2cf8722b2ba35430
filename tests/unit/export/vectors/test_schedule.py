"""A request sees vectors of what happened before its period, and none of what came later."""

import numpy as np

from export.vectors import schedule as schedule_module
from export.vectors.content_history import ContentHistory
from export.vectors.schedule import VectorSchedule, period_starts
from services.features.catalogue import ItemState
from services.text.protocol import HashingEncoder
from tests.unit.export.vectors.test_learn import OPINIONS, planted

BEGIN_S = 1e9


def schedule(starts_s: list[float]) -> VectorSchedule:
    past = planted(OPINIONS)
    states = [(item, ItemState(BEGIN_S, f"title {item}", categories=("k",))) for item in past.items]
    contents = ContentHistory(OPINIONS, HashingEncoder(2), past.items, states)
    return VectorSchedule(OPINIONS, past, contents, np.array(starts_s))


def test_periods_have_equal_numbers_of_rows() -> None:
    times = np.concatenate([np.arange(90.0), np.arange(1000.0, 1010.0)])
    assert [25.0, 50.0, 75.0] == period_starts(times, 4).tolist()
    assert not len(period_starts(np.zeros(0)))
    assert [5.0] == period_starts(np.full(20, 5.0), 4).tolist()


def test_vectors_are_those_of_the_past() -> None:
    found = schedule([BEGIN_S + 300, BEGIN_S + 900])
    assert not len(found.at(BEGIN_S + 299.9).key)
    early = found.at(BEGIN_S + 300)
    assert early is found.at(BEGIN_S + 899)
    late = found.at(BEGIN_S + 5000)
    assert early.users.sum() == 300
    assert late.users.sum() == 900
    assert late is found.current


def test_nothing_is_learned_from_little() -> None:
    few = schedule_module.MIN_INTERACTIONS - 1
    assert not len(schedule([BEGIN_S + few]).at(BEGIN_S + few + 1).key)


def test_contents_are_as_they_were() -> None:
    """Of items with a later update, the earlier state."""
    states = [("a", ItemState(1.0, "red tea")), ("b", ItemState(2.0, "cup")), ("a", ItemState(5.0, "green tea"))]
    encoder = HashingEncoder(2)
    history = ContentHistory(OPINIONS, encoder, ["a", "b"], states)
    np.testing.assert_array_equal(encoder.encode(["red tea", "cup"]), history.before(5.0).text)
    np.testing.assert_array_equal(encoder.encode(["green tea", "cup"]), history.before(5.1).text)
