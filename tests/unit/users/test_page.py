"""The page that describes what is stored of a person is complete."""

import re
from pathlib import Path

import pytest

from services.features.config import FeatureConfig
from services.features.schema import View, build_schema
from services.kafka.topics import topic_specs
from services.settings.describe import describe_settings
from services.settings.load import Settings

PAGE = (Path(__file__).resolve().parents[3] / "services" / "users" / "README.md").read_text()
SCHEMA = build_schema(FeatureConfig())
ABOUT_USERS = [view for view in SCHEMA.views if any(entity.endswith("user_id") for entity in view.entities)]


def line_of(view: View) -> set[str]:
    """The names in code type in the view's line of the page."""
    (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{view.name}` ("))
    return set(re.findall(r"`([^`]+)`", line))


@pytest.mark.parametrize("view", ABOUT_USERS, ids=lambda view: view.name)
def test_every_feature_of_a_user_is_named(view: View) -> None:
    """In the line of its view, with the view's keys; other names there are settings."""
    named = {name for name in line_of(view) if not name.startswith("store.")}
    assert {view.name, *view.entities, *(feature.name for feature in view.features)} == named


def test_every_topic_is_named() -> None:
    for spec in topic_specs():
        assert f"`{spec.name}`" in PAGE


def test_settings_that_are_named_exist() -> None:
    """With the default that the page gives."""
    defaults = {setting.name: setting.default for setting in describe_settings(Settings())}
    sections = {name.split(".")[0] for name in defaults if "." in name}
    named = {name for name in re.findall(r"`([a-z_]+\.[a-z_]+)`", PAGE) if name.split(".")[0] in sections}
    assert "retention.behavior_days" in named
    assert named <= set(defaults)
    for name, default in re.findall(r"`(retention\.[a-z_]+)`, (\d+)", PAGE):
        assert defaults[name] == int(default)
