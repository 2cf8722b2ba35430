"""Modules that serving processes load."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "module", ["ranking.main", "consumers.main", "gateway.main", "store.connect", "doctor.execution", "doctor.reach"]
)
def test_servers_and_consumers_never_import_torch(module: str) -> None:
    """A serving process holds no training package, also where they are installed."""
    code = f"import sys, services.{module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert not set(run.stdout.split()) & {"torch", "transformers", "sklearn", "onnx", "onnxscript"}
