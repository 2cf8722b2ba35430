"""A seeded stream of entries, the rows that folding it in memory gives, and a comparison of rows."""

from collections.abc import Sequence

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from crossrec.events.v1.events_pb2 import (
    BehaviorEvent,
    CategoryValues,
    Entry,
    ItemScenarioUpdate,
    ItemUpdate,
    ScenarioUpdate,
    UserErasure,
    UserUpdate,
)
from services.events.codec import encode
from services.events.routing import route_entry
from services.features.activity import compute_deltas
from services.features.attributes import category_keys, number_values
from services.features.catalogue import ItemState, ScenarioState
from services.features.config import DAY_S, Attribute, FeatureConfig
from services.features.event_types import EVENT_TYPES
from services.features.events import Events
from services.features.hashing import keys64
from services.features.profile import ProfileUpdates
from services.features.schema import Schema, build_schema
from services.kafka.record_source import Record
from services.settings.processes import GatewaySettings
from services.store.folding import (
    attach_items,
    fold_activity,
    fold_item_scenarios,
    fold_states,
    fold_users,
    index_scenarios,
)
from services.store.memory import MemoryRowStore
from services.store.protocol import RowStore, read_rows
from services.text.protocol import HashingEncoder

START_S = 1_700_000_000.0
CONFIG = FeatureConfig(
    text_dims=64,
    attributes=(
        Attribute("size", "item"),
        Attribute("shelves", "item_scenario"),
        Attribute("flavours", "item", kind="categories", buckets=8),
        Attribute("age", "user"),
        Attribute("job", "user", kind="category", values=("cook", "student")),
    ),
    liked_from={"rating": 3.0, "comment": 2.0},
)
SCHEMA = build_schema(CONFIG)
ANY_AGE = GatewaySettings(max_age_half_lives=0)
"""The stream's events are from 2023, so that no age limit may apply."""
ENCODER = HashingEncoder(CONFIG.text_dims)

ACTIVITY = {
    "item_activity": ("item",),
    "facet_activity": ("facet",),
    "item_scenario_activity": ("item", "scenario"),
    "scenario_activity": ("scenario",),
}
WORDS = ("green", "tea", "black", "coffee", "milk", "bread", "rye", "cup")


def timestamp(time_s: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMicroseconds(round(time_s * 1e6))
    return stamp


def item_update(item: int, time_s: float = START_S, **changes: object) -> Entry:
    fields: dict[str, object] = {
        "event_id": f"item-{item}",
        "item_id": f"i{item}",
        "time": timestamp(time_s),
        "title": f"{WORDS[item % 8]} {WORDS[item % 5]}",
        "categories": [f"c{item % 3}", f"d{item % 6}"],
        "brand": f"b{item % 4}",
        "price": 1.0 + item,
        "attributes": {"size": item / 2},
    }
    return Entry(item_update=ItemUpdate(**(fields | changes)))


def user_update(user: int, time_s: float = START_S, age: float = 30.0, job: str = "cook") -> Entry:
    update = UserUpdate(event_id=f"user-{user}-{time_s}", user_id=f"u{user}", time=timestamp(time_s))
    update.attributes["age"] = age
    update.category_attributes["job"].values.append(job)
    return Entry(user_update=update)


def with_flavours(update: Entry, *flavours: str) -> Entry:
    """An update of an item with values of its categorical attribute."""
    update.item_update.category_attributes["flavours"].CopyFrom(CategoryValues(values=flavours))
    return update


def pair_update(item: int, scenario: int, time_s: float = START_S, shelves: float = 1.0) -> Entry:
    update = ItemScenarioUpdate(
        event_id=f"pair-{item}-{scenario}",
        item_id=f"i{item}",
        scenario_id=f"s{scenario}",
        time=timestamp(time_s),
        attributes={"shelves": shelves},
    )
    return Entry(item_scenario_update=update)


def scenario_update(scenario: int, time_s: float = START_S, description: str = "tea shelf") -> Entry:
    update = ScenarioUpdate(
        event_id=f"scenario-{scenario}",
        scenario_id=f"s{scenario}",
        time=timestamp(time_s),
        name=f"scenario {scenario}",
        description=description,
    )
    return Entry(scenario_update=update)


def behavior_event(number: int, **changes: object) -> Entry:
    fields: dict[str, object] = {
        "event_id": f"e{number}",
        "user_id": "u0",
        "scenario_id": "s0",
        "type": "EVENT_TYPE_CLICK",
        "item_id": "i0",
        "time": timestamp(START_S + number),
    }
    return Entry(behavior_event=BehaviorEvent(**(fields | changes)))


def erasure(user: str, time_s: float = START_S - 1) -> Entry:
    return Entry(user_erasure=UserErasure(event_id=f"erase-{user}", user_id=user, time=timestamp(time_s)))


def catalogue(items: int, scenarios: int) -> list[Entry]:
    """Updates of items, of items in scenarios, and of scenarios, some of them twice."""
    entries = [item_update(item) for item in range(items)]
    entries += [item_update(item, START_S + 1, price=99.0) for item in range(0, items, 3)]
    entries += [pair_update(item, item % scenarios, START_S, float(item)) for item in range(items)]
    entries += [scenario_update(scenario) for scenario in range(scenarios)]
    return entries


def behavior(count: int, seed: int = 0, users: int = 9, items: int = 20, scenarios: int = 3) -> list[Entry]:
    """Events of all types in order of time, microseconds exact, over forty days."""
    random = np.random.default_rng(seed)
    times = np.sort(random.integers(0, int(40 * DAY_S * 1e6), count)) / 1e6 + START_S + 10
    entries = []
    for number in range(count):
        kind = EVENT_TYPES[random.integers(0, len(EVENT_TYPES))]
        fields: dict[str, object] = {
            "event_id": f"{seed}-{number}",
            "user_id": f"u{random.integers(0, users)}",
            "scenario_id": f"s{random.integers(0, scenarios)}",
            "type": f"EVENT_TYPE_{kind.upper()}",
            "time": timestamp(times[number]),
        }
        if kind != "query":
            fields["item_id"] = f"i{random.integers(0, items)}"
        if kind in {"purchase", "rating"} or (kind == "comment" and number % 2):
            fields["value"] = float(np.round(random.uniform(1, 9), 2))
        if kind in {"query", "comment"}:
            fields["text"] = " ".join(random.choice(WORDS, 3))
        entries.append(Entry(behavior_event=BehaviorEvent(**fields)))
    return entries


def records(entries: Sequence[Entry], partition: int = 0, offset: int = 0) -> list[Record]:
    """The entries as records of one partition of their topic `crossrec.<suffix>`, from `offset` on."""
    made = []
    for number, entry in enumerate(entries):
        way = route_entry(entry)
        value, headers = encode(entry)
        made.append(Record(f"crossrec.{way.suffix}", partition, offset + number, way.key, value, list(headers)))
    return made


def arrays(entries: Sequence[Entry], schema: Schema = SCHEMA) -> Events:
    """Behaviour events as columns, at rising offsets of one partition."""
    events = [entry.behavior_event for entry in entries]
    count = len(events)
    return Events(
        user=np.array([event.user_id for event in events], object),
        scenario=np.array([event.scenario_id for event in events], object),
        item=np.array([event.item_id for event in events], object),
        type=np.array([event.type - 1 for event in events], np.int64),
        time_s=np.array([event.time.ToMicroseconds() / 1e6 for event in events], np.float64),
        value=np.array([event.value if event.HasField("value") else np.nan for event in events]),
        event_key=keys64(event.event_id for event in events),
        position=np.array([(0, 0, number) for number in range(count)], np.int64).reshape(count, 3),
        item_key=np.zeros(count, np.int64),
        facet_key=np.zeros((count, len(schema.config.facets)), np.int64),
        text_vector=ENCODER.encode([event.text for event in events]),
    )


def profiles(entries: Sequence[Entry], schema: Schema = SCHEMA, first: int = 0) -> ProfileUpdates:
    """Updates of users as columns, at rising offsets of one partition."""
    updates, config = [entry.user_update for entry in entries], schema.config
    numbers, categories = config.numbers_of("user"), config.categories_of("user")
    values = [{name: list(each.values) for name, each in update.category_attributes.items()} for update in updates]
    return ProfileUpdates(
        user=np.array([update.user_id for update in updates], object),
        time_s=np.array([update.time.ToMicroseconds() / 1e6 for update in updates]),
        attributes=np.array([number_values(numbers, update.attributes) for update in updates]),
        category_keys=np.array([category_keys(categories, each) for each in values]),
        position=np.array([(0, 0, first + number) for number in range(len(updates))], np.int64),
    )


def fold_catalogue(store: RowStore, entries: Sequence[Entry], schema: Schema = SCHEMA) -> None:
    """Fold updates as the replay does, one after the other."""
    for number, entry in enumerate(entries):
        position = (0, 0, number)
        match entry.WhichOneof("entry"):
            case "item_update":
                update = entry.item_update
                state: ItemState | ScenarioState = ItemState(
                    update.time.ToMicroseconds() / 1e6,
                    update.title,
                    update.description,
                    list(update.categories),
                    update.brand,
                    update.price,
                    dict(update.attributes),
                    {name: list(each.values) for name, each in update.category_attributes.items()},
                )
                view, key = "item", (update.item_id,)
            case "scenario_update":
                scenario = entry.scenario_update
                state = ScenarioState(scenario.time.ToMicroseconds() / 1e6, scenario.name, scenario.description)
                view, key = "scenario", (scenario.scenario_id,)
                index_scenarios(store, schema, [scenario.scenario_id], position)
            case _:
                pair = entry.item_scenario_update
                times = np.array([pair.time.ToMicroseconds() / 1e6])
                attributes = np.array([[pair.attributes["shelves"]]])
                keys = [(pair.item_id, pair.scenario_id)]
                fold_item_scenarios(store, schema, keys, times, attributes, np.array([position]))
                continue
        vector = ENCODER.encode([state.text])
        fold_states(store, schema, schema[view], [key], [state], [position], vector, ENCODER.fingerprint)


def fold_behavior(
    store: RowStore, entries: Sequence[Entry], schema: Schema = SCHEMA, users: Sequence[Entry] = ()
) -> None:
    """Fold behaviour events, and updates of users, as the replay does, in one batch."""
    events = attach_items(store, schema, arrays(entries, schema), ENCODER.fingerprint)
    updates = profiles(users, schema, len(entries)) if users else None
    flags = fold_users(store, schema, events, ENCODER.fingerprint, updates)
    for view, ids in ACTIVITY.items():
        deltas = compute_deltas(schema, events, flags, *ids)
        fold_activity(store, schema, view, deltas, np.tile((0, 0, len(entries)), (len(deltas), 1)))


def replayed(updates: Sequence[Entry], events: Sequence[Entry], schema: Schema = SCHEMA) -> MemoryRowStore:
    """The rows after the updates and then the events."""
    store = MemoryRowStore()
    fold_catalogue(store, updates, schema)
    fold_behavior(store, events, schema)
    return store


def assert_rows(expected: MemoryRowStore, actual: RowStore, views: Sequence[str] = (), schema: Schema = SCHEMA) -> None:
    """Every row of `expected` is in `actual`, floats within 1e-9.

    Positions belong to another log and are not compared; of stored event ids, only those that every row must keep are.
    """
    for view in views or [view for view, rows in expected.rows.items() if rows]:
        keys = sorted(expected.rows[view])
        assert keys
        for key, row in zip(keys, read_rows(actual, schema[view], keys), strict=True):
            assert row is not None, f"{view} {key} is missing"
            for name, value in expected.rows[view][key].items():
                if name in ("position", "event_seqs"):
                    continue
                where = f"{view} {key} {name}"
                if name in ("event_ids", "event_engaged_before"):
                    kept = schema.config.event_ids
                    np.testing.assert_array_equal(row[name][-kept:], value[-kept:], err_msg=where)
                elif value.dtype.kind == "f":
                    np.testing.assert_allclose(row[name], value, rtol=1e-9, atol=1e-9, err_msg=where)
                else:
                    np.testing.assert_array_equal(row[name], value, err_msg=where)
