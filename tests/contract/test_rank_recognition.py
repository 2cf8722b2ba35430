"""Requests that name no scenario, over a real channel, with a recogniser trained, exported and registered here."""

from collections.abc import Iterator

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from crossrec.ranking.v1 import ranking_pb2 as pb
from crossrec.ranking.v1.ranking_pb2 import RankRequest
from export.recognition.forest import ForestConfig
from export.recognition.train import train_recogniser
from services.features.config import DAY_S, HOUR_S
from services.ranking.model.onnx_recogniser import OnnxRecogniser, open_recogniser
from services.registry.reader import Registry
from services.settings.load import Settings
from services.store.protocol import StoreUnavailable
from tests.contract.rank_server import (
    NOW_S,
    SCHEMA,
    History,
    RankServer,
    SwitchedStore,
    posterior,
    reasons,
    request,
    running,
)
from tests.unit.export.recognition.devices import SCENARIOS_OF_ALL, write_devices

DEVICE = "hour"
"""The context attribute that the server's schema declares; here 1 means a big screen."""
MIDNIGHT_S = NOW_S // DAY_S * DAY_S


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory: pytest.TempPathFactory) -> OnnxRecogniser:
    root = tmp_path_factory.mktemp("recogniser")
    write_devices(root / "devices", hours=150, attribute=DEVICE)
    settings = Settings(data_dir=root, registry_dir=root / "registry", features=SCHEMA.config)
    train_recogniser(settings, "devices", 10_000, ForestConfig(trees=20, leaf_samples=(20,)))
    opened = open_recogniser(Registry(root / "registry"), "recogniser", SCHEMA, required=True)
    assert opened is not None
    return opened


@pytest.fixture
def store() -> SwitchedStore:
    """Ann has events on every device, most on the phone."""
    store = SwitchedStore()
    history = History(store)
    history.scenarios(*SCENARIOS_OF_ALL)
    history.items("milk")
    seen = [("ann", "phone", "milk")] * 4 + [("ann", "tv", "milk")] * 2 + [("ann", "desktop", "milk")] * 2
    history.events(*seen, time_s=MIDNIGHT_S - DAY_S)
    return store


@pytest.fixture
def server(store: SwitchedStore, recogniser: OnnxRecogniser) -> Iterator[RankServer]:
    with running(store, recogniser=recogniser) as server:
        yield server


def at(hour: float, big_screen: float = 1.0, scenario_id: str = "") -> RankRequest:
    """Ann's request at an hour of the day, from a device."""
    wanted = request(scenario_id, items=["milk"])
    wanted.request_time.CopyFrom(Timestamp(seconds=int(MIDNIGHT_S - DAY_S + hour * HOUR_S)))
    wanted.context.attributes[DEVICE] = big_screen
    return wanted


def test_the_posterior_follows_time_and_device(server: RankServer) -> None:
    """A big screen in office hours is the desktop, in the evening the television; without one it is the phone."""
    office, evening, handheld = (server.rank(at(*when)) for when in ((11,), (21,), (21, 0.0)))
    assert [answer.scenario_id for answer in (office, evening, handheld)] == ["desktop", "tv", "phone"]
    for answer in (office, evening, handheld):
        shares = posterior(answer)
        assert list(shares) == list(SCENARIOS_OF_ALL)
        assert sum(shares.values()) == pytest.approx(1)
        assert min(shares.values()) >= 0
        assert reasons(answer) == {}
    assert posterior(office)["desktop"] > posterior(evening)["desktop"] + 0.2
    assert posterior(handheld)["phone"] > posterior(evening)["phone"] + 0.2


def test_transfer_weights_are_mixed_by_the_posterior(server: RankServer) -> None:
    """M[., j] = sum over i of posterior[i] * M[i, j]; of the model here that is (1 + posterior[j]) / 2."""
    answer = server.rank(at(21))
    expected = [(1 + share) / 2 for share in posterior(answer).values()]
    assert [line.weight for line in answer.transfer_weights] == pytest.approx(expected)


def test_a_named_scenario_is_not_recognised(server: RankServer) -> None:
    """There is no posterior, whatever the time and the device."""
    answer = server.rank(at(21, scenario_id="desktop"))
    assert (answer.scenario_id, posterior(answer)) == ("desktop", {})


def test_a_scenario_added_after_training_gets_the_probability_from_habits(
    server: RankServer, store: SwitchedStore
) -> None:
    """Ann uses the radio: the recogniser distributes only the remaining probability."""
    before = posterior(server.rank(at(21)))
    history = History(store, epoch=2)
    history.scenarios("radio")
    assert posterior(server.rank(at(21))) == pytest.approx({**before, "radio": 0.0})
    history.events(*[("ann", "radio", "milk")] * 8, time_s=MIDNIGHT_S - DAY_S)
    after = posterior(server.rank(at(21)))
    # 8 of 16 own events, and half of the population's.
    assert after["radio"] == pytest.approx(0.5, abs=1e-6)
    assert sum(after.values()) == pytest.approx(1)


def test_an_unknown_user_is_recognised_by_time_and_device(server: RankServer) -> None:
    """For an unknown user, from the time alone."""
    office, evening = at(11), at(21)
    for wanted in (office, evening):
        wanted.user_id = "nobody"
    assert posterior(server.rank(office))["desktop"] > posterior(server.rank(evening))["desktop"] + 0.2
    assert np.isclose(sum(posterior(server.rank(office)).values()), 1)


def test_without_a_store_time_and_device_alone_are_recognised(server: RankServer, store: SwitchedStore) -> None:
    """The user's rows count as absent."""
    server.rank(at(21))
    store.failure, store.failing_view = StoreUnavailable("away"), "user"
    answer = server.rank(at(21))
    assert sum(posterior(answer).values()) == pytest.approx(1)
    assert list(reasons(answer)) == [pb.DEGRADATION_REASON_STORE_UNAVAILABLE, pb.DEGRADATION_REASON_POPULARITY]
