"""The Helm chart's manifests, rendered by `helm`."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.settings.load import load_settings
from tests.outside.chart import CHART, VALUES, find_program

Manifest = dict[str, Any]


def render_chart(values: Path | None) -> list[Manifest]:
    """Every manifest of a release; the test fails without helm."""
    helm = find_program("helm")
    if not helm:
        pytest.fail("missing: helm", pytrace=False)
    chosen = ["--values", str(values)] if values else []
    command = [helm, "template", "release", str(CHART), *chosen]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


@pytest.fixture(params=VALUES, ids=lambda values: values.stem if values else "defaults")
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render_chart(request.param)


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Pod specs by the name of their Deployment or Job."""
    kinds = ("Deployment", "Job")
    return {m["metadata"]["name"]: m["spec"]["template"]["spec"] for m in manifests if m["kind"] in kinds}


def test_every_container_is_confined(manifests: list[Manifest]) -> None:
    """No root, a read-only root file system, no capabilities, no token, bounded memory."""
    for pod in pods(manifests).values():
        assert (True, 10001) == (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"])
        assert pod["automountServiceAccountToken"] is False
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            confined = {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert confined == container["securityContext"]
            assert "memory" in container["resources"]["limits"]


def test_environment_variables_are_settings(
    manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An unknown setting or an invalid value would keep the program from starting."""
    config = next(m for m in manifests if m["kind"] == "ConfigMap")["data"]["crossrec.toml"]
    (tmp_path / "crossrec.toml").write_text(config)
    for pod in pods(manifests).values():
        with monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("CROSSREC_")]:
                patch.delenv(name)
            for variable in pod["containers"][0]["env"]:
                if "value" in variable:
                    patch.setenv(variable["name"], variable["value"])
            patch.setenv("CROSSREC_CONFIG", str(tmp_path / "crossrec.toml"))
            assert load_settings().kafka.partitions > 1


def test_probes_use_open_ports(manifests: list[Manifest]) -> None:
    """Each long-running container has all three probes, at one of its own ports."""
    for name, pod in pods(manifests).items():
        if name.endswith("-setup"):
            continue
        container = pod["containers"][0]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
            check = container[probe].get("httpGet") or container[probe].get("tcpSocket") or container[probe].get("grpc")
            if check:
                assert check["port"] in (*ports, *ports.values())
            else:
                assert f"127.0.0.1:{ports['grpc']}" == container[probe]["exec"]["command"][3]


def test_selectors_match_pods(manifests: list[Manifest]) -> None:
    """Services, budgets and policies select labels that a Deployment's pods have."""
    labels = [m["spec"]["template"]["metadata"]["labels"].items() for m in manifests if m["kind"] == "Deployment"]
    for manifest in manifests:
        spec = manifest.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector") or {}
        if manifest["kind"] in ("Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"):
            wanted = selector.get("matchLabels", selector).items()
            assert any(wanted <= found for found in labels), manifest["metadata"]["name"]


def test_autoscalers_own_the_replicas(manifests: list[Manifest]) -> None:
    """A Deployment sets its replicas only if no autoscaler does."""
    scaled = {
        m["spec"]["scaleTargetRef"]["name"]
        for m in manifests
        if m["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
    }
    fixed = {m["metadata"]["name"] for m in manifests if m["kind"] == "Deployment" and "replicas" in m["spec"]}
    every = {m["metadata"]["name"] for m in manifests if m["kind"] == "Deployment"}
    assert every - scaled == fixed


def test_secrets_are_referenced_and_never_created() -> None:
    """A Secret's key overrides the plain value of the same name, and the chart creates no Secret."""
    manifests = render_chart(CHART / "ci" / "everything-values.yaml")
    gateway = pods(manifests)["release-gateway"]["containers"][0]["env"]
    urls = [variable for variable in gateway if variable["name"] == "CROSSREC_STORE__URL"]
    assert [{"name": "CROSSREC_STORE__URL", "valueFrom": {"secretKeyRef": {"name": "valkey", "key": "url"}}}] == urls
    assert not [m for m in manifests if m["kind"] == "Secret"]


def test_pods_outlive_their_drain() -> None:
    """The grace period is longer than the 5 s of preStop and the longest shutdown of the program."""
    from services.gateway.main import DRAIN_S as GATEWAY_S
    from services.ranking.process.worker import DRAIN_S, END_S

    found = pods(render_chart(None))
    assert found["release-gateway"]["terminationGracePeriodSeconds"] > 5 + 2 * GATEWAY_S
    assert found["release-ranking"]["terminationGracePeriodSeconds"] > 5 + DRAIN_S + END_S


def test_the_chart_has_the_programs_version() -> None:
    """That of pyproject.toml."""
    program = re.search(r'^version = "(.*)"', (CHART.parents[2] / "pyproject.toml").read_text(), re.MULTILINE)
    assert program
    assert program[1] == yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
