"""Training in several processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.export.rows.synthetic_rows import write_rows

pytestmark = pytest.mark.integration


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    """Under torchrun, each takes a share of the rows; the first writes one run of both, and it has learnt."""
    data = tmp_path / "data"
    write_rows(data / "made" / "rows", contexts=240)
    environment = {
        **os.environ,
        "CROSSREC_DATA_DIR": str(data),
        "CROSSREC_REGISTRY_DIR": str(tmp_path / "registry"),
        "CROSSREC_TRAINING__BATCH_ROWS": "60",
        "OMP_NUM_THREADS": "1",
    }
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [
        *launcher,
        "-m",
        "export.training.distributed",
        "--data",
        "made",
        "--model",
        "logistic",
        "--epochs",
        "60",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert 0 == done.returncode, done.stderr[-3000:]
    run = json.loads((data / "made" / "runs" / "logistic-seed0" / "run.json").read_text())
    assert (2, 60) == (run["processes"], len(run["epochs"]))
    assert run["validation"]["all"]["auc"] > 0.75
    assert (tmp_path / "registry" / "logistic" / "1" / "model.onnx").exists()
