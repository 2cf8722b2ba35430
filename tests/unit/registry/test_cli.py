"""The commands of `crossrec models`."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.errors import CrossRecError
from services.features.config import FeatureConfig
from services.features.schema import build_schema
from services.main import app
from services.registry.reader import Registry, Version
from services.registry.rollout import parse_serving
from tests.unit.ranking.model.tiny_models import change_manifest, register

SCHEMA = build_schema(FeatureConfig())


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three versions of tiny, the last of them incompatible, one version of other, and a recogniser."""
    register(tmp_path, SCHEMA, 1)
    register(tmp_path, SCHEMA, 2, seed=5)
    register(tmp_path, SCHEMA, 3, spoil=change_manifest(schema_fingerprint=1))
    register(tmp_path, SCHEMA, 1, name="other")
    lines = {"inputs": ["hour_sin"], "scenarios": ["tv"], "source_only": []}
    register(tmp_path, SCHEMA, 1, name="recogniser", kind="recogniser", **lines)
    monkeypatch.setenv("CROSSREC_REGISTRY_DIR", str(tmp_path))
    monkeypatch.setenv("CROSSREC_ENCODER_DIR", str(tmp_path / "no encoder"))
    monkeypatch.setenv("CROSSREC_RANKING__MODEL", "tiny")
    monkeypatch.setenv("COLUMNS", "250")
    return tmp_path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["models", *arguments], env={"NO_COLOR": "1"}, catch_exceptions=False)
    assert 0 == result.exit_code, result.output
    return result.output


def run_rejected(*arguments: str) -> str:
    with pytest.raises(CrossRecError) as caught:
        run(*arguments)
    return str(caught.value)


def cells(output: str, version: str) -> list[str]:
    """The line of a version in a table."""
    (line,) = (line for line in output.splitlines() if re.match(rf"│ {version} ", line))
    return [cell.strip() for cell in line.strip("│").split("│")]


def arms_of(registry: Path, name: str = "tiny") -> list[tuple[str, str, float]]:
    rollout = parse_serving((registry / name / "serving.json").read_bytes(), name).rollout
    return [(arm.arm, str(arm.model), arm.weight) for arm in rollout.arms]


@pytest.mark.usefixtures("registry")
def test_list_shows_versions_and_roles() -> None:
    """Without a promotion the newest serves, even if it is incompatible: the reason is shown."""
    output = run("list")
    first, third = cells(output, "tiny/1"), cells(output, "tiny/3")
    assert ["tiny/1", "neural", "2026-07-01T00:00:00", "0.7010"] == first[:4]
    assert ["", "yes, if the server has its text encoder; none is on this machine"] == first[-2:]
    assert "serves" == third[-2]
    assert "no: feature schema 1 in the model" in third[-1]
    assert "no: inputs" in cells(output, "recogniser/1")[-1]
    assert "other/1" not in run("list", "tiny")
    assert "name: no nothing in" in run_rejected("list", "nothing")


def test_an_empty_registry_has_no_models_and_a_missing_one_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty table could mean either."""
    monkeypatch.setenv("CROSSREC_REGISTRY_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "250")
    assert f"no models in {tmp_path}\n" == run("list")
    (tmp_path / "file").write_text("")
    for missing in (tmp_path / "nowhere", tmp_path / "file"):
        monkeypatch.setenv("CROSSREC_REGISTRY_DIR", str(missing))
        assert run_rejected("list").startswith(f"registry_dir: no registry at {missing}; `crossrec train`")


def test_list_names_arms_and_shadows(registry: Path) -> None:
    """Also of models under another name; an invalid serving file is reported beside the table."""
    run("promote", "tiny/1")
    run("promote", "tiny/2", "--arm", "b", "--weight", "0.25")
    run("promote", "other/1", "--shadow", "--for", "tiny")
    output = run("list")
    assert "arm control 75.0%" == cells(output, "tiny/1")[-2]
    assert "arm b 25.0%" == cells(output, "tiny/2")[-2]
    assert "shadow of tiny, serves" == ", ".join(sorted(cells(output, "other/1")[-2].split(", "), reverse=True))
    (registry / "other" / "serving.json").write_text("[]")
    output = run("list")
    assert "not a serving file" in output
    assert "shadow of tiny" == cells(output, "other/1")[-2]


def test_rollback_undoes_promotions(registry: Path) -> None:
    """The output matches the serving file."""
    assert "tiny: tiny/2 to all\npreviously: tiny/3 to all\n" in run("promote", "tiny/2")
    run("promote", "tiny/1")
    assert [("", "tiny/1", 1.0)] == arms_of(registry)
    assert "tiny: tiny/1 as control to 90.0%, tiny/2 as b to 10.0%" in run(
        "promote", "tiny/2", "--arm", "b", "--weight", "0.1"
    )
    assert [("control", "tiny/1", 0.9), ("b", "tiny/2", 0.1)] == arms_of(registry)
    for expected in ("tiny/1", "tiny/2", "tiny/3"):
        assert f"tiny: {expected} to all" in run("rollback", "tiny")
        assert [("", expected, 1.0)] == arms_of(registry)
    assert "history: no earlier rollout" in run_rejected("rollback", "tiny")


def test_rollback_without_a_promotion_goes_to_the_previous_version(registry: Path) -> None:
    """One command replaces a bad new version."""
    assert "tiny: tiny/2 to all" in run("rollback", "tiny")
    assert [("", "tiny/2", 1.0)] == arms_of(registry)
    assert "no earlier rollout" in run_rejected("rollback", "other")


def test_rollback_to_a_deleted_version_is_rejected(registry: Path) -> None:
    """Nothing is written."""
    run("promote", "tiny/1")
    run("promote", "tiny/2")
    (registry / "tiny" / "1" / "manifest.json").unlink()
    before = (registry / "tiny" / "serving.json").read_bytes()
    assert "history: tiny/1 served before, but is no longer in" in run_rejected("rollback", "tiny")
    assert before == (registry / "tiny" / "serving.json").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["tiny"], "version: 'tiny' is not NAME/VERSION"),
        (["tiny/9"], "version: no tiny/9 in .*; there are tiny/3, tiny/2, tiny/1"),
        (["no/1"], "version: no no/1 in .*; there are none of no"),
        (["tiny/3"], "version: tiny/3 does not fit this server: feature schema 1"),
        (["recogniser/1"], "version: recogniser/1 does not fit this server: inputs"),
        (["recogniser/1", "--shadow"], "version: recogniser/1 is a recogniser; it serves all users"),
        (["tiny/2", "--arm", "b"], "weight: a share of the users needs --arm and --weight"),
        (["tiny/2", "--weight", "0.1"], "arm: a share of the users needs"),
        (["tiny/2", "--arm", "b", "--weight", "1.5"], "weight: 1.5 is not a multiple"),
        (["tiny/2", "--arm", "b", "--weight", "0.1", "--shadow"], "shadow: cannot be combined with arm"),
    ],
)
def test_promote_rejects_versions_that_could_not_serve(registry: Path, arguments: list[str], reason: str) -> None:
    """Naming the field and the reason; nothing is written."""
    assert re.search(reason, run_rejected("promote", *arguments))
    assert not (registry / "tiny" / "serving.json").exists()


def test_broken_files_are_named_and_not_promoted(registry: Path) -> None:
    """The command rejects them before a server does."""
    (registry / "tiny" / "2" / "samples.npz").unlink()
    (registry / "tiny" / "1" / "model.onnx").write_bytes(b"x")
    output = run("list")
    assert "no: model.onnx has 1 bytes, registered with" in cells(output, "tiny/1")[-1]
    assert "no: samples.npz is missing" == cells(output, "tiny/2")[-1]
    assert "model.onnx has 1 bytes" in run_rejected("promote", "tiny/1")
    assert "samples.npz is missing" in run_rejected("promote", "tiny/2")
    assert not (registry / "tiny" / "serving.json").exists()


@pytest.mark.usefixtures("registry")
def test_a_pinned_version_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The promotion has no effect on such servers."""
    monkeypatch.setenv("CROSSREC_RANKING__VERSION", "3")
    assert "ranking.version pins version 3" in run("promote", "tiny/1")


@pytest.mark.usefixtures("registry")
def test_show_and_diff_read_manifests_and_metrics() -> None:
    """A name alone is its newest version; only differing fields are listed, but metrics always."""
    output = run("show", "tiny/2")
    for field, value in [("seed", "5"), ("metrics.auc", "0.702"), ("training.epochs", "2"), ("data.dataset", "made")]:
        assert re.search(rf"│ {re.escape(field)} +│ {value} ", output)
    assert "│ version " in run("show", "tiny")
    output = run("diff", "tiny/1", "tiny/2")
    for line in [("all.auc", "0.701", "0.702"), ("seed", "-", "5"), ("training.epochs", "1", "2")]:
        assert list(line) == cells(output, re.escape(line[0]))
    assert "trained on" not in output
    assert "version: no version 9 of tiny" in run_rejected("diff", "tiny/1", "tiny/9")


def test_diff_names_features_of_one_side(registry: Path) -> None:
    """Per tensor."""
    path = registry / "tiny" / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["tensors"]["language"][0] = "weather"
    manifest["tensors"]["item"].reverse()
    path.write_text(json.dumps(manifest))
    output = run("diff", "tiny/1", "tiny/2")
    assert ["language: only in", "weather", "text_0"] == cells(output, "language: only in")
    assert ["item", "the same features", "in another order"] == cells(output, "item")


def test_a_registry_in_object_storage_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By file:// URL, from another process that cannot import training packages."""
    for number in (1, 2):
        register(tmp_path, SCHEMA, number)
    monkeypatch.setenv("CROSSREC_REGISTRY_DIR", f"file://{tmp_path}")
    blocked = "import sys; sys.modules.update(dict.fromkeys(('torch', 'sklearn', 'lightgbm', 'onnx', 'pandas')))"
    code = f"{blocked}; from services.main import main; sys.argv[1:] = ['models', 'promote', 'tiny/1']; main()"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    assert "tiny: tiny/1 to all" in done.stdout
    assert [Version("tiny", 1)] == [
        arm.model for arm in parse_serving(Registry(tmp_path).read("tiny/serving.json") or b"", "").rollout.arms
    ]
