"""Users' attributes in the replay: as of a request's time, the same as streamed, and worth something to a model."""

from dataclasses import replace

import numpy as np
import pytest

from export.evaluation.metrics import auc
from export.replay.replay import Replay
from export.rows.requests import LabelledRequests, Snapshots, read_feature_rows, read_moments
from services.features.attributes import Attribute, category_keys
from services.features.config import DAY_S, FeatureConfig
from services.features.encode import Tensors, encode, tensor_names
from services.features.profile import ProfileUpdates
from services.features.schema import Schema, build_schema
from services.store.memory import MemoryRowStore
from services.store.protocol import read_rows
from services.text.protocol import HashingEncoder
from tests.unit.export.replay.test_replay import SOURCES, T0, history

JOB = Attribute("job", "user", kind="category", values=("cook", "student"))
SCHEMA = build_schema(
    FeatureConfig(attributes=(Attribute("placed", "item_scenario"), Attribute("age", "user", "log1p"), JOB))
)


def updates(*given: tuple[str, float, float, str]) -> ProfileUpdates:
    """User, day, age and job of each update."""
    return ProfileUpdates(
        user=np.array([user for user, *_ in given], object),
        time_s=np.array([T0 + day * DAY_S for _, day, _, _ in given]),
        attributes=np.array([[age] for _, _, age, _ in given]),
        category_keys=np.array([category_keys([JOB], {"job": [job]}) for *_, job in given]),
        position=np.zeros((len(given), 3), np.int64),
    )


def replayed(users: ProfileUpdates, days: list[float], schema: Schema = SCHEMA) -> tuple[list[Tensors], MemoryRowStore]:
    """Tensors of requests of user u on these days; u has events between them."""
    past = history([T0 + n * DAY_S for n in (1, 3, 5, 7)], [T0 + day * DAY_S for day in days], [])
    store, encoder, seen = MemoryRowStore(), HashingEncoder(), []

    def on_requests(_: float, requests: LabelledRequests) -> None:
        seen.append(encode(schema, read_feature_rows(store, schema, encoder.fingerprint, SOURCES, requests)))

    Replay(replace(past, users=users), schema, encoder, store).run(T0 + 100 * DAY_S, on_requests)
    return seen, store


def columns(tensors: Tensors) -> list[float]:
    """The columns of the profile: age, cook, student, unknown."""
    names = tensor_names(SCHEMA)["behavior"]
    first = names.index("profile_age")
    assert ("profile_age", "profile_job=cook", "profile_job=student", "profile_job~unknown") == names[first:]
    return tensors.behavior[0, 1, first:].tolist()


def test_a_request_sees_the_attributes_of_its_time() -> None:
    """Before the first update their defaults; an update at the request's own time is seen."""
    seen, _ = replayed(updates(("u", 2, 30, "cook"), ("u", 6, 31, "student")), [1.5, 2, 5.5, 6, 8])
    old, new = [np.float32(np.log1p(30)), 1, 0, 0], [np.float32(np.log1p(31)), 0, 1, 0]
    assert [[0, 0, 0, 0], old, old, new, new] == [columns(tensors) for tensors in seen]


def test_updates_and_events_of_a_user_do_not_hide_each_other() -> None:
    """Every event counts, whatever updates come between; users without events get a row."""
    users = updates(*(("u", day, 30 + day, "cook") for day in (0.5, 2, 2.5, 3, 6)), ("cold", 9, 18, "student"))
    order = np.argsort(users.time_s, kind="stable")
    _, store = replayed(users.take(order), [4, 6])
    _, plain = replayed(updates(), [4, 6])
    (row, cold), (expected,) = (
        read_rows(store, SCHEMA["user"], [("u",), ("cold",)]),
        read_rows(plain, SCHEMA["user"], [("u",)]),
    )
    assert row is not None and cold is not None and expected is not None
    for name in row.keys() - {"position", "event_seqs", "attributes", "category_keys", "profile_s"}:
        np.testing.assert_array_equal(expected[name], row[name], err_msg=name)
    assert (36.0, 18.0, 0.0) == (row["attributes"][0], cold["attributes"][0], float(cold["time_s"]))


def test_a_planted_preference_of_a_kind_of_users_is_learnt_for_new_ones() -> None:
    """Students like one item and cooks the other: without the attribute nothing tells users without events apart."""
    from sklearn.linear_model import LogisticRegression

    chance = np.random.default_rng(0)
    jobs = chance.choice(["cook", "student"], 400)
    users = updates(*((f"u{n}", 0, 30, job) for n, job in enumerate(jobs)))
    found = {}
    for schema in (build_schema(FeatureConfig(attributes=(Attribute("placed", "item_scenario"),))), SCHEMA):
        rows = _planted(schema, users, jobs, np.random.default_rng(1))
        values, label = rows
        model = LogisticRegression(max_iter=2000).fit(values[:400], label[:400])
        found[schema is SCHEMA] = auc(label[400:], model.predict_proba(values[400:])[:, 1])
    assert found[False] == pytest.approx(0.5, abs=0.12)
    assert found[True] > 0.85


def _planted(
    schema: Schema, users: ProfileUpdates, jobs: np.ndarray, chance: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Features (the user's, the item's price, their products) and labels of 800 requests, two per user, shuffled."""
    count = len(jobs)
    user = np.repeat(np.arange(count), 2)
    item = np.tile([0, 1], count)
    label = (chance.random(2 * count) < np.where((jobs[user] == "student") == (item == 1), 0.9, 0.1)).astype(np.int64)
    past = history([], [T0 + DAY_S] * (2 * count), [])
    requests = replace(
        past.requests,
        user=np.array([f"u{n}" for n in user], object),
        item=np.array([f"i{n}" for n in item], object),
    )
    store, encoder, seen = MemoryRowStore(), HashingEncoder(), []

    def on_requests(_: float, requests: LabelledRequests) -> None:
        seen.append(encode(schema, read_feature_rows(store, schema, encoder.fingerprint, SOURCES, requests)))

    Replay(replace(past, requests=requests, users=users), schema, encoder, store).run(T0 + 9 * DAY_S, on_requests)
    (tensors,) = seen
    of_user = np.unique(requests.user, return_inverse=True)[1]
    first = np.unique(of_user, return_index=True)[1]
    order = np.argsort(np.argsort(first))[of_user]  # users in order of appearance
    behavior = tensors.behavior[order, 1]
    side = np.where(item == 1, 1.0, -1.0)[:, None]
    values = np.concatenate([behavior, behavior * side, side], axis=1)
    shuffled = chance.permutation(len(values))
    return values[shuffled], label[shuffled]


def test_steps_that_are_folded_together_see_the_same_attributes() -> None:
    """As those that are folded one by one, to the bit, whatever updates come between them."""
    users = updates(("cold", 0, 18, "student"), ("u", 0.5, 30, "cook"), ("u", 4.5, 31, "student"), ("u", 6, 32, "cook"))
    days = [1.5, 2, 3.5, 4, 5.5, 6, 7.5, 8, 9]
    one_by_one, expected = replayed(users, days)
    past = history([T0 + n * DAY_S for n in (1, 3, 5, 7)], [T0 + day * DAY_S for day in days], [])
    store, encoder, seen = MemoryRowStore(), HashingEncoder(), []

    def on_step(requests: LabelledRequests, rows: Snapshots, stamp: np.ndarray) -> None:
        for number in range(len(stamp)):
            part = requests.part(slice(number, number + 1))
            moments = read_moments(rows, SCHEMA, encoder.fingerprint, SOURCES, part, stamp[number : number + 1])
            seen.append(encode(SCHEMA, moments.rows))

    Replay(replace(past, users=users), SCHEMA, encoder, store).run_grouped(T0 + 100 * DAY_S, on_step)
    for left, right in zip(one_by_one, seen, strict=True):
        np.testing.assert_array_equal(left.behavior, right.behavior)
    for key, row in expected.rows["user"].items():
        for name, value in row.items():
            np.testing.assert_array_equal(value, store.rows["user"][key][name], err_msg=f"{key} {name}")
