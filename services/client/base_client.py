"""The base of all clients: channels that calls use in turn, a deadline, closing. Knows no service."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Any, ClassVar, Self

import grpc

from .channel import ConnectionSettings, Token
from .errors import error_from_rpc


class _Client(ABC):
    """Calls one service.

    Args:
        target: host:port, or any other name that gRPC resolves, like `dns:///ranking:50051`.
        credentials: see `tls`; None: plaintext.
        token: a bearer token, or a function that returns the current one; without TLS to this machine only.
        deadline_s: deadline of a call, retries included, seconds; None: the service's default.
        connections: HTTP/2 connections, used in turn; workers that share a port get some each.
        metadata: sent with every call.
    """

    _stub: ClassVar[Any]
    _service_config: ClassVar[str]
    _deadline_s: float

    def __init__(
        self,
        target: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        token: Token | None = None,
        deadline_s: float | None = None,
        connections: int = 1,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._connection = ConnectionSettings(target, credentials, token, metadata)
        self._deadline_s = self._deadline_s if deadline_s is None else deadline_s
        self._channels = [self._open() for _ in range(connections)]
        self._stubs = itertools.cycle([self._stub(channel) for channel in self._channels])

    @abstractmethod
    def _open(self) -> Any:
        """A channel."""

    def _start_call(self, method: str, request: Any) -> Any:
        """Call a method of the next stub."""
        metadata = self._connection.call_metadata()
        return getattr(next(self._stubs), method)(request, timeout=self._deadline_s, metadata=metadata)


class SyncClient(_Client):
    """A context manager; thread-safe."""

    def _open(self) -> grpc.Channel:
        return self._connection.open(self._service_config)

    def _call(self, method: str, request: Any) -> Any:
        try:
            return self._start_call(method, request)
        except grpc.RpcError as error:
            raise error_from_rpc(error) from error

    def close(self) -> None:
        """Close the connections."""
        for channel in self._channels:
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(_Client):
    """An asynchronous context manager, made and used in one event loop."""

    def _open(self) -> grpc.aio.Channel:
        return self._connection.open_async(self._service_config)

    async def _call(self, method: str, request: Any) -> Any:
        try:
            return await self._start_call(method, request)
        except grpc.RpcError as error:
            raise error_from_rpc(error) from error

    async def close(self) -> None:
        """Close the connections."""
        for channel in self._channels:
            await channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
