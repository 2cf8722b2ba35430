"""The list of the kinds of models.

A kind's module is imported when the kind is used: the names alone, for help and errors, need no torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from export.models.config import TrainingConfig
from services.errors import ConfigurationError

if TYPE_CHECKING:
    from export.models.kind import Kind

KINDS = {
    "popularity": "export.models.popularity:KIND",
    "past_count": "export.models.past_count:KIND",
    "logistic": "export.models.logistic:KIND",
    "shared_bottom": "export.models.shared_bottom:KIND",
    "star": "export.models.star:KIND",
    "pooled": "export.models.pooled:KIND",
    "lightgbm": "export.models.boosted_trees:KIND",
    "affine": "export.models.preference_transfer:AFFINE",
    "neural": "export.models.preference_transfer:NEURAL",
}
"""Module and name of each kind, as `module:name`; the simplest kind first."""

DEFAULT_KINDS = ("popularity", "lightgbm", "neural")
"""Trained and compared where no kind is named: what any must beat, the best of other kinds, and the product's."""

ALL = "all"
"""Names every kind."""


def named_kinds(names: Sequence[str] | None) -> list[str]:
    """The kinds of names, each once; `all` is every kind, None DEFAULT_KINDS. ConfigurationError names unknown ones."""
    kinds = dict.fromkeys(kind for name in names or DEFAULT_KINDS for kind in (KINDS if name == ALL else (name,)))
    for kind in kinds:
        load_kind(kind)
    return list(kinds)


def load_kind(name: str) -> "Kind":
    """The kind of a name; ConfigurationError lists the kinds if there is none."""
    if name not in KINDS:
        raise ConfigurationError(f"model: no kind {name}; there are {', '.join(KINDS)}; all names them all")
    module, _, attribute = KINDS[name].partition(":")
    kind: Kind = getattr(import_module(module), attribute)
    return kind


def kinds_with_transfer() -> list[str]:
    """Names of the kinds that have transfer weights."""
    return [name for name in KINDS if load_kind(name).has_transfer]


def config_of(name: str, *overrides: Mapping[str, Any]) -> TrainingConfig:
    """A kind's training choices with overrides, of which later ones win and None changes nothing.

    Raises ConfigurationError naming a kind or choice that does not exist.
    """
    kind = load_kind(name)
    known = {choice.name for choice in fields(TrainingConfig)}
    given = {name: value for values in overrides for name, value in values.items() if value is not None}
    if unknown := sorted(given.keys() - known):
        raise ConfigurationError(f"training: no choice {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return replace(kind.config, **given)
