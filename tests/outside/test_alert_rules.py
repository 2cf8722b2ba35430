"""The alert rules as Prometheus itself evaluates them, on series from real texts of /metrics; needs promtool."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.alert_rules import RULES, Samples, rules, samples
from tests.contract.alert_scenes import SCENES
from tests.contract.test_alerts import OWN

PROMTOOL = os.environ.get("PROMTOOL") or shutil.which("promtool")
MINUTES = 60
"""How long a condition lasts: longer than the `for` of any rule."""

pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="no promtool (Debian: apt-get install prometheus; PROMTOOL=)")


def series(before: Samples, after: Samples, *, lasting: bool) -> list[dict[str, str]]:
    """One sample a minute: counters keep growing as they grew, gauges keep their value; or all stays as before."""
    result = []
    for (name, labels), value in after.items():
        start = before.get((name, labels), 0.0)
        grows = name.endswith(("_total", "_bucket", "_count", "_sum"))
        pattern = f"{start if grows else value}+{value - start if grows else 0}x{MINUTES}"
        quiet = f"{start}+0x{MINUTES}"
        joined = ",".join(f'{key}="{text}"' for key, text in labels)
        result.append({"series": f"{name}{{{joined}}}", "values": pattern if lasting else quiet})
    return result


def firing(alert: str, *, fires: bool) -> dict[str, Any]:
    """The state of an alert that promtool expects at the end."""
    expected = [{"labels": "{}", "value": 1}] if fires else []
    query = f'max(ALERTS{{alertname="{alert}", alertstate="firing"}})'
    return {"expr": query, "eval_time": f"{MINUTES}m", "exp_samples": expected}


def run_promtool(directory: Path, *tests: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
    """Evaluate the rules with `promtool test rules`."""
    path = directory / "tests.yml"
    path.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": list(tests)}))
    return subprocess.run([str(PROMTOOL), "test", "rules", str(path)], capture_output=True, text=True, check=False)


def case(given: list[dict[str, str]], *queries: dict[str, Any]) -> dict[str, Any]:
    return {"interval": "1m", "input_series": given, "promql_expr_test": list(queries)}


def test_the_rules_are_valid() -> None:
    checked = subprocess.run([str(PROMTOOL), "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert 0 == checked.returncode, checked.stderr


@pytest.mark.parametrize("alert", SCENES)
def test_an_alert_fires_while_its_condition_lasts(alert: str, tmp_path: Path) -> None:
    """No alert fires while nothing changes."""
    looks = SCENES[alert](tmp_path)
    before, after = samples(looks.before), samples(looks.after)
    lasting = case(series(before, after, lasting=True), firing(alert, fires=True))
    quiet = case(series(before, before, lasting=False), *(firing(name, fires=False) for name in rules()))
    run = run_promtool(tmp_path, lasting, quiet)
    assert 0 == run.returncode, run.stdout + run.stderr


@pytest.mark.parametrize("alert", sorted(OWN))
def test_a_process_that_does_not_answer_is_down(alert: str, tmp_path: Path) -> None:
    """Prometheus' own series `up` has the result of the scrape."""
    for value, fires in ((0, True), (1, False)):
        given = [{"series": 'up{job="ranking", instance="a:9102"}', "values": f"{value}+0x{MINUTES}"}]
        run = run_promtool(tmp_path, case(given, firing(alert, fires=fires)))
        assert 0 == run.returncode, run.stdout + run.stderr
