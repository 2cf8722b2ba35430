"""A TCP proxy on loopback that can cut and delay connections, for any protocol."""

import asyncio
import ssl
import threading
from types import TracebackType
from typing import Self

CHUNK_BYTES = 64 * 1024


class Proxy:
    """Forwards connections to `target`, a port on loopback, in a thread.

    It listens on `port`; with `tls`, connections of clients are encrypted. While it is cut, new connections are closed
    at once.
    """

    def __init__(self, target: int, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._target, self._delay_s, self._is_cut = target, 0.0, False
        self._tls = tls
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(port), self._loop).result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Close all connections, and reject new ones until `heal`."""
        self._is_cut = True
        self._loop.call_soon_threadsafe(self._abort)

    def delay(self, seconds: float) -> None:
        """Delay every chunk of bytes, in both directions, until `heal`."""
        self._delay_s = seconds

    def heal(self) -> None:
        """Forward everything without delay."""
        self._is_cut, self._delay_s = False, 0.0

    def redirect(self, target: int) -> None:
        """Forward new connections to another port, as a name that moves to another server; open ones stay."""
        self._target = target

    async def _listen(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", port, ssl=self._tls)

    async def _close(self) -> None:
        self._server.close()
        self._abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            onward_reader, onward = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:  # the server is down: the client's connection is closed
            writer.transport.abort()
            return
        ends = {writer, onward}
        self._writers |= ends
        try:
            await asyncio.gather(self._pump(reader, onward), self._pump(onward_reader, writer))
        finally:
            self._writers -= ends

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while chunk := await source.read(CHUNK_BYTES):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                sink.write(chunk)
                await sink.drain()
        except OSError:
            pass  # one side disconnected: the other is closed
        finally:
            sink.transport.abort() if self._is_cut else sink.close()
