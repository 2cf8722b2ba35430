"""`feast materialize`, which would write rows that the streaming side may not take back."""

import subprocess
import sys
from pathlib import Path

from services.settings.infrastructure import StoreSettings
from services.settings.load import Settings
from services.store.feast_registry import REPOSITORY, apply_definitions, feast_environment

ROOT = REPOSITORY.parent
LONG_AGO, NOW = "2020-01-01T00:00:00", "2026-01-01T00:00:00"


def test_it_is_refused_whole_with_the_reason(tmp_path: Path) -> None:
    """One line, and no connection to the store was made: there is none at its address."""
    store = StoreSettings(url="127.0.0.1:1", registry=tmp_path / "registry.db", offline_dir=tmp_path / "offline")
    settings = Settings(store=store)
    apply_definitions(settings)
    command = [sys.executable, "-W", "ignore", "-m", "feast.cli.cli", "-c", str(REPOSITORY)]
    for what in (["materialize", LONG_AGO, NOW], ["materialize-incremental", NOW]):
        done = subprocess.run(
            [*command, *what], capture_output=True, text=True, check=False, cwd=ROOT, env=feast_environment(settings)
        )
        assert 1 == done.returncode
        assert "Error: nothing was materialized: " in done.stderr
        assert "crossrec backfill --data NAME" in done.stderr
        assert "Traceback" not in done.stdout + done.stderr
