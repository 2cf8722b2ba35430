"""Which part may import which: arrows point one way, and serving stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = {
    # Ships alone, too.
    "client": {"client"},
    "features": {"features"},
    "report": {"report"},
    "errors": set(),
    "settings": {"settings", "errors", "features"},
    # Its health command is a client.
    "server": {"server", "client", "settings", "errors"},
    "text": {"text", "errors"},
    "events": {"events", "features", "errors"},
    "kafka": {"kafka", "server", "settings", "errors"},
    "infra": {"infra", "kafka", "settings", "errors"},
    "store": {"store", "kafka", "features", "settings", "errors"},
    "registry": {"registry", "text", "features", "settings", "errors"},
    "gateway": {"gateway", "events", "kafka", "server", "features", "settings", "errors"},
    "consumers": {"consumers", "events", "store", "kafka", "server", "text", "features", "settings", "errors"},
    "ranking": {"ranking", "registry", "store", "kafka", "server", "text", "features", "settings", "errors"},
    "load": {"load", "client", "report", "server", "settings", "errors"},
    # Commands, not services: one publishes with the gateway's own code,
    "users": {"users", "gateway", "events", "store", "server", "features", "settings", "errors"},
    # one looks at everything that a service needs,
    "doctor": {"doctor", "ranking", "registry", "store", "kafka", "server", "text", "features", "settings", "errors"},
    # one is a client of both servers that also opens models of the registry, and looks at the consumers.
    "console": {
        *("console", "client", "load", "ranking", "registry", "consumers", "store", "text", "features", "settings"),
        "errors",
    },
}


def imported(path: Path) -> set[str]:
    """Modules that a file imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("part", ALLOWED)
def test_services_import_only_what_lies_below(part: str) -> None:
    """No service imports another, and nothing below imports what lies above; export is above all."""
    room = ROOT / "services" / part
    for path in room.rglob("*.py") if room.is_dir() else [room.with_suffix(".py")]:
        for module in imported(path):
            assert not module.startswith("export"), f"{path} imports {module}"
            if module.startswith("services."):
                assert module.split(".")[1] in ALLOWED[part], f"{path} imports {module}"


def test_kafkas_client_stays_in_one_package() -> None:
    """Other packages use services.kafka, and meet none of the client's types or errors."""
    for path in [*(ROOT / "services").rglob("*.py"), *(ROOT / "export").rglob("*.py")]:
        if ROOT / "services" / "kafka" not in path.parents:
            assert "kafka" not in {module.partition(".")[0] for module in imported(path)}, path


def loaded(module: str) -> set[str]:
    """Top-level packages in memory after importing a module in a fresh process."""
    code = f"import sys, {module}; print('\\n'.join({{name.partition('.')[0] for name in sys.modules}}))"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(run.stdout.split())


def test_the_client_needs_grpc_protobuf_and_the_contracts_alone() -> None:
    """And googleapis' messages (google.rpc) where they are installed."""
    files = list((ROOT / "services" / "client").glob("*.py"))
    modules = {module for path in files for module in imported(path)} - {path.stem for path in files}
    foreign = {module for module in modules if module.partition(".")[0] not in sys.stdlib_module_names}
    assert {"crossrec", "google", "grpc"} == {module.partition(".")[0] for module in foreign}
    assert {"google.rpc"} == {module for module in foreign if module.startswith("google")}


@pytest.mark.parametrize("module", ["encode", "behavior", "activity", "catalogue", "schema"])
def test_features_import_neither_feast_pandas_nor_grpc(module: str) -> None:
    """The feature code is numpy alone."""
    assert not loaded(f"services.features.{module}") & {"feast", "pandas", "grpc", "torch", "kafka", "redis", "pyarrow"}


@pytest.mark.parametrize("module", ["services.ranking.wiring", "export.recognition.cli"])
def test_neither_ranking_nor_the_command_line_loads_training_packages(module: str) -> None:
    """What a server or `crossrec --help` imports is without scikit-learn and torch."""
    assert not loaded(module) & {"sklearn", "scipy", "torch", "skl2onnx"}


def test_the_command_line_sets_how_loud_grpc_is_before_it_is_imported() -> None:
    """GRPC reads its environment once, when it is imported: by a command, not before."""
    assert "grpc" not in loaded("services.main")


def test_the_request_path_does_not_need_feast() -> None:
    """It takes seconds to import; rows may come from elsewhere."""
    assert not loaded("services.ranking.service") & {"feast", "pandas", "redis"}
