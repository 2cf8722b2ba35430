"""Training choices by rule, and what settings and flags change."""

import re

import pytest

from export.models.kinds import KINDS, config_of
from export.training.choices import choose, describe
from services.errors import ConfigurationError
from services.settings.training import TrainingSettings

MILLION = 1_195_636


@pytest.mark.parametrize("kind", KINDS)
def test_a_million_rows_keep_the_kinds_own_choices(kind: str) -> None:
    """They were measured on such data."""
    for rows in (900_000, MILLION):
        config, choices = choose(kind, rows)
        assert config_of(kind) == config
        assert {"the kind's own"} == {choice.reason for choice in choices}


@pytest.mark.parametrize(
    ("rows", "batch"), [(300, 64), (3000, 64), (10_000, 64), (80_000, 256), (240_000, 1024), (400_000, 1024)]
)
def test_fewer_rows_take_smaller_steps(rows: int, batch: int) -> None:
    """About 300 steps per pass, and 2,400 in all unless that took more than 400 passes."""
    config, _ = choose("neural", rows)
    assert batch == config.batch_rows
    assert config.epochs == 400 or config.epochs * rows / batch >= 1690


def test_few_rows_are_fitted_with_brakes() -> None:
    """Networks by dropout and decay, affine kinds by smaller steps; two numbers need none."""
    network, affine, count = (choose(kind, 8500)[0] for kind in ("neural", "affine", "popularity"))
    assert (0.3, 1e-2, 1e-3) == (network.dropout, network.weight_decay, network.learning_rate)
    assert (0.0, 1e-5, 5e-3) == (affine.dropout, affine.weight_decay, affine.learning_rate)
    assert config_of("popularity").learning_rate == count.learning_rate
    assert config_of("neural").learning_rate == choose("neural", 80_000)[0].learning_rate


def test_settings_and_flags_win_over_rules() -> None:
    """Later ones over earlier ones; None says nothing."""
    config, choices = choose("neural", 3000, TrainingSettings(batch_rows=500).model_dump(), {"epochs": 2, "seed": 4})
    assert (500, 2, 4) == (config.batch_rows, config.epochs, config.seed)
    assert {"batch_rows": "set", "epochs": "set"}.items() <= {c.name: c.reason for c in choices}.items()
    with pytest.raises(ConfigurationError, match="training: no choice epoch"):
        choose("neural", 3000, {"epoch": 3})


def test_choices_are_those_that_concern_a_kind() -> None:
    """Trees have no batches, a logistic regression no hidden layers."""
    names = {kind: {choice.name for choice in choose(kind, 3000)[1]} for kind in KINDS}
    assert {"trees", "leaves", "learning_rate", "threads"} == names["lightgbm"]
    assert {"hidden", "dropout", "members"}.isdisjoint(names["logistic"])
    assert {"hidden", "hidden_g", "dropout", "members", "batch_rows", "epochs"} <= names["neural"]


def test_a_line_gives_the_reasons() -> None:
    """Of what is not the kind's own."""
    line = describe(choose("pooled", 80_000)[1])
    assert "batch_rows 256 (80,000 rows: 313 steps per pass)" in line
    assert "learning_rate 0.002," in line


def test_the_settings_state_what_identifies_weights() -> None:
    """The weights of the loss that `crossrec settings` shows where they are not set."""
    for name in ("own_weight", "transfer_pull"):
        extra = TrainingSettings.model_fields[name].json_schema_extra
        assert isinstance(extra, dict)
        for kind in ("affine", "neural"):
            assert float(str(extra["unset"])) == getattr(config_of(kind), name)


def test_the_settings_state_the_kinds_values() -> None:
    """What `crossrec settings` says of learning rates is what the kinds have."""
    text = TrainingSettings.model_fields["learning_rate"].description or ""
    stated = dict(re.findall(r"(logistic and affine|popularity and past_count|networks|lightgbm) ([\d.]+\d)", text))
    for names, value in stated.items():
        for kind in ("neural", "pooled", "star", "shared_bottom") if names == "networks" else names.split(" and "):
            assert float(value) == config_of(kind).learning_rate


def test_small_steps_are_not_shared_among_threads() -> None:
    """Unless the settings say so; those of a million rows are."""
    for kind in ("neural", "lightgbm"):
        assert [1, 0, 2] == [
            choose(kind, *rows_and_settings)[0].threads
            for rows_and_settings in ((80_000,), (1_000_000,), (80_000, {"threads": 2}))
        ]
