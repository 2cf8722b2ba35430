"""How `make audit` evaluates the output of pip-audit."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[3] / "deploy" / "audit.py"
SPEC = importlib.util.spec_from_file_location("audit", FILE)
assert SPEC
assert SPEC.loader
audit = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(audit)

CLEAN = {"name": "clean", "version": "1.0", "vulns": []}
FLAWED = {"name": "flawed", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "status", "line"),
    [
        ([CLEAN, UNKNOWN], 0, "audit: 0 known vulnerabilities, 1 packages, 1 not known"),
        ([CLEAN, FLAWED], 1, "flawed 2.0: PYSEC-1, fixed in 2.1"),
        ([UNKNOWN, UNKNOWN], 0, "audit: not done, the vulnerability service knows none of the 2 packages"),
    ],
)
def test_only_known_vulnerabilities_fail(
    capsys: pytest.CaptureFixture[str], packages: list[dict[str, object]], status: int, line: str
) -> None:
    """If the service knows no package, the audit counts as not done and does not fail."""
    assert status == audit.print_findings(packages)
    assert line in capsys.readouterr().out
