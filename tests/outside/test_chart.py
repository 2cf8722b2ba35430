"""The Helm chart as Helm and Kubernetes see it."""

import subprocess
from pathlib import Path

import pytest

from tests.outside import chart


@pytest.fixture(scope="module")
def tools() -> chart.Tools:
    found, missing = chart.find_tools()
    if not found:
        pytest.fail(f"missing: {'; '.join(missing)}", pytrace=False)
    return found


def test_helm_renders_it_and_every_field_is_valid(tools: chart.Tools) -> None:
    """Under every file of values, for the oldest and a recent version of Kubernetes."""
    chart.check(tools)


def test_an_unknown_field_is_rejected(tools: chart.Tools, tmp_path: Path) -> None:
    """The schemas are really applied."""
    chart.rewrite(tools.schemas / f"v{chart.VERSIONS[1]}-local-strict", tmp_path / "schemas")
    wrong = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndatum: {}\n"
    location = f"{tmp_path}/schemas/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    command = [tools.kubeconform, "-strict", "-schema-location", location]
    run = subprocess.run(command, input=wrong, capture_output=True, text=True, check=False)
    assert 1 == run.returncode
    assert "'datum' not allowed" in run.stdout


def test_a_misspelt_value_is_rejected(tools: chart.Tools) -> None:
    """By the schema of the values."""
    command = [tools.helm, "template", "release", str(chart.CHART), "--set", "gateway.replica=3"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 1 == run.returncode
    assert "additional properties 'replica' not allowed" in run.stderr
