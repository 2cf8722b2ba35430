"""The asyncio version of the publish stream in stream.py."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from crossrec.events.v1.events_pb2 import Entry, PublishStreamRequest, PublishStreamResponse

from .batches import check_request, ensure_event_id
from .errors import CallFailed, error_from_rpc
from .pending import PendingRequests, ReconnectBackoff
from .stream import Results, stream_aborted, stream_ended_early


class AsyncEventStream:
    """EventStream for asyncio; an asynchronous context manager."""

    def __init__(
        self, open_call: Callable[[AsyncIterator[PublishStreamRequest]], Any], window: int, reconnect_timeout_s: float
    ) -> None:
        self._open_call, self._backoff = open_call, ReconnectBackoff(reconnect_timeout_s)
        self._pending: PendingRequests[asyncio.Future[Results]] = PendingRequests(window)
        self._changed = asyncio.Condition()
        self._entering, self._closing = 0, False
        self._failure: CallFailed | None = None

    async def publish(self, *entries: Entry) -> Results:
        """Send entries when the window has room; returns a result per entry, in order.

        Calls that start one after the other are sent in this order, and need not wait for each other's answers.
        A result may be `unconfirmed`: publish that entry again. Raises CallFailed if the stream fails finally.
        """
        if self._closing:
            raise ValueError("publish: the stream is closed")
        check_request(entries)
        future: asyncio.Future[Results] = asyncio.get_running_loop().create_future()
        self._entering += 1
        async with self._changed:
            try:
                await self._changed.wait_for(lambda: self._failure or self._pending.has_room(len(entries)))
            finally:
                self._entering -= 1
                self._changed.notify_all()
            if self._failure:
                raise self._failure
            self._pending.add([ensure_event_id(entry) for entry in entries], future)
        return await future

    async def close(self) -> None:
        """Wait until all requests are answered. Raises CallFailed if the stream has failed."""
        async with self._changed:
            self._closing = True
            self._changed.notify_all()
        await self._task
        if self._failure:
            raise self._failure

    async def abort(self) -> None:
        """End at once; pending entries may or may not be stored."""
        self._closing = True
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._fail(stream_aborted())

    async def _run(self) -> None:
        try:
            while await self._has_work():
                try:
                    await self._run_call()
                except CallFailed as failure:
                    await asyncio.sleep(self._backoff.pause_s(failure))
        except CallFailed as failure:
            await self._fail(failure)

    async def _fail(self, failure: CallFailed) -> None:
        async with self._changed:
            self._failure = failure
            for future in self._pending.pop_all():
                if not future.done():  # the caller may have been cancelled
                    future.set_exception(failure)
            self._changed.notify_all()

    async def _has_work(self) -> bool:
        async with self._changed:
            if not self._pending:
                self._backoff.reset()
            await self._changed.wait_for(lambda: self._pending or self._is_complete())
            return bool(self._pending)

    def _is_complete(self) -> bool:
        return self._closing and not self._entering

    async def _run_call(self) -> None:
        over = asyncio.Event()
        call = self._open_call(self._requests(over))
        try:
            async for response in call:
                await self._handle_response(response)
        except grpc.aio.AioRpcError as error:
            raise (stream_ended_early() if _is_lost(error) else error_from_rpc(error)) from error
        finally:
            call.cancel()  # if this task is cancelled
            async with self._changed:
                over.set()
                self._changed.notify_all()
        if self._pending:
            raise stream_ended_early()

    async def _requests(self, over: asyncio.Event) -> AsyncIterator[PublishStreamRequest]:
        """Pending requests, then new ones, until the call is over."""
        sequence = 0
        while True:
            async with self._changed:
                await self._changed.wait_for(
                    lambda: over.is_set() or self._is_complete() or self._pending.after(sequence)  # noqa: B023
                )
                request = None if over.is_set() else self._pending.after(sequence)
            if request is None:
                return
            sequence = request.sequence
            yield request

    async def _handle_response(self, response: PublishStreamResponse) -> None:
        self._backoff.reset()
        async with self._changed:
            future = self._pending.pop_answered(response)
            self._changed.notify_all()
        if future is not None and not future.done():
            future.set_result(list(response.results))

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="event-stream")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.close()
        else:
            await self.abort()


def _is_lost(error: grpc.aio.AioRpcError) -> bool:
    """Whether grpc.aio lost the gateway's status: it replaces it by its own if a call ends while a message is sent.

    This happens in `StreamStreamCall._write`, when sending fails. The next call gets the gateway's status again.
    """
    why = error.debug_error_string() or ""
    return error.code() is grpc.StatusCode.INTERNAL and why.startswith('Failed "execute_batch"')
