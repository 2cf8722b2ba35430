"""deploy/compose.yaml matches this program, which the compose specification cannot check."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.settings.load import load_settings
from services.settings.processes import CONSUMER_KINDS

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
DEFAULT = re.compile(r"\$\{\w+:-([^}]*)\}")


def services() -> dict[str, dict[str, Any]]:
    text = DEFAULT.sub(r"\1", (DEPLOY / "compose.yaml").read_text())
    loaded: dict[str, dict[str, Any]] = yaml.safe_load(text)["services"]
    return loaded


OWN = {name: service for name, service in services().items() if service["image"] == "crossrec"}


def test_every_process_of_the_program_is_there() -> None:
    """Both servers, a consumer of each kind, and the setup of topics."""
    wanted = {"gateway", "ranking", "setup", *(f"consumer-{kind}" for kind in CONSUMER_KINDS)}
    assert wanted == set(OWN)
    assert [["consume", kind] for kind in CONSUMER_KINDS] == [
        OWN[f"consumer-{kind}"]["command"] for kind in CONSUMER_KINDS
    ]


@pytest.mark.parametrize("name", OWN)
def test_environment_variables_are_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program rejects unknown settings and invalid values."""
    for variable in [variable for variable in os.environ if variable.startswith("CROSSREC_")]:
        monkeypatch.delenv(variable)
    for variable, value in OWN[name]["environment"].items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("CROSSREC_CONFIG", str(DEPLOY / "empty.toml"))
    assert "kafka:9092" == load_settings().kafka.bootstrap_servers


@pytest.mark.parametrize("name", sorted(set(services()) - {"setup"}))
def test_long_running_services_have_health_checks_and_limits(name: str) -> None:
    """A health check, a restart policy, limits of processor and memory, and a limit of log size."""
    service = services()[name]
    assert service["healthcheck"]["test"][0].startswith("CMD")
    assert "unless-stopped" == service["restart"]
    assert {"cpus", "memory"} == set(service["deploy"]["resources"]["limits"])
    assert "20m" == service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", services())
def test_ports_are_on_loopback_and_mounted_paths_exist(name: str) -> None:
    """Nothing listens beyond the machine; paths that are mounted from here are in the checkout."""
    service = services()[name]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert not source.startswith("./") or (DEPLOY / source).parent.is_dir()


@pytest.mark.parametrize("name", OWN)
def test_containers_run_without_privileges(name: str) -> None:
    """No root, no capabilities, a read-only root file system."""
    service = OWN[name]
    assert ("10001:10001", True, ["ALL"]) == (service["user"], service["read_only"], service["cap_drop"])


def test_prometheus_scrapes_every_metrics_port() -> None:
    """Each service with a metrics port is a target at that port."""
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    targets = {t for job in scraped for static in job["static_configs"] for t in static["targets"]}
    serving = {
        f"{name}:{value.rpartition(':')[2]}"
        for name, service in OWN.items()
        for variable, value in service["environment"].items()
        if variable.endswith("__METRICS_LISTEN")
    }
    assert serving == targets
