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


def rendered(values: Path | None) -> list[Manifest]:
    """Every manifest of a release; fails where there is no helm."""
    helm = find_program("helm")
    if not helm:
        pytest.fail("missing: helm", pytrace=False)
    chosen = ["--values", str(values)] if values else []
    command = [helm, "template", "release", str(CHART), *chosen]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


@pytest.fixture(params=VALUES, ids=lambda values: values.stem if values else "defaults")
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return rendered(request.param)


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Pod specs by the name of their Deployment or Job."""
    kinds = ("Deployment", "Job")
    return {m["metadata"]["name"]: m["spec"]["template"]["spec"] for m in manifests if m["kind"] in kinds}


def test_every_container_is_confined(manifests: list[Manifest]) -> None:
    """No root, nothing to write to but volumes, no capability, no token, bounded memory."""
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


def test_its_environment_are_settings(
    manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A setting that is not there, or a value that does not fit, would keep the program from starting."""
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


def test_probes_ask_ports_that_are_open(manifests: list[Manifest]) -> None:
    """Each long-running container has all three kinds, at a port of its own."""
    for name, pod in pods(manifests).items():
        if name.endswith("-setup"):
            continue
        container = pod["containers"][0]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
            asked = container[probe].get("httpGet") or container[probe].get("tcpSocket") or container[probe].get("grpc")
            if asked:
                assert asked["port"] in (*ports, *ports.values())
            else:
                assert f"127.0.0.1:{ports['grpc']}" == container[probe]["exec"]["command"][3]


def test_what_selects_pods_finds_some(manifests: list[Manifest]) -> None:
    """Services, budgets and policies select labels that a Deployment's pods have."""
    labels = [m["spec"]["template"]["metadata"]["labels"].items() for m in manifests if m["kind"] == "Deployment"]
    for manifest in manifests:
        spec = manifest.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector") or {}
        if manifest["kind"] in ("Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"):
            wanted = selector.get("matchLabels", selector).items()
            assert any(wanted <= found for found in labels), manifest["metadata"]["name"]


def test_autoscalers_own_the_replicas(manifests: list[Manifest]) -> None:
    """A Deployment says how many only where nobody else does."""
    scaled = {
        m["spec"]["scaleTargetRef"]["name"]
        for m in manifests
        if m["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
    }
    fixed = {m["metadata"]["name"] for m in manifests if m["kind"] == "Deployment" and "replicas" in m["spec"]}
    every = {m["metadata"]["name"] for m in manifests if m["kind"] == "Deployment"}
    assert every - scaled == fixed


def test_secrets_are_named_and_never_written() -> None:
    """A Secret's key beats the plain value of the same name, and the chart makes no Secret."""
    manifests = rendered(CHART / "ci" / "everything-values.yaml")
    gateway = pods(manifests)["release-gateway"]["containers"][0]["env"]
    urls = [variable for variable in gateway if variable["name"] == "CROSSREC_STORE__URL"]
    assert [{"name": "CROSSREC_STORE__URL", "valueFrom": {"secretKeyRef": {"name": "valkey", "key": "url"}}}] == urls
    assert not [m for m in manifests if m["kind"] == "Secret"]


def test_pods_outlive_their_drain() -> None:
    """The grace of a pod is more than 5 s before it hears of the end, and what the program takes after that."""
    from services.gateway.main import DRAIN_S as GATEWAY_S
    from services.ranking.process.worker import DRAIN_S, END_S

    found = pods(rendered(None))
    assert found["release-gateway"]["terminationGracePeriodSeconds"] > 5 + 2 * GATEWAY_S
    assert found["release-ranking"]["terminationGracePeriodSeconds"] > 5 + DRAIN_S + END_S


def test_the_chart_has_the_programs_version() -> None:
    """pyproject.toml's."""
    program = re.search(r'^version = "(.*)"', (CHART.parents[2] / "pyproject.toml").read_text(), re.MULTILINE)
    assert program
    assert program[1] == yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
