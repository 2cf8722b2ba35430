"""Every alert: its condition, caused, moves what it looks at over its threshold; before it does not fire."""

from pathlib import Path

import promql_parser as promql
import pytest

from tests.contract.alert_rules import fires, rules, samples
from tests.contract.alert_scenes import SCENES

OWN = {"CrossRecDown"}
"""Looks at `up`, which Prometheus itself makes."""


def test_every_alert_has_a_scene() -> None:
    assert set(rules()) - OWN == set(SCENES)


@pytest.mark.parametrize("alert", SCENES)
def test_an_alert_fires_when_its_condition_is_caused(alert: str, tmp_path: Path) -> None:
    """And not when nothing has happened."""
    looks, expression = SCENES[alert](tmp_path), promql.parse(rules()[alert]["expr"])
    before, after = samples(looks.before), samples(looks.after)
    assert (False, True) == (fires(expression, before, before), fires(expression, before, after))


@pytest.mark.parametrize("alert", rules())
def test_an_alert_says_how_bad_it_is_and_what_to_do(alert: str) -> None:
    rule = rules()[alert]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"].endswith(".")
    assert len(rule["annotations"]["description"].split()) > 8
