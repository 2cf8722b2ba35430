"""A short campaign of faults of every kind; `make chaos` runs long ones."""

from pathlib import Path

import pytest

from tests.chaos.campaign import Plan, run
from tests.chaos.cluster_faults import CLUSTER_FAULTS, LOSSES
from tests.chaos.faults import KINDS, ON_A_CLUSTER, WITH_LOSSES, draw_faults
from tests.chaos.system import CampaignFailed

SHORT = Plan(
    seed=2,
    events=10_000,
    faults=len(KINDS),
    behavior_consumers=2,
    activity_consumers=1,
)


@pytest.mark.integration
def test_rows_are_correct_after_faults(tmp_path: Path) -> None:
    """Consumers and servers are killed and paused, connections cut and delayed: rows equal a single process's."""
    try:
        report = run(SHORT, tmp_path)
    except CampaignFailed as error:
        pytest.fail(f"{error}; logs in {tmp_path}")
    assert [] == report.differences, f"{report}\nlogs in {tmp_path}"
    assert set(KINDS) == set(report.faults)
    assert min(report.dead_letters, report.repeats, report.late, report.erasures) > 0
    assert report.rows.total() > 500


def test_faults_depend_only_on_the_seed() -> None:
    """The same seed draws the same faults, in the order of records; every kind occurs before one is repeated."""
    each = len(KINDS)
    drawn = draw_faults(7, 5 * each, ["behavior-0", "activity-0"], 6.0, 1000)
    assert drawn == draw_faults(7, 5 * each, ["behavior-0", "activity-0"], 6.0, 1000)
    assert [set(KINDS)] * 5 == [{fault.kind for fault in drawn[n : n + each]} for n in range(0, 5 * each, each)]
    assert sorted(drawn, key=lambda fault: fault.at) == drawn
    assert all(fault.seconds > 6.0 for fault in drawn if fault.kind.endswith("paused"))


def test_faults_of_a_cluster_are_drawn_from_their_own_kinds() -> None:
    """Those of nodes and slots, and the old ones but for the single server's; losses only if replicas lack rows."""
    for kinds in (ON_A_CLUSTER, WITH_LOSSES):
        drawn = draw_faults(7, 2 * len(kinds), ["behavior-0"], 6.0, 1000, kinds)
        assert set(kinds) == {fault.kind for fault in drawn}
        assert {"behavior-0", "kafka", "valkey"} == {fault.target for fault in drawn}
        assert all(fault.target == "valkey" for fault in drawn if fault.kind in CLUSTER_FAULTS | LOSSES)
    assert ON_A_CLUSTER == Plan(wait_replicas=1).kinds
    assert WITH_LOSSES == Plan(wait_replicas=0).kinds
    assert KINDS == Plan().kinds
