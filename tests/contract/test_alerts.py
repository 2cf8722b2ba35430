"""Every alert fires when its condition is caused, and does not fire before."""

from pathlib import Path

import promql_parser as promql
import pytest

from tests.contract.alert_rules import fires, rules, samples
from tests.contract.alert_scenes import SCENES

OWN = {"CrossRecDown"}
"""Uses `up`, which Prometheus itself sets."""


def test_every_alert_has_a_scene() -> None:
    assert set(rules()) - OWN == set(SCENES)


@pytest.mark.parametrize("alert", SCENES)
def test_an_alert_fires_when_its_condition_is_caused(alert: str, tmp_path: Path) -> None:
    """It does not fire before."""
    scrapes, expression = SCENES[alert](tmp_path), promql.parse(rules()[alert]["expr"])
    before, after = samples(scrapes.before), samples(scrapes.after)
    assert (False, True) == (fires(expression, before, before), fires(expression, before, after))


@pytest.mark.parametrize("alert", rules())
def test_an_alert_has_severity_summary_and_description(alert: str) -> None:
    rule = rules()[alert]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"].endswith(".")
    assert len(rule["annotations"]["description"].split()) > 8
