"""Which package may import which: imports point one way, and serving does not load training packages."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.unit.layers import EXPORT, SERVICES, drawing, levels

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in ("services", "export", "feature_repo", "tests/bench")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
"""Every module of the repository by its dotted name."""


def imported_modules(path: Path) -> set[str]:
    """Modules of the repository that a file imports, except under TYPE_CHECKING."""
    found, tree = set(), ast.parse(path.read_text())
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level and id(node) not in skipped:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found & MODULES.keys()


def imports_of(path: Path) -> set[str]:
    """Modules that a file imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("part", SERVICES)
def test_services_import_only_what_lies_below(part: str) -> None:
    """No service imports another, and no package imports one above it; export is above all."""
    package = ROOT / "services" / part
    for path in package.rglob("*.py") if package.is_dir() else [package.with_suffix(".py")]:
        for module in imports_of(path):
            assert not module.startswith("export"), f"{path} imports {module}"
            if module.startswith("services."):
                assert module.split(".")[1] in SERVICES[part], f"{path} imports {module}"


@pytest.mark.parametrize("package", EXPORT)
def test_export_imports_only_what_lies_below(package: str) -> None:
    """Within export, too, imports point one way; imports inside functions count."""
    for module, path in MODULES.items():
        if module.split(".")[:2] == ["export", package] and path.name != "cli.py":
            for below in imported_modules(path):
                assert not below.startswith("export.") or below.split(".")[1] in EXPORT[package] | {package}, (
                    f"{module}: {below}"
                )


@pytest.mark.parametrize("packages", [SERVICES, EXPORT])
def test_the_contributors_page_shows_these_layers(packages: dict[str, set[str]]) -> None:
    """The pictures are drawn from the tables; `python -m tests.unit.layers` prints them."""
    assert drawing(packages) in (ROOT / "services" / "CONTRIBUTING.md").read_text()


@pytest.mark.parametrize("packages", [SERVICES, EXPORT])
def test_a_package_is_above_all_that_it_may_import(packages: dict[str, set[str]]) -> None:
    """By at least one level: so no two packages can import each other."""
    level = {package: number for number, found in enumerate(levels(packages)) for package in found}
    assert packages.keys() == level.keys()
    for package, allowed in packages.items():
        assert all(level[below] < level[package] for below in allowed - {package})


@pytest.mark.parametrize(("folder", "packages"), [("services", SERVICES), ("export", EXPORT)])
def test_every_package_is_in_the_table(folder: str, packages: dict[str, set[str]]) -> None:
    """Except the command line itself, which is above all."""
    found = {path.stem for path in (ROOT / folder).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert packages.keys() == found - {"__init__", "main", "commands"}


def test_no_modules_import_each_other() -> None:
    """Nor in a longer cycle; imports inside functions count."""
    graph = {module: imported_modules(path) for module, path in MODULES.items()}
    order = TopologicalSorter({module: found - {module} for module, found in graph.items()})
    order.prepare()  # raises CycleError, which names the cycle


def test_class_names_are_unique() -> None:
    """No two classes of the repository share a name."""
    places: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(module)
    assert {} == {name: found for name, found in places.items() if len(found) > 1}


def test_links_of_pages_point_to_existing_files() -> None:
    """Relative links of all Markdown pages of the repository."""
    folders = ("deploy", "export", "feature_repo", "proto", "services", "tests")
    pages = [path for folder in folders for path in (ROOT / folder).rglob("*.md") if "node_modules" not in path.parts]
    for page in (*ROOT.glob("*.md"), *pages):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert page.parent.joinpath(link).exists(), f"{page} links to {link}"


def test_kafkas_client_stays_in_one_package() -> None:
    """Other packages use services.kafka, and handle none of the client's types or errors."""
    for path in [*(ROOT / "services").rglob("*.py"), *(ROOT / "export").rglob("*.py")]:
        if ROOT / "services" / "kafka" not in path.parents:
            assert "kafka" not in {module.partition(".")[0] for module in imports_of(path)}, path


def loaded_by(module: str) -> set[str]:
    """Top-level packages in memory after importing a module in a fresh process."""
    code = f"import sys, {module}; print('\\n'.join({{name.partition('.')[0] for name in sys.modules}}))"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(run.stdout.split())


def test_the_client_needs_only_grpc_protobuf_and_the_contracts() -> None:
    """And googleapis' messages (google.rpc) where they are installed."""
    files = list((ROOT / "services" / "client").glob("*.py"))
    modules = {module for path in files for module in imports_of(path)} - {path.stem for path in files}
    foreign = {module for module in modules if module.partition(".")[0] not in sys.stdlib_module_names}
    assert {"crossrec", "google", "grpc"} == {module.partition(".")[0] for module in foreign}
    assert {"google.rpc"} == {module for module in foreign if module.startswith("google")}


@pytest.mark.parametrize("module", ["encode", "behavior", "activity", "catalogue", "schema"])
def test_features_import_neither_feast_pandas_nor_grpc(module: str) -> None:
    """The feature code is numpy alone."""
    assert not loaded_by(f"services.features.{module}") & {
        "feast",
        "pandas",
        "grpc",
        "torch",
        "kafka",
        "redis",
        "pyarrow",
    }


@pytest.mark.parametrize("module", ["services.ranking.wiring", "export.recognition.cli"])
def test_neither_ranking_nor_the_command_line_loads_training_packages(module: str) -> None:
    """What a server or `crossrec --help` imports is without scikit-learn and torch."""
    assert not loaded_by(module) & {"sklearn", "scipy", "torch", "skl2onnx"}


def test_the_command_line_sets_the_log_level_of_grpc_before_its_import() -> None:
    """GRPC reads its environment once, when a command imports it."""
    assert "grpc" not in loaded_by("services.main")


def test_the_request_path_does_not_need_a_store() -> None:
    """Rows may come from another store."""
    assert not loaded_by("services.ranking.service") & {"feast", "pandas", "redis"}


@pytest.mark.parametrize("module", ["services.ranking.wiring", "services.consumers.main", "services.gateway.main"])
def test_servers_and_consumers_start_without_feast(module: str) -> None:
    """Feast and what it imports take seconds and 150 MB in every process."""
    assert not loaded_by(f"{module}, services.store.connect") & {"feast", "pandas", "pyarrow", "dask"}
