"""Importing Feast has no side effects on the process."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_metrics_stay_in_the_process() -> None:
    """Feast would make prometheus_client keep values in files that all registries share, in child processes too."""
    code = (
        "import os, services.store.feast_api, prometheus_client.values as values;"
        "print(values.ValueClass.__name__, sorted(name for name in os.environ if name.startswith('PROMETHEUS_MULTI')))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "MutexValue []\n" == run.stdout
