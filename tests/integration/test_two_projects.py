"""A second project of the store beside the first, fed from the same topics, as the guide's upgrade needs it."""

from dataclasses import replace

import pytest

from services.store.connect import open_rows_for_batches
from tests.integration.consumer_harness import SCHEMA, UPDATES, Stage, folded, running
from tests.unit.consumers.streams import assert_rows, behavior, fold_catalogue, replayed
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

VIEWS = ("user", "user_scenario", "item_activity", "scenario_activity")


def test_both_projects_fold_all_events_once(stage: Stage) -> None:
    """Groups are named after the project, and each folds the deltas that its own consumers made."""
    events = behavior(300, users=20)
    stages = []
    for project in (stage.settings.store.project, f"{stage.settings.store.project}_new"):
        store = stage.settings.store.model_copy(update={"project": project})
        consumers = stage.settings.consumers.model_copy(update={"group_prefix": ""})
        settings = stage.settings.model_copy(update={"store": store, "consumers": consumers})
        each = replace(stage, settings=settings, store=open_rows_for_batches(settings))
        assert f"{project}-behavior" == each.group("behavior")
        fold_catalogue(each.store, UPDATES, SCHEMA)
        stages.append(each)
    old, new = stages
    with running(old, "behavior"), running(old, "activity"), running(new, "behavior"), running(new, "activity"):
        stage.send(events)
        for each in stages:
            wait_until(lambda each=each: folded(each, "behavior"))
        for each in stages:
            wait_until(lambda each=each: folded(each, "activity"))
    expected = replayed(UPDATES, events, SCHEMA)
    for each in stages:
        assert_rows(expected, each.store, VIEWS, SCHEMA)
