"""Publishes events to the gateway, in batches or on a stream.

Every entry gets an event id before it is first sent, in place: publishing the same entries again after an error
repeats the ids, and repeats are dropped.
"""

from collections.abc import Iterable

from crossrec.events.v1.events_pb2 import Entry, EntryResult, PublishRequest
from crossrec.events.v1.events_pb2_grpc import EventServiceStub

from .async_stream import AsyncEventStream
from .batches import batches
from .connection import AsyncClient, SyncClient
from .policy import EVENT_SERVICE, PUBLISH_RETRIES, service_config
from .stream import EventStream

DEADLINE_S = 15.0
"""More than the gateway gives Kafka (10 s by default), so that it can say what was not confirmed."""

CONFIG = service_config(EVENT_SERVICE, "Publish", PUBLISH_RETRIES)


class EventClient(SyncClient):
    """Publishes; a batch by default within 15 seconds."""

    _stub, _service_config, _deadline_s = EventServiceStub, CONFIG, DEADLINE_S

    def publish(self, entries: Iterable[Entry]) -> list[EntryResult]:
        """Store entries; what became of each, in order, when all are stored or rejected.

        Raises CallFailed: then some may be stored and some not. Publish the same entries again.
        """
        results: list[EntryResult] = []
        for batch in batches(entries):
            results += self._call("Publish", PublishRequest(entries=batch)).results
        return results

    def stream(self, window: int = 1000, patience_s: float = 30.0) -> EventStream:
        """A stream to publish on, a context manager.

        Args:
            window: entries without an answer; `publish` waits while there are more.
            patience_s: how long a gateway that is away is tried again, seconds.
        """
        open_call = next(self._stubs).PublishStream
        return EventStream(lambda it: open_call(it, metadata=self._access.call_metadata()), window, patience_s)


class AsyncEventClient(AsyncClient):
    """The same for asyncio."""

    _stub, _service_config, _deadline_s = EventServiceStub, CONFIG, DEADLINE_S

    async def publish(self, entries: Iterable[Entry]) -> list[EntryResult]:
        """As EventClient.publish."""
        results: list[EntryResult] = []
        for batch in batches(entries):
            results += (await self._call("Publish", PublishRequest(entries=batch))).results
        return results

    def stream(self, window: int = 1000, patience_s: float = 30.0) -> AsyncEventStream:
        """As EventClient.stream."""
        open_call = next(self._stubs).PublishStream
        return AsyncEventStream(lambda it: open_call(it, metadata=self._access.call_metadata()), window, patience_s)
