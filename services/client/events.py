"""Publishes events to the gateway, in batches or on a stream.

Every entry gets an event id before it is first sent, in place: publishing the same entries again after an error
repeats the ids, and repeats are dropped.
"""

from collections.abc import Iterable

from crossrec.events.v1.events_pb2 import Entry, EntryResult, PublishRequest
from crossrec.events.v1.events_pb2_grpc import EventServiceStub

from .async_stream import AsyncEventStream
from .base_client import AsyncClient, SyncClient
from .batches import split_batches
from .service_config import EVENT_SERVICE, PUBLISH_RETRIES, service_config
from .stream import EventStream

DEADLINE_S = 15.0
"""More than the gateway's time-out for Kafka (10 s by default), so that it can report what was not confirmed."""

CONFIG = service_config(EVENT_SERVICE, "Publish", PUBLISH_RETRIES)


class EventClient(SyncClient):
    """Publishes entries; the deadline of a batch is 15 seconds by default."""

    _stub, _service_config, _deadline_s = EventServiceStub, CONFIG, DEADLINE_S

    def publish(self, entries: Iterable[Entry]) -> list[EntryResult]:
        """Publish entries; returns a result per entry, in order, when all are stored or rejected.

        Raises CallFailed; some entries may be stored then. Publish the same entries again.
        """
        results: list[EntryResult] = []
        for batch in split_batches(entries):
            results += self._call("Publish", PublishRequest(entries=batch)).results
        return results

    def stream(self, window: int = 1000, reconnect_timeout_s: float = 30.0) -> EventStream:
        """A stream to publish on, a context manager.

        Args:
            window: most entries without an answer; `publish` blocks while there are more.
            reconnect_timeout_s: how long reconnecting to an unavailable gateway is tried, seconds.
        """
        open_call = next(self._stubs).PublishStream
        return EventStream(
            lambda it: open_call(it, metadata=self._connection.call_metadata()), window, reconnect_timeout_s
        )


class AsyncEventClient(AsyncClient):
    """EventClient for asyncio."""

    _stub, _service_config, _deadline_s = EventServiceStub, CONFIG, DEADLINE_S

    async def publish(self, entries: Iterable[Entry]) -> list[EntryResult]:
        """As EventClient.publish."""
        results: list[EntryResult] = []
        for batch in split_batches(entries):
            results += (await self._call("Publish", PublishRequest(entries=batch))).results
        return results

    def stream(self, window: int = 1000, reconnect_timeout_s: float = 30.0) -> AsyncEventStream:
        """As EventClient.stream."""
        open_call = next(self._stubs).PublishStream
        return AsyncEventStream(
            lambda it: open_call(it, metadata=self._connection.call_metadata()), window, reconnect_timeout_s
        )
