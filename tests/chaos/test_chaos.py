"""A short campaign of faults of every kind; `make chaos` runs long ones."""

from pathlib import Path

import pytest

from tests.chaos.campaign import Plan, run
from tests.chaos.faults import KINDS, draw
from tests.chaos.system import Stuck

SHORT = Plan(
    seed=2,
    events=10_000,
    faults=len(KINDS),
    behavior_consumers=2,
    activity_consumers=1,
)


@pytest.mark.integration
def test_no_row_shows_what_broke(tmp_path: Path) -> None:
    """Consumers and servers are killed and paused, connections cut and delayed: rows are a single process's."""
    try:
        report = run(SHORT, tmp_path)
    except Stuck as error:
        pytest.fail(f"{error}; logs in {tmp_path}")
    assert [] == report.differences, f"{report}\nlogs in {tmp_path}"
    assert set(KINDS) == set(report.faults)
    assert min(report.dead_letters, report.repeats, report.late, report.erasures) > 0
    assert report.rows.total() > 500


def test_faults_are_those_of_the_seed() -> None:
    """The same seed draws the same; every kind comes up before one does again, in the order of records."""
    each = len(KINDS)
    drawn = draw(7, 5 * each, ["behavior-0", "activity-0"], 6.0, 1000)
    assert drawn == draw(7, 5 * each, ["behavior-0", "activity-0"], 6.0, 1000)
    assert [set(KINDS)] * 5 == [{fault.kind for fault in drawn[n : n + each]} for n in range(0, 5 * each, each)]
    assert sorted(drawn, key=lambda fault: fault.at) == drawn
    assert all(fault.seconds > 6.0 for fault in drawn if fault.kind.endswith("paused"))
