"""Columns as serialised Values, against messages that protobuf's own library encodes and parses."""

from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from services.features.config import FeatureConfig
from services.features.feature import SCALAR, VARIABLE, Feature
from services.features.rows import Block, Ragged, Row, pack_rows, unpack_rows
from services.features.schema import View, build_schema
from services.store.redis.wire import encode_block
from services.store.redis.wire_decode import NotCanonical, StoredRows, decode_blocks, decode_column

SCALARS = {"string": 2, "int64": 4, "float64": 5}
LISTS = {"string": 12, "int64": 14, "float64": 15}
"""Field numbers in feast.types.Value."""

SCHEMA = build_schema(FeatureConfig())
EMPTY = View("empty", (), "nobody", ())


def _value_type() -> Any:
    """A message with the fields of Feast's Value that are used here; importing Feast would cost seconds."""
    field = descriptor_pb2.FieldDescriptorProto
    types = {"string": field.TYPE_STRING, "int64": field.TYPE_INT64, "float64": field.TYPE_DOUBLE}
    file = descriptor_pb2.FileDescriptorProto(name="like_feast.proto", package="like_feast", syntax="proto3")
    value = file.message_type.add(name="Value")
    value.oneof_decl.add(name="val")
    for dtype, kind in types.items():
        items = file.message_type.add(name=f"{dtype}_list")
        items.field.add(name="val", number=1, type=kind, label=field.LABEL_REPEATED)
        value.field.add(name=dtype, number=SCALARS[dtype], type=kind, label=field.LABEL_OPTIONAL, oneof_index=0)
        of = f".like_feast.{dtype}_list"
        value.field.add(
            name=f"{dtype}s", number=LISTS[dtype], type=field.TYPE_MESSAGE, type_name=of, label=1, oneof_index=0
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("like_feast.Value"))


Value = _value_type()


def message(feature: Feature, array: np.ndarray) -> bytes:
    """The value as protobuf's library serialises it."""
    if feature.length == SCALAR:
        return Value(**{feature.dtype: array.item()}).SerializeToString()
    value = Value()
    items = getattr(value, f"{feature.dtype}s")
    items.SetInParent()
    items.val.extend(array.tolist())
    return value.SerializeToString()


def canonical(cell: bytes) -> bytes:
    return Value.FromString(cell).SerializeToString()


def value_of(feature: Feature, random: np.random.Generator) -> np.ndarray:
    """Any value that the feature may have."""
    longest = int(random.choice([1, 15, 20, 300, 3000]))
    length = {VARIABLE: int(random.integers(0, longest)), SCALAR: 1}.get(feature.length, feature.length)
    match feature.dtype:
        case "float64":
            values = random.normal(size=length) * 10.0 ** random.integers(-300, 300, length)
        case "int64":
            values = random.integers(-(2**63), 2**63 - 1, length) >> random.integers(0, 63, length)
        case _:
            values = random.choice(np.array(["", "tea", "чай\x1f\n", "茶" * 300, "x" * 127, "x" * 128], object), length)
    return np.array(values[0], values.dtype) if feature.length == SCALAR else values


def rows_of(view: View) -> list[Row]:
    random = np.random.default_rng(3)
    return [{feature.name: value_of(feature, random) for feature in view.features} for _ in range(12)]


@pytest.mark.parametrize("view", SCHEMA.views, ids=lambda view: view.name)
def test_values_are_encoded_as_protobuf_does(view: View) -> None:
    """To the byte, for rows of any length."""
    rows = rows_of(view)
    encoded = encode_block(pack_rows(view, rows))
    for feature in view.features:
        assert [message(feature, row[feature.name]) for row in rows] == encoded[feature.name]


@pytest.mark.parametrize("view", SCHEMA.views, ids=lambda view: view.name)
def test_values_are_decoded_to_the_bit(view: View) -> None:
    """Without the protobuf library; and the decoded arrays are writable."""
    rows = rows_of(view)
    columns = {feature.name: [message(feature, row[feature.name]) for row in rows] for feature in view.features}
    (block,) = decode_blocks([StoredRows(view, columns, len(rows))], pytest.fail)
    for row, back in zip(rows, unpack_rows(block), strict=True):
        for name, value in row.items():
            np.testing.assert_array_equal(value, back[name])
    assert all(column.flags.writeable for column in block.fixed.values())


@pytest.mark.parametrize("unset", [None, b""], ids=["no field", "empty"])
@pytest.mark.parametrize("view", SCHEMA.views, ids=lambda view: view.name)
def test_a_value_that_is_not_set_takes_the_default(view: View, unset: bytes | None) -> None:
    columns = {feature.name: [unset] for feature in view.features}
    (block,) = decode_blocks([StoredRows(view, columns, 1)], pytest.fail)
    (row,) = unpack_rows(block)
    (expected,) = unpack_rows(pack_rows(view, [None]))
    for name, value in expected.items():
        np.testing.assert_array_equal(value, row[name])


def test_blocks_of_different_sizes_are_decoded_together_as_alone() -> None:
    """Numbers of all of them are decoded at once: of one view twice, of another without rows."""
    stored = []
    for view, count in ((SCHEMA["user"], 1), (SCHEMA["user_scenario"], 0), (SCHEMA["user_scenario"], 7), (EMPTY, 0)):
        rows = rows_of(view)[:count]
        cells = {feature.name: [message(feature, row[feature.name]) for row in rows] for feature in view.features}
        stored.append(StoredRows(view, cells, count))
    together = decode_blocks(stored, pytest.fail)
    for rows_alone, block in zip(stored, together, strict=True):
        (alone,) = decode_blocks([rows_alone], pytest.fail)
        assert (alone.view, alone.size) == (block.view, block.size)
        assert list(alone.fixed) == list(block.fixed)
        for name, column in alone.fixed.items():
            np.testing.assert_array_equal(column, block.fixed[name])
        for name, ragged in alone.ragged.items():
            np.testing.assert_array_equal(ragged.values, block.ragged[name].values)
            np.testing.assert_array_equal(ragged.lengths, block.ragged[name].lengths)


def test_an_empty_block_has_no_cells() -> None:
    view = SCHEMA["user"]
    (block,) = decode_blocks([StoredRows(view, {feature.name: [] for feature in view.features}, 0)], pytest.fail)
    assert 0 == block.size
    assert {name: [] for name in encode_block(block)} == encode_block(block)


def test_unpacked_lists_are_read_too() -> None:
    """An encoder may write them: each number has its own tag."""
    feature = Feature("prices", "float64", VARIABLE, "")
    numbers = [1.5, -2.0]
    inner = b"".join(b"\x09" + np.float64(number).tobytes() for number in numbers)
    column = decode_column(feature, [b"\x7a" + bytes([len(inner)]) + inner, None], canonical)
    assert isinstance(column, Ragged)
    assert numbers == column.values.tolist()
    assert [2, 0] == column.lengths.tolist()


@pytest.mark.parametrize(
    ("feature", "cell"),
    [
        (Feature("one", "float64", SCALAR, ""), Value(int64=5).SerializeToString()),
        (Feature("name", "string", SCALAR, "", ""), Value(float64=5).SerializeToString()),
        (Feature("three", "float64", 3, ""), message(Feature("", "float64", 2, ""), np.zeros(2))),
        (Feature("keys", "int64", VARIABLE, ""), message(Feature("", "float64", 2, ""), np.zeros(2))),
    ],
    ids=["another scalar", "no string", "another length", "another list"],
)
def test_values_of_another_type_are_an_error(feature: Feature, cell: bytes) -> None:
    with pytest.raises(NotCanonical):
        decode_column(feature, [cell], canonical)


def test_a_view_without_features_has_no_columns() -> None:
    assert {} == encode_block(Block(EMPTY, 2, {}, {}))
