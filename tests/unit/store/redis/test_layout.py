"""Keys and fields, byte by byte; an integration test checks that Feast finds the rows."""

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from services.features.config import FeatureConfig
from services.features.rows import pack_rows
from services.features.schema import build_schema
from services.store.redis.layout import RedisLayout, encode_positions, encode_times

SCHEMA = build_schema(FeatureConfig())


def test_a_key_has_names_and_values_sorted_by_name_and_ends_with_the_project() -> None:
    layout = RedisLayout(SCHEMA["user_scenario"], "shop")
    (key,) = layout.encode_keys([("ann", "чай")])
    assert (
        b"\2\0\0\0"
        b"\2\0\0\0\x0b\0\0\0scenario_id"
        b"\2\0\0\0\7\0\0\0user_id"
        b"\2\0\0\0\6\0\0\0\xd1\x87\xd0\xb0\xd0\xb9"
        b"\2\0\0\0\3\0\0\0annshop"
    ) == key
    assert ("ann", "чай") == layout.decode_key(key)


def test_keys_of_other_entities_and_projects_are_not_decoded() -> None:
    """They are stored in the same database."""
    layout, key = RedisLayout(SCHEMA["user_scenario"], "shop"), [("ann", "чай")]
    for view, project in (("user_scenario", "shop2"), ("item_scenario", "shop"), ("user_scenario", "")):
        (other,) = RedisLayout(SCHEMA[view], project).encode_keys(key)
        assert layout.decode_key(other) is None


def test_times_are_kept_to_the_microsecond() -> None:
    """A row without a time gets second 1: time 0 would mark it as missing."""
    block = pack_rows(SCHEMA["user"], [None, None]).with_columns({"time_s": np.array([1_700_000_000.123456, 0.0])})
    expected = [Timestamp(seconds=1_700_000_000, nanos=123_456_000), Timestamp(seconds=1)]
    assert [stamp.SerializeToString() for stamp in expected] == encode_times(block)
    assert [expected[1].SerializeToString()] == encode_times(pack_rows(SCHEMA["scenario_index"], [None]))


def test_the_fence_is_text_that_the_script_parses() -> None:
    block = pack_rows(SCHEMA["user"], [None]).with_columns({"position": np.array([[1, 2, 30]])})
    assert [b"1:2:30"] == encode_positions(block)
