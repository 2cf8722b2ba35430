"""A PublishStream call as a client has it open, one request and one answer at a time."""

import queue
from typing import Any

import grpc
import pytest

from crossrec.events.v1.events_pb2 import Entry, PublishStreamRequest, PublishStreamResponse, ScenarioUpdate
from crossrec.events.v1.events_pb2_grpc import EventServiceStub
from tests.contract.event_gateway import Gateway
from tests.contract.secured import bearer


class Stream:
    """A stream as a client has it open."""

    def __init__(self, gateway: Gateway) -> None:
        self._requests: queue.SimpleQueue[PublishStreamRequest | None] = queue.SimpleQueue()
        self.call: Any = gateway.stub.PublishStream(iter(self._requests.get, None), timeout=300, wait_for_ready=True)
        self.call.add_callback(self.done)  # otherwise gRPC's thread that reads requests would wait forever

    def send(self, sequence: int, *entries: Entry) -> None:
        self._requests.put(PublishStreamRequest(sequence=sequence, entries=entries))

    def done(self) -> None:
        self._requests.put(None)

    def answer(self) -> PublishStreamResponse:
        return next(self.call)

    def error(self) -> grpc.RpcError:
        """The error that ends the stream, where no answer follows."""
        with pytest.raises(grpc.RpcError) as caught:
            next(self.call)
        return caught.value


class TokenStream(Stream):
    """A stream that is opened with a token."""

    def __init__(self, channel: grpc.Channel, token: str | None) -> None:
        stub = EventServiceStub(channel)
        opened = stub.PublishStream

        class Stub:
            def PublishStream(self, requests: object, **more: object) -> object:  # noqa: N802
                return opened(requests, metadata=bearer(token), **more)

        class Opened:
            stub = Stub()

        super().__init__(Opened())  # type: ignore[arg-type]


def scenario(number: int) -> Entry:
    return Entry(scenario_update=ScenarioUpdate(scenario_id=str(number), event_id=f"e{number}"))
