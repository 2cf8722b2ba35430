"""Declared attributes: what a declaration may say, and the columns that categories become."""

import numpy as np
import pytest

from services.features.attribute_rules import find_attributes_fault
from services.features.attributes import SLOTS, Attribute, category_keys, expand_categories
from services.features.config import FeatureConfig
from services.features.feature_rows import encode_context

GENRE = Attribute("genre", "item", kind="categories", values=("drama", "war", "unknown"))
COLOR = Attribute("color", "item", kind="category", buckets=4)


def test_categories_become_columns_of_zeros_and_ones() -> None:
    """In the order of the vocabulary, then one for all other values; a value counts once."""
    keys = np.stack([category_keys([GENRE], {"genre": genres}) for genres in (["war", "war"], ["noir", "drama"], [])])
    assert ("genre=drama", "genre=war", "genre=unknown", "genre~unknown") == GENRE.columns
    assert [[0, 1, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]] == expand_categories([GENRE], keys).tolist()


def test_hashed_categories_fall_into_one_of_the_buckets() -> None:
    """The same value always into the same one, beside the columns of other attributes."""
    given = {"genre": ["drama"], "color": ["teal"]}
    columns = expand_categories([GENRE, COLOR], category_keys([GENRE, COLOR], given)[None])[0]
    alone = expand_categories([COLOR], category_keys([COLOR], {"color": ["teal"]})[None])[0]
    assert 2 * SLOTS == len(category_keys([GENRE, COLOR], given))
    assert ([1, 0, 0, 0], 1) == (columns[:4].tolist(), alone.sum())
    np.testing.assert_array_equal(columns[4:], alone)


def test_a_vocabulary_may_change_over_stored_keys() -> None:
    """Rows hold keys of values: a value that is added later is known in rows from before."""
    keys = category_keys([GENRE], {"genre": ["noir"]})[None]
    wider = Attribute("genre", "item", kind="categories", values=("noir", "drama"))
    assert [[0, 0, 0, 1]] == expand_categories([GENRE], keys).tolist()
    assert [[1, 0, 0]] == expand_categories([wider], keys).tolist()


def test_context_is_encoded_as_numbers_then_categories() -> None:
    """Whatever the order of declaration; absent numbers take their default."""
    weather = Attribute("weather", "context", kind="category", values=("rain",))
    config = FeatureConfig(attributes=(weather, Attribute("hour", "context", default=12.0)))
    assert ("hour", "weather=rain", "weather~unknown") == config.columns_of("context")
    assert [12, 0, 1] == encode_context(config, {}, {"weather": ["snow"]}).tolist()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"kind": "number", "values": ("a",)}, "values and buckets are for the kinds category and categories"),
        ({"kind": "categories"}, "give values, the vocabulary, or buckets, a number of hashed columns; found neither"),
        ({"kind": "categories", "values": ("a",), "buckets": 8}, "found both"),
        ({"kind": "category", "values": ("a", "b", "a")}, "values has 'a' twice"),
        ({"kind": "category", "values": ("a", "")}, r"values\[1\] is empty"),
        ({"kind": "category", "values": ("x" * 129,)}, r"values\[0\] is 129 bytes long, at most 128"),
        ({"kind": "category", "buckets": 1001}, "buckets is 1001, must be 2 to 1000"),
        ({"kind": "category", "buckets": 1}, "buckets is 1, must be 2 to 1000"),
        ({"kind": "category", "buckets": 8, "transform": "log1p"}, "transform and default are for kind number"),
        ({"kind": "category", "buckets": 8, "entity": "item_scenario"}, "items in scenarios have numbers only"),
    ],
)
def test_declarations_that_contradict_themselves_are_refused(given: dict, reason: str) -> None:
    """The error names attribute and entity, what was found and what is expected."""
    with pytest.raises(ValueError, match=reason):
        Attribute("genre", **{"entity": "item", **given})


def test_two_columns_of_one_name_are_refused() -> None:
    """A number may be named like the column of a category."""
    clash = Attribute("genre=drama", "item")
    with pytest.raises(ValueError, match="two columns of entity item are named 'genre=drama'"):
        FeatureConfig(attributes=(GENRE, clash))


AGE, JOB = Attribute("age", "user"), Attribute("job", "user", kind="category", values=("student",))
TAGS = Attribute("tags", "user", kind="categories", buckets=8)
CONFIG = FeatureConfig(attributes=(AGE, JOB, TAGS, GENRE))


@pytest.mark.parametrize(
    ("numbers", "values", "path", "reason"),
    [
        ({"agee": 1.0}, {}, 'attributes["agee"]', "is not declared for entity user; declared are: age, job, tags"),
        ({"genre": 1.0}, {}, 'attributes["genre"]', "is not declared for entity user"),
        ({"age": float("nan")}, {}, 'attributes["age"]', "is nan, must be finite"),
        ({"job": 1.0}, {}, 'attributes["job"]', "is declared with kind category: give it in category_attributes"),
        ({}, {"age": ["24"]}, 'category_attributes["age"]', "is declared with kind number: give it in attributes"),
        ({}, {"jobb": ["x"]}, 'category_attributes["jobb"]', "is not declared for entity user"),
        ({}, {"job": ["a", "b"]}, 'category_attributes["job"]', "has 2 values, at most 1: it is declared with kind"),
        ({}, {"tags": ["t"] * 33}, 'category_attributes["tags"]', "has 33 values, at most 32"),
        ({}, {"tags": ["t", ""]}, 'category_attributes["tags"][1]', "is empty"),
        ({}, {"tags": ["é" * 65]}, 'category_attributes["tags"][0]', "is 130 bytes long, at most 128"),
        ({}, {"tags": ["a\x1fb"]}, 'category_attributes["tags"][0]', "holds a control character"),
    ],
)
def test_attributes_that_break_a_rule_are_named(
    numbers: dict[str, float], values: dict[str, list[str]], path: str, reason: str
) -> None:
    """By their path, with the reason."""
    found = find_attributes_fault(CONFIG, "user", numbers, values)
    assert found is not None
    assert (path, reason) == (found[0], found[1][: len(reason)])


def test_values_of_all_attributes_together_are_bounded() -> None:
    """An entry is never larger than a record may be."""
    many = FeatureConfig(attributes=tuple(Attribute(f"a{n}", "user", kind="categories", buckets=8) for n in range(9)))
    given = {f"a{n}": ["x"] * 32 for n in range(8)}
    assert find_attributes_fault(many, "user", {}, given) is None
    found = find_attributes_fault(many, "user", {}, given | {"a8": ["x"]})
    assert ("category_attributes", "has 257 values in all, at most 256") == found
