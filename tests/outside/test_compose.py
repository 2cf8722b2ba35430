"""deploy/compose.yaml against the JSON schema of the compose specification, which its Go library carries."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

COMPOSE = Path(__file__).resolve().parents[2] / "deploy" / "compose.yaml"
LIBRARY = "github.com/compose-spec/compose-go/v2@v2.16.2"


def test_it_is_a_compose_file(tmp_path: Path) -> None:
    """Every key is known, every value of its kind."""
    jsonschema = pytest.importorskip("jsonschema", reason="`make outside` installs jsonschema")
    go = shutil.which("go")
    if not go:
        pytest.fail("missing: go (the Go toolchain), which fetches the schema", pytrace=False)
    command = [go, "mod", "download", "-json", LIBRARY]
    library = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout)
    schema = json.loads((Path(library["Dir"]) / "schema" / "compose-spec.json").read_text())
    jsonschema.validate(yaml.safe_load(COMPOSE.read_text()), schema)
