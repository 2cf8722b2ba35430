"""Every rule of the events contract, through a real channel: what is rejected, where and why."""

from collections.abc import Callable, Iterator

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from crossrec.events.v1.events_pb2 import (
    EVENT_TYPE_CLICK,
    EVENT_TYPE_COMMENT,
    EVENT_TYPE_PURCHASE,
    EVENT_TYPE_QUERY,
    EVENT_TYPE_RATING,
    BehaviorEvent,
    Entry,
    ItemDeletion,
    ItemScenarioDeletion,
    ItemScenarioUpdate,
    ItemUpdate,
    ScenarioDeletion,
    ScenarioUpdate,
    UserErasure,
)
from services.events.routing import DELETIONS, KEY_SEPARATOR
from services.gateway.main import EVENT_SERVICE
from services.kafka.publisher import MemoryPublisher
from tests.contract.event_gateway import NOW_S, Gateway, running

NAN, INF = float("nan"), float("inf")
LIMIT_S = int(NOW_S) + 300

KINDS: dict[str, Callable[[], Entry]] = {
    "behavior_event": lambda: Entry(
        behavior_event=BehaviorEvent(user_id="u", scenario_id="tv", type=EVENT_TYPE_CLICK, item_id="i")
    ),
    "item_update": lambda: Entry(item_update=ItemUpdate(item_id="i")),
    "item_scenario_update": lambda: Entry(item_scenario_update=ItemScenarioUpdate(item_id="i", scenario_id="tv")),
    "scenario_update": lambda: Entry(scenario_update=ScenarioUpdate(scenario_id="tv")),
    "user_erasure": lambda: Entry(user_erasure=UserErasure(user_id="u")),
    "item_deletion": lambda: Entry(item_deletion=ItemDeletion(item_id="i")),
    "item_scenario_deletion": lambda: Entry(item_scenario_deletion=ItemScenarioDeletion(item_id="i", scenario_id="tv")),
    "scenario_deletion": lambda: Entry(scenario_deletion=ScenarioDeletion(scenario_id="tv")),
}
"""The smallest valid entry of every kind."""


TIMED = [kind for kind in KINDS if kind not in DELETIONS]
"""The kinds that have a time."""


def entry(kind: str, **fields: object) -> Entry:
    """The smallest valid entry of a kind, with these fields replaced (None: cleared)."""
    made = KINDS[kind]()
    message = getattr(made, kind)
    for name, value in fields.items():
        message.ClearField(name)
        if value is not None:
            message.MergeFrom(type(message)(**{name: value}))
    return made


def event(**fields: object) -> Entry:
    return entry("behavior_event", **fields)


def item(**fields: object) -> Entry:
    return entry("item_update", **fields)


REQUIRED_IDS = [
    ("behavior_event", "user_id"),
    ("behavior_event", "scenario_id"),
    ("item_update", "item_id"),
    ("item_scenario_update", "item_id"),
    ("item_scenario_update", "scenario_id"),
    ("scenario_update", "scenario_id"),
    ("user_erasure", "user_id"),
    ("item_deletion", "item_id"),
    ("item_scenario_deletion", "item_id"),
    ("item_scenario_deletion", "scenario_id"),
    ("scenario_deletion", "scenario_id"),
]

STORED_IDS = [(kind, field) for kind, field in REQUIRED_IDS if kind == "user_erasure" or kind in DELETIONS]
"""What is deleted may be older than the rules of ids."""

BOUNDED_TEXTS = [
    *((kind, "event_id", 128) for kind in KINDS),
    *((kind, field, 65_536 if (kind, field) in STORED_IDS else 128) for kind, field in REQUIRED_IDS),
    ("behavior_event", "item_id", 128),
    ("behavior_event", "text", 4096),
    ("behavior_event", "attribution_token", 512),
    ("item_update", "title", 1024),
    ("item_update", "description", 16_384),
    ("item_update", "brand", 256),
    ("scenario_update", "name", 1024),
    ("scenario_update", "description", 16_384),
]

BAD_TIMES = {
    "never set, that is 1970": (Timestamp(), "before 1980"),
    "last second before 1980": (Timestamp(seconds=315_532_799, nanos=999_999_999), "before 1980"),
    "beyond the tolerance": (Timestamp(seconds=LIMIT_S, nanos=1_000_000), "future"),
    "year 9999": (Timestamp(seconds=253_402_300_799), "future"),
}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running(MemoryPublisher()) as gateway:
        yield gateway


def assert_rejected(gateway: Gateway, bad: Entry, field: str, reason: str) -> None:
    """Check the result, and that nothing was stored."""
    gateway.publisher.stored.clear()
    (result,) = gateway.publish(bad)
    assert (result.WhichOneof("result"), result.rejected.field) == ("rejected", field)
    assert reason in result.rejected.reason
    assert gateway.publisher.stored == []


def assert_accepted(gateway: Gateway, good: Entry) -> None:
    """Check the result, and that the entry was stored."""
    gateway.publisher.stored.clear()
    (result,) = gateway.publish(good)
    assert result.WhichOneof("result") == "accepted", result
    assert len(gateway.publisher.stored) == 1


@pytest.mark.parametrize("method", ["Publish", "PublishStream"])
def test_bytes_that_are_no_request_are_refused_as_such(gateway: Gateway, method: str) -> None:
    """INVALID_ARGUMENT, not INTERNAL: the fault is the caller's."""
    path, bad = f"/{EVENT_SERVICE}/{method}", b"\x0a\xff"
    with pytest.raises(grpc.RpcError) as refused:
        if method == "Publish":
            gateway.channel.unary_unary(path)(bad, timeout=300, wait_for_ready=True)
        else:
            list(gateway.channel.stream_stream(path)(iter([bad]), timeout=300, wait_for_ready=True))
    assert grpc.StatusCode.INVALID_ARGUMENT == refused.value.code()
    assert "request: cannot be read" in refused.value.details()
    assert f"crossrec.events.v1.{method}Request" in refused.value.details()


@pytest.mark.parametrize("kind", KINDS)
def test_the_smallest_entry_of_every_kind_is_accepted(gateway: Gateway, kind: str) -> None:
    """Fields that the contract does not require may be omitted."""
    assert_accepted(gateway, KINDS[kind]())


def test_an_entry_without_kind_is_rejected(gateway: Gateway) -> None:
    """None of the oneof's fields is set."""
    assert_rejected(gateway, Entry(), "entry", "is not set")


@pytest.mark.parametrize(("kind", "field"), REQUIRED_IDS, ids=lambda value: value)
def test_required_ids_must_not_be_empty(gateway: Gateway, kind: str, field: str) -> None:
    """An event without user, or an update without subject, has no key."""
    assert_rejected(gateway, entry(kind, **{field: None}), f"{kind}.{field}", "is empty")


@pytest.mark.parametrize("character", ["\0", "\n", "\x1b", "\x1f", "\u200b", "\u202e", "\u2028"])
@pytest.mark.parametrize(
    ("kind", "field"),
    [*((kind, "event_id") for kind in KINDS), *REQUIRED_IDS, ("behavior_event", "item_id")],
)
def test_ids_hold_no_control_or_format_characters(gateway: Gateway, kind: str, field: str, character: str) -> None:
    """But whatever is stored can be erased or deleted, also if it is older than the rule."""
    strange = entry(kind, **{field: f"a{character}b"})
    if kind.startswith("item") and (kind, field) in STORED_IDS and character == KEY_SEPARATOR:
        assert_rejected(gateway, strange, f"{kind}.{field}", "holds the separator of keys, U+001F")
    elif (kind, field) in STORED_IDS:
        assert_accepted(gateway, strange)
    else:
        reason = f"U+{ord(character):04X}, after 1 characters; an id must not"
        assert_rejected(gateway, strange, f"{kind}.{field}", reason)


@pytest.mark.parametrize(
    ("kind", "topic", "key", "partition_key"),
    [
        ("item_deletion", "crossrec.items", b"i", b"i"),
        ("item_scenario_deletion", "crossrec.items", b"i\x1ftv", b"i"),
        ("scenario_deletion", "crossrec.scenarios", b"tv", b"tv"),
    ],
)
def test_deletions_are_stored_as_tombstones(
    gateway: Gateway, kind: str, topic: str, key: bytes, partition_key: bytes
) -> None:
    """Under the keys of the updates that they delete; the result has the event id."""
    gateway.publisher.stored.clear()
    (result,) = gateway.publish(entry(kind, event_id="mine"))
    (record,) = gateway.publisher.stored
    assert ("mine", topic, key, partition_key, None, []) == (
        result.accepted.event_id,
        record.topic,
        record.key,
        record.partition_key,
        record.value,
        record.headers,
    )


def test_ids_that_look_alike_stay_distinct(gateway: Gateway) -> None:
    """Composed and decomposed letters, leading zeros, spaces: every id is stored as it was sent."""
    ids = ["é", "e\u0301", "007", "7", "7 ", "\u00a07", "茶", "\U0010fffd"]
    gateway.publisher.stored.clear()
    results = gateway.publish(*(item(item_id=name) for name in ids))
    assert ["accepted"] * len(ids) == [result.WhichOneof("result") for result in results]
    assert ids == [record.key.decode() for record in gateway.publisher.stored]


@pytest.mark.parametrize(("kind", "field", "most"), BOUNDED_TEXTS, ids=str)
def test_texts_are_bounded_in_bytes(gateway: Gateway, kind: str, field: str, most: int) -> None:
    """The maximum length passes, one more byte does not; a two-byte character counts as two."""
    assert_accepted(gateway, entry(kind, **{field: "x" * most}))
    assert_rejected(gateway, entry(kind, **{field: "x" * (most + 1)}), f"{kind}.{field}", f"at most {most}")
    wide = "ü" * (most // 2) + "x"
    assert_rejected(gateway, entry(kind, **{field: wide}), f"{kind}.{field}", f"is {most + 1} bytes long")


@pytest.mark.parametrize("kind", TIMED)
@pytest.mark.parametrize("case", BAD_TIMES)
def test_times_out_of_bounds_are_rejected(gateway: Gateway, kind: str, case: str) -> None:
    """Before 1980, or further ahead of the gateway's clock than its tolerance."""
    time, reason = BAD_TIMES[case]
    bad = KINDS[kind]()
    getattr(bad, kind).time.CopyFrom(time)
    assert_rejected(gateway, bad, f"{kind}.time", reason)


@pytest.mark.parametrize("kind", TIMED)
@pytest.mark.parametrize("seconds", [315_532_800, LIMIT_S], ids=["1980", "end of tolerance"])
def test_times_at_the_bounds_are_accepted(gateway: Gateway, kind: str, seconds: int) -> None:
    """Both bounds are inside."""
    good = KINDS[kind]()
    getattr(good, kind).time.seconds = seconds
    assert_accepted(gateway, good)


@pytest.mark.parametrize("nanos", [-1, 1_000_000_000])
def test_nanoseconds_must_be_within_a_second(gateway: Gateway, nanos: int) -> None:
    """Such a message is not a timestamp."""
    bad = KINDS["user_erasure"]()
    bad.user_erasure.time.seconds = int(NOW_S)
    bad.user_erasure.time.nanos = nanos
    assert_rejected(gateway, bad, "user_erasure.time", "nanos")


@pytest.mark.parametrize(
    ("bad", "field", "reason"),
    [
        pytest.param(event(type=None), "type", "is not set", id="no type"),
        pytest.param(event(type=99), "type", "is unknown: 99", id="unknown type"),
        pytest.param(event(type=-1), "type", "is unknown: -1", id="negative type"),
        pytest.param(event(item_id=None), "item_id", "required", id="click without item"),
        pytest.param(
            event(type=EVENT_TYPE_COMMENT, text="t", item_id=None), "item_id", "required", id="comment without item"
        ),
        pytest.param(event(type=EVENT_TYPE_QUERY, text="tea"), "item_id", "must be empty", id="query with item"),
        pytest.param(event(type=EVENT_TYPE_QUERY, item_id=None), "text", "required", id="query without text"),
        pytest.param(event(type=EVENT_TYPE_COMMENT), "text", "required", id="comment without text"),
        pytest.param(event(type=EVENT_TYPE_RATING), "value", "required", id="rating without value"),
        pytest.param(event(type=EVENT_TYPE_RATING, value=NAN), "value", "nan", id="rating NaN"),
        pytest.param(event(type=EVENT_TYPE_PURCHASE, value=INF), "value", "inf", id="infinite price"),
        pytest.param(event(type=EVENT_TYPE_PURCHASE, value=-INF), "value", "inf", id="minus infinite price"),
        pytest.param(event(value=1.1e9), "value", "-1e+09 to 1e+09", id="value too large"),
        pytest.param(event(value=-1.1e9), "value", "-1e+09 to 1e+09", id="value too small"),
    ],
)
def test_rules_of_behavior_events(gateway: Gateway, bad: Entry, field: str, reason: str) -> None:
    """What each type needs, and the bounds of `value`."""
    assert_rejected(gateway, bad, f"behavior_event.{field}", reason)


@pytest.mark.parametrize(
    "good",
    [
        pytest.param(event(type=EVENT_TYPE_QUERY, item_id=None, text="tea"), id="query"),
        pytest.param(event(type=EVENT_TYPE_COMMENT, text="good"), id="comment"),
        pytest.param(event(type=EVENT_TYPE_RATING, value=0.0), id="rating of zero"),
        pytest.param(event(type=EVENT_TYPE_PURCHASE), id="purchase of unknown price"),
        pytest.param(event(value=1e9), id="largest value"),
        pytest.param(event(value=-1e9), id="smallest value"),
    ],
)
def test_behavior_events_within_the_rules(gateway: Gateway, good: Entry) -> None:
    """Bounds are inside, and zero is a value."""
    assert_accepted(gateway, good)


@pytest.mark.parametrize(
    ("bad", "field", "reason"),
    [
        pytest.param(item(categories=["c"] * 9), "categories", "at most 8", id="nine categories"),
        pytest.param(item(categories=["a", "b", ""]), "categories[2]", "is empty", id="empty category"),
        pytest.param(item(categories=["a", "c" * 257]), "categories[1]", "at most 256", id="long category"),
        pytest.param(item(price=-0.01), "price", "0 to 1e+09", id="negative price"),
        pytest.param(item(price=1.1e9), "price", "0 to 1e+09", id="price too high"),
        pytest.param(item(price=NAN), "price", "nan", id="price NaN"),
        pytest.param(item(price=INF), "price", "inf", id="infinite price"),
        pytest.param(item(attributes={"x": 1.0}), 'attributes["x"]', "not declared", id="undeclared"),
        pytest.param(item(attributes={'"': 1.0}), 'attributes["\\""]', "not declared", id="name is quoted"),
        pytest.param(item(attributes={"margin": 1.0}), 'attributes["margin"]', "not declared", id="of another entity"),
        pytest.param(item(attributes={"weight": NAN}), 'attributes["weight"]', "must be finite", id="NaN"),
        pytest.param(item(attributes={"weight": INF}), 'attributes["weight"]', "must be finite", id="infinite"),
    ],
)
def test_rules_of_item_updates(gateway: Gateway, bad: Entry, field: str, reason: str) -> None:
    """Categories, price and declared attributes."""
    assert_rejected(gateway, bad, f"item_update.{field}", reason)


@pytest.mark.parametrize(
    "good",
    [
        pytest.param(item(categories=["c" * 256] * 8), id="eight categories of 256 bytes"),
        pytest.param(item(price=0.0), id="free"),
        pytest.param(item(price=1e9), id="highest price"),
        pytest.param(item(attributes={"weight": -2.5}), id="declared attribute"),
        pytest.param(entry("item_scenario_update", attributes={"margin": 0.1}), id="declared for item in scenario"),
    ],
)
def test_updates_within_the_rules(gateway: Gateway, good: Entry) -> None:
    """Bounds are inside."""
    assert_accepted(gateway, good)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [({"weight": 1.0}, "not declared"), ({"hour": 1.0}, "not declared"), ({"margin": INF}, "must be finite")],
    ids=["declared for item only", "declared for context only", "infinite"],
)
def test_rules_of_item_scenario_attributes(gateway: Gateway, attributes: dict[str, float], reason: str) -> None:
    """Each entity has its own attributes."""
    (name,) = attributes
    bad = entry("item_scenario_update", attributes=attributes)
    assert_rejected(gateway, bad, f'item_scenario_update.attributes["{name}"]', reason)
