"""Every kind of entry with every scope: a token publishes exactly what it permits, in batches and on streams."""

import queue
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from crossrec.events.v1.events_pb2 import Entry, EntryResult, PublishRequest, PublishStreamRequest
from crossrec.events.v1.events_pb2_grpc import EventServiceStub
from services.gateway.batch import SCOPE_OF_KIND
from services.gateway.main import EVENT_SERVICE
from services.server.security.access import SCOPES
from services.server.security.caller import Scope
from tests.contract import secured
from tests.contract.secured import Servers, bearer
from tests.unit.server.security.signing import claims, sign_token

TIMEOUT_S = 300
KINDS = tuple(field.name for field in Entry.DESCRIPTOR.oneofs_by_name["entry"].fields)


def entry(kind: str) -> Entry:
    """A valid entry of a kind."""
    made = Entry()
    message = getattr(made, kind)
    for name in ("user_id", "item_id", "scenario_id"):
        if name in message.DESCRIPTOR.fields_by_name:
            setattr(message, name, "x")
    if kind == "behavior_event":
        message.type = 2
    message.event_id = f"e-{kind}"
    return made


ENTRIES = [entry(kind) for kind in KINDS]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Servers, dict[str, str]]]:
    """A protected gateway, and a token of each scope alone."""
    folder = tmp_path_factory.mktemp("entries")
    tokens = secured.listed(folder / "tokens", **{str(scope): frozenset({scope}) for scope in Scope})
    with secured.running(secured.settings(folder)) as running:
        yield running, tokens


def publish(servers: Servers, token: str) -> list[EntryResult]:
    asked = PublishRequest(entries=ENTRIES)
    return list(EventServiceStub(servers.to_gateway).Publish(asked, timeout=TIMEOUT_S, metadata=bearer(token)).results)


def publish_stream(servers: Servers, token: str) -> list[EntryResult]:
    asked = iter([PublishStreamRequest(sequence=1, entries=ENTRIES)])
    (answer,) = EventServiceStub(servers.to_gateway).PublishStream(asked, timeout=TIMEOUT_S, metadata=bearer(token))
    return list(answer.results)


def test_every_kind_of_entry_has_a_scope() -> None:
    """And a call with any of these scopes reaches the gateway."""
    assert set(KINDS) == set(SCOPE_OF_KIND)
    assert frozenset(SCOPE_OF_KIND.values()) == SCOPES[EVENT_SERVICE]


@pytest.mark.parametrize("signed", [False, True], ids=["token", "JWT"])
@pytest.mark.parametrize("call", [publish, publish_stream])
@pytest.mark.parametrize("scope", sorted(SCOPES[EVENT_SERVICE]))
def test_a_token_publishes_what_its_scope_permits(
    servers: tuple[Servers, dict[str, str]],
    scope: Scope,
    call: Callable[[Servers, str], list[EntryResult]],
    signed: bool,
) -> None:
    """Every other entry of the batch is rejected by itself, with the scope that it needs, and is not stored."""
    running, tokens = servers
    before = running.stored
    results = call(running, sign_token(claims(str(scope))) if signed else tokens[scope])
    permitted = [SCOPE_OF_KIND[kind] == scope for kind in KINDS]
    assert permitted == [result.HasField("accepted") for result in results]
    refused = [
        (kind, f"needs a token with the scope {needed}") for kind, needed in SCOPE_OF_KIND.items() if needed != scope
    ]
    rejected = {(r.rejected.field, r.rejected.reason) for r in results if r.HasField("rejected")}
    assert set(refused) == rejected
    assert sum(permitted) == running.stored - before


def test_a_scope_that_is_withdrawn_ends_on_an_open_stream(tmp_path: Path) -> None:
    """Entries after the change are judged by the token as it is now."""
    requests: queue.SimpleQueue[PublishStreamRequest | None] = queue.SimpleQueue()
    both = frozenset({Scope.PUBLISH, Scope.ERASE})
    token = secured.listed(tmp_path / "tokens", shop=both)["shop"]
    lines = (tmp_path / "tokens").read_text()
    with secured.running(secured.settings(tmp_path)) as running:
        stub = EventServiceStub(running.to_gateway)
        answers = stub.PublishStream(iter(requests.get, None), timeout=TIMEOUT_S, metadata=bearer(token))
        answers.add_callback(lambda: requests.put(None))
        requests.put(PublishStreamRequest(sequence=1, entries=[entry("user_erasure")]))
        first = next(answers).results[0]
        (tmp_path / "tokens").write_text(lines.replace('"erase", ', ""))
        requests.put(PublishStreamRequest(sequence=2, entries=[entry("user_erasure"), entry("behavior_event")]))
        second = next(answers).results
        requests.put(None)
        assert grpc.StatusCode.OK == answers.code()
    assert ("accepted", ["rejected", "accepted"]) == (
        first.WhichOneof("result"),
        [result.WhichOneof("result") for result in second],
    )
