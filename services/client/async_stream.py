"""A stream of entries to the gateway that outlives its calls, for asyncio; what it does is said in stream.py."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from crossrec.events.v1.events_pb2 import Entry, PublishStreamRequest, PublishStreamResponse

from .batches import with_id
from .errors import CallFailed, call_failed
from .stream import Results, cut, left
from .unanswered import Patience, Unanswered


class AsyncEventStream:
    """As EventStream; an asynchronous context manager."""

    def __init__(
        self, open_call: Callable[[AsyncIterator[PublishStreamRequest]], Any], window: int, patience_s: float
    ) -> None:
        self._open_call, self._patience = open_call, Patience(patience_s)
        self._unanswered: Unanswered[asyncio.Future[Results]] = Unanswered(window)
        self._changed = asyncio.Condition()
        self._entering, self._closing = 0, False
        self._failure: CallFailed | None = None

    async def publish(self, *entries: Entry) -> Results:
        """Send entries when there is room, and return what became of each, in order.

        Calls that are begun one after the other are sent in this order, and need not wait for each other's answers.
        A result may be `unconfirmed`: publish that entry again. Raises CallFailed if the stream fails for good.
        """
        if self._closing:
            raise ValueError("publish: the stream is closed")
        future: asyncio.Future[Results] = asyncio.get_running_loop().create_future()
        self._entering += 1
        async with self._changed:
            try:
                await self._changed.wait_for(lambda: self._failure or self._unanswered.has_room(len(entries)))
            finally:
                self._entering -= 1
                self._changed.notify_all()
            if self._failure:
                raise self._failure
            self._unanswered.add([with_id(entry) for entry in entries], future)
        return await future

    async def close(self) -> None:
        """Wait until everything is answered. Raises CallFailed if the stream has failed."""
        async with self._changed:
            self._closing = True
            self._changed.notify_all()
        await self._task
        if self._failure:
            raise self._failure

    async def abort(self) -> None:
        """End at once; what has no answer may or may not be stored."""
        self._closing = True
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._fail(left())

    async def _run(self) -> None:
        try:
            while await self._has_work():
                try:
                    await self._exchange()
                except CallFailed as failure:
                    await asyncio.sleep(self._patience.pause_s(failure))
        except CallFailed as failure:
            await self._fail(failure)

    async def _fail(self, failure: CallFailed) -> None:
        async with self._changed:
            self._failure = failure
            for future in self._unanswered.give_up():
                if not future.done():  # who waited may have been cancelled
                    future.set_exception(failure)
            self._changed.notify_all()

    async def _has_work(self) -> bool:
        async with self._changed:
            if not self._unanswered:
                self._patience.restore()
            await self._changed.wait_for(lambda: self._unanswered or self._is_complete())
            return bool(self._unanswered)

    def _is_complete(self) -> bool:
        return self._closing and not self._entering

    async def _exchange(self) -> None:
        over = asyncio.Event()
        call = self._open_call(self._requests(over))
        try:
            async for response in call:
                await self._answered(response)
        except grpc.aio.AioRpcError as error:
            raise (cut() if _is_lost(error) else call_failed(error)) from error
        finally:
            call.cancel()  # if this task is cancelled
            async with self._changed:
                over.set()
                self._changed.notify_all()
        if self._unanswered:
            raise cut()

    async def _requests(self, over: asyncio.Event) -> AsyncIterator[PublishStreamRequest]:
        """What has no answer, and then what is published, until the call is over."""
        sequence = 0
        while True:
            async with self._changed:
                await self._changed.wait_for(
                    lambda: over.is_set() or self._is_complete() or self._unanswered.after(sequence)  # noqa: B023
                )
                request = None if over.is_set() else self._unanswered.after(sequence)
            if request is None:
                return
            sequence = request.sequence
            yield request

    async def _answered(self, response: PublishStreamResponse) -> None:
        self._patience.restore()
        async with self._changed:
            future = self._unanswered.answered(response)
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
    """Whether grpc.aio has lost the gateway's status: it puts its own in place if a call ends while a message is sent.

    It does so in `StreamStreamCall._write`, where sending fails. What the gateway said is heard when it says it again.
    """
    why = error.debug_error_string() or ""
    return error.code() is grpc.StatusCode.INTERNAL and why.startswith('Failed "execute_batch"')
