"""Checks locked packages for known vulnerabilities with pip-audit, and prints them.

`python deploy/audit.py LOCK`: exits with 1 if there are some, or if the lock cannot be read. If the vulnerability
service cannot be reached, or knows none of the packages, as behind a mirror, it prints that and exits with 0.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TOOL = "pip-audit==2.10.1"
UNREACHABLE = ("ServiceError", "ConnectionError", "Connection", "connection", "timed out", "Failed to fetch", "resolve")
"""Words in the errors of uv and pip-audit when a service cannot be reached."""


def main(lock: str) -> int:
    """Run the audit and print its report; returns the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "audit.json"
        options = ["--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
        uv = str(Path(sys.executable).with_name("uv"))
        command = [uv, "tool", "run", "--quiet", TOOL, "--requirement", lock, *options, "--output", str(report)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if report.exists():
            return print_findings(json.loads(report.read_text())["dependencies"])
    last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    if any(word in done.stderr for word in UNREACHABLE):
        sys.stdout.write(f"audit: not done, the vulnerability service cannot be reached: {last}\n")
        return 0
    sys.stdout.write(f"audit: failed: {done.stderr}\n")
    return 1


def print_findings(packages: Sequence[Mapping[str, Any]]) -> int:
    """Print the vulnerabilities; returns the exit status."""
    audited = [package for package in packages if "skip_reason" not in package]
    if not audited:
        sys.stdout.write(f"audit: not done, the vulnerability service knows none of the {len(packages)} packages\n")
        return 0
    found = [(package, flaw) for package in audited for flaw in package["vulns"]]
    for package, flaw in found:
        fixed = ", ".join(flaw["fix_versions"]) or "no version yet"
        sys.stdout.write(f"{package['name']} {package['version']}: {flaw['id']}, fixed in {fixed}\n")
    skipped = len(packages) - len(audited)
    sys.stdout.write(f"audit: {len(found)} known vulnerabilities, {len(audited)} packages, {skipped} not known\n")
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
