"""Checks the Helm chart with `helm` and `kubeconform`: `python -m tests.outside.chart`.

Both are looked for on PATH and in ~/go/bin. Kubernetes' JSON schemas come from the Python package kubernetes-validate,
whose references are rewritten so that kubeconform finds them. Missing tools are reported in one line.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "crossrec"
PACKAGES = ROOT / "build" / "outside"
"""Where `make outside` installs Python packages that only it needs."""

VALUES = (None, *sorted((CHART / "ci").glob("*.yaml")))
VERSIONS = ("1.27.0", "1.37.0")
"""Of Kubernetes: the oldest that the chart allows, and a recent one."""

FOREIGN = "PodMonitor,PrometheusRule,ScaledObject"
"""Kinds of the Prometheus operator and of KEDA: Kubernetes has no schemas of them."""

INSTALL = {
    "helm": "go install helm.sh/helm/v4/cmd/helm@v4.3.1",
    "kubeconform": "go install github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0",
    "kubernetes-validate": "make outside installs it into build/outside",
}


@dataclass(frozen=True)
class Tools:
    """What the checks run.

    Args:
        helm: the program.
        kubeconform: the program.
        schemas: folder with a folder of schemas per version of Kubernetes.
    """

    helm: str
    kubeconform: str
    schemas: Path


def find_program(name: str) -> str | None:
    """The path of a program, on PATH or where Go installs it."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{Path.home() / 'go' / 'bin'}")


def find_tools() -> tuple[Tools | None, list[str]]:
    """The tools, or what is missing."""
    helm, kubeconform, schemas = find_program("helm"), find_program("kubeconform"), find_schemas()
    found = {"helm": helm, "kubeconform": kubeconform, "kubernetes-validate": schemas}
    if helm and kubeconform and schemas:
        return Tools(helm, kubeconform, schemas), []
    return None, [f"{name} ({INSTALL[name]})" for name, what in found.items() if not what]


def find_schemas() -> Path | None:
    """Folder of Kubernetes' schemas: KUBERNETES_SCHEMAS, or that of the package."""
    if given := os.environ.get("KUBERNETES_SCHEMAS"):
        return Path(given)
    if spec := importlib.util.find_spec("kubernetes_validate"):
        return Path(spec.origin or "").parent / "kubernetes-json-schema"
    fetched = PACKAGES / "kubernetes_validate" / "kubernetes-json-schema"
    return fetched if fetched.is_dir() else None


def check(tools: Tools) -> None:
    """Lint, render and validate under every file of values; CalledProcessError with the tool's output if one fails."""
    with tempfile.TemporaryDirectory() as folder:
        for version in VERSIONS:
            rewrite(tools.schemas / f"v{version}-local-strict", Path(folder) / f"v{version}")
        for values in VALUES:
            chosen = ["--values", str(values)] if values else []
            _run(tools.helm, "lint", "--strict", "--quiet", str(CHART), *chosen)
            manifests = _run(tools.helm, "template", "release", str(CHART), "--namespace", "crossrec", *chosen)
            for version in VERSIONS:
                location = f"{folder}/v{version}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
                options = ("-strict", "-kubernetes-version", version, "-skip", FOREIGN, "-schema-location", location)
                _run(tools.kubeconform, *options, stdin=manifests)


def rewrite(source: Path, target: Path) -> None:
    """The package's references are absolute, for its own loader: make them files beside each other."""
    target.mkdir()
    for file in source.glob("*.json"):
        schema = json.loads(file.read_text().replace('"/api/_definitions.json', '"_definitions.json'))
        schema.pop("$id", None)
        (target / file.name).write_text(json.dumps(schema))


def _run(*command: str, stdin: str | None = None) -> str:
    run = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if run.returncode:
        raise subprocess.CalledProcessError(run.returncode, command, run.stdout, run.stderr)
    return run.stdout


def main() -> int:
    """For `make check`: missing tools are reported, and are not a failure."""
    tools, missing = find_tools()
    if not tools:
        print(f"chart not checked, missing: {'; '.join(missing)}")  # noqa: T201 - the program's output
        return 0
    try:
        check(tools)
    except subprocess.CalledProcessError as error:
        print(f"{' '.join(error.cmd[:2])}: {error.output}{error.stderr}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"chart checked: {len(VALUES)} files of values, Kubernetes {' and '.join(VERSIONS)}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
