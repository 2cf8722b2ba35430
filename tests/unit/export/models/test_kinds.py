"""The list of the kinds of models, and what each kind declares."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import export.models
from export.models.base import ModelError
from export.models.kinds import DEFAULT_KINDS, KINDS, kinds_with_transfer, load_kind, named_kinds
from services.errors import ConfigurationError

README = Path(export.models.__file__).with_name("README.md")


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_is_listed_under_its_own_name(name: str) -> None:
    """The list, the kind and the table of the README agree."""
    kind, file = load_kind(name), KINDS[name].partition(":")[0].rpartition(".")[2] + ".py"
    assert name == kind.name
    assert f"| `{name}` | {kind.title} | {kind.description} | [{file}]({file}) |" in README.read_text().splitlines()


def test_the_readme_lists_the_kinds_in_order() -> None:
    """Every line of its table is a kind."""
    lines = README.read_text().partition("## Kinds")[2].partition("## Add")[0].splitlines()
    assert list(KINDS) == [line.split("`")[1] for line in lines if line.startswith("| `")]


def test_an_unknown_kind_is_an_error_that_lists_the_kinds() -> None:
    """In the order of the list."""
    with pytest.raises(ConfigurationError, match=f"no kind deep; there are {', '.join(KINDS)}"):
        load_kind("deep")


def test_all_names_every_kind_and_none_the_default_ones() -> None:
    """Each once, whatever is repeated."""
    assert list(KINDS) == named_kinds(["all"])
    assert ["star", *(kind for kind in KINDS if kind != "star")] == named_kinds(["star", "all", "star"])
    assert list(DEFAULT_KINDS) == named_kinds(None)


def test_only_the_pm_kinds_have_transfer_weights() -> None:
    """They alone have a graph of several requests, too."""
    assert ["affine", "neural"] == kinds_with_transfer()
    assert kinds_with_transfer() == [name for name in KINDS if load_kind(name).export_batched]


def test_a_kind_is_either_built_or_fitted() -> None:
    """Both or neither is an error where the kind is defined."""
    kind = load_kind("pooled")
    with pytest.raises(ModelError, match="kind pooled: needs either build or fit"):
        replace(kind, fit=load_kind("lightgbm").fit)
    with pytest.raises(ModelError, match="kind pooled: needs either build or fit"):
        replace(kind, build=None)


@pytest.mark.parametrize("module", ["export.training.cli", "export.evaluation.cli", "export.experiments.cli"])
def test_help_lists_the_kinds_without_torch(module: str) -> None:
    """Torch takes seconds to import."""
    code = f"import sys, {module}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
