"""The Python clients as tests use them: the asynchronous ones behind the interface of the synchronous ones."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from services.client import AsyncEventClient, AsyncRankingClient, EventClient, RankingClient


class InLoop:
    """An asynchronous client or stream whose coroutines run in a loop on another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, inner: Any) -> None:
        self._loop, self._inner = loop, inner

    def rank(self, *arguments: Any, **parameters: Any) -> Any:
        return self._run(self._inner.rank(*arguments, **parameters)).result()

    def publish(self, *arguments: Any) -> Any:
        """The results from a client, a future from a stream."""
        future = self._run(self._inner.publish(*arguments))
        return future.result() if isinstance(self._inner, AsyncEventClient) else future

    def stream(self, **options: Any) -> "InLoop":
        async def create() -> Any:
            return self._inner.stream(**options)

        return InLoop(self._loop, self._run(create()).result())

    def close(self) -> None:
        self._run(self._inner.close()).result()

    def __enter__(self) -> "InLoop":
        self._run(self._inner.__aenter__()).result()
        return self

    def __exit__(self, *error: Any) -> None:
        self._run(self._inner.__aexit__(*error)).result()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)


class Sync:
    """Factory of synchronous clients."""

    ranking, events = RankingClient, EventClient


class Async:
    """Factory of asynchronous clients, on a loop of their own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def ranking(self, *arguments: Any, **options: Any) -> InLoop:
        return self._create(AsyncRankingClient, arguments, options)

    def events(self, *arguments: Any, **options: Any) -> InLoop:
        return self._create(AsyncEventClient, arguments, options)

    def _create(self, kind: type[Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> InLoop:
        async def create() -> Any:
            return kind(*arguments, **options)

        return InLoop(self._loop, asyncio.run_coroutine_threadsafe(create(), self._loop).result())


@contextmanager
def client_factory(kind: str) -> Iterator[Any]:
    """The factory of one kind of clients: `sync` or `async`."""
    if kind == "sync":
        yield Sync
        return
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield Async(loop)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
