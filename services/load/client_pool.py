"""A pool of client processes: starts them, sends them steps, merges their statistics.

Knows processes and pipes; knows nothing of profiles and reports. SIGINT and SIGTERM end a run early: the statistics
until then are still returned.
"""

import asyncio
import multiprocessing
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Self, TypeVar

from services.load.client import LoadClient, LoadFailed, Offer, connect, open_loop
from services.load.schedule import Step
from services.load.stats import RunRecord
from services.load.target import Target
from services.server.lifecycle import STOP_SIGNALS, freeze_heap, stop_event

LEAD_S = 0.1
"""Time from sending steps to the first due request, seconds: by then all clients have them."""
POLL_S = 0.2
"""Interval of checking for a signal, seconds."""

READY, STOP, END = "ready", "stop", "end"
Message = TypeVar("Message")


class ClientPool(ExitStack):
    """Client processes that are connected to a server; a context manager, on the main thread only.

    Args:
        target: the server.
        requests: bytes of RankRequest, not empty.
        clients: number of processes.
    """

    def __init__(self, target: Target, requests: Sequence[bytes], clients: int) -> None:
        super().__init__()
        self._start = (target, requests, clients)
        self._processes: dict[Connection, BaseProcess] = {}
        self._sent, self._origin_s = 0, 0.0

    def __enter__(self) -> Self:
        """Start the clients and wait until all are connected; LoadFailed if one cannot."""
        super().__enter__()
        with ExitStack() as undo:
            self._stop = undo.enter_context(stop_event())
            undo.callback(self._end)
            target, requests, clients = self._start
            spawn = multiprocessing.get_context("spawn")
            for share in range(clients):
                ours, theirs = spawn.Pipe()
                arguments = (theirs, target, requests, share, clients)
                process = spawn.Process(target=run_client, args=arguments, name=f"load-{share}")
                process.start()
                theirs.close()
                self._processes[ours] = process
            self._receive(str)
            self.push(undo.pop_all())
        self.begin()
        return self

    @property
    def interrupted(self) -> bool:
        """Whether a signal has ended the run."""
        return self._stop.is_set()

    def begin(self) -> None:
        """Set the beginning of the run to now: earlier steps were warm-up."""
        self._origin_s = time.monotonic() + LEAD_S

    def offer(self, steps: Sequence[Step]) -> RunRecord:
        """Run steps one after another; returns the merged record when every request has ended.

        Raises LoadFailed if a client fails.
        """
        start_s = max(time.monotonic() + LEAD_S, self._origin_s)
        for pipe in self._processes:
            pipe.send(Offer(steps, self._sent, start_s, self._origin_s))
        self._sent += sum(len(step.due_s()) for step in steps)
        merged, *others = self._receive(RunRecord)
        for record in others:
            merged.add(record)
        return merged

    def _receive(self, kind: type[Message]) -> list[Message]:
        """One message of every client."""
        received: list[Message] = []
        waiting, stopped = set(self._processes), False
        while waiting:
            for pipe in wait(list(waiting), POLL_S):
                received.append(self._message(pipe, kind))  # type: ignore[arg-type]
                waiting.remove(pipe)  # type: ignore[arg-type]
            if self.interrupted and not stopped:
                stopped = True
                for pipe in waiting:
                    pipe.send(STOP)
        return received

    def _message(self, pipe: Connection, kind: type[Message]) -> Message:
        try:
            message = pipe.recv()
        except EOFError as error:
            process = self._processes[pipe]
            process.join()
            raise LoadFailed(f"client process {process.name} ended with status {process.exitcode}") from error
        if isinstance(message, LoadFailed):
            raise message
        assert isinstance(message, kind)  # noqa: S101 - run_client() sends nothing else
        return message

    def _end(self) -> None:
        """End the clients by closing their pipes."""
        for pipe in self._processes:
            pipe.close()
        for process in self._processes.values():
            process.join()


def run_client(pipe: Connection, target: Target, requests: Sequence[bytes], share: int, shares: int) -> None:
    """The main of a client process: sends READY, then answers every Offer with a RunRecord until the pipe closes.

    STOP ends the running offer. Signals are the parent's: a terminal sends them to both.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    try:
        with asyncio.Runner(loop_factory=open_loop) as runner:
            runner.run(_run_client(pipe, target, requests, share, shares))
    except LoadFailed as error:
        pipe.send(error)


async def _run_client(pipe: Connection, target: Target, requests: Sequence[bytes], share: int, shares: int) -> None:
    channels, calls = await connect(target)
    client = LoadClient(calls, requests, share, shares)
    freeze_heap()
    messages = _read_messages(pipe, client)
    pipe.send(READY)
    while (message := await messages.get()) is not END:
        pipe.send(await client.run(message))
    for channel in channels:
        await channel.close()


def _read_messages(pipe: Connection, client: LoadClient) -> asyncio.Queue[Any]:
    """Messages of the pipe, then END; STOP and END stop the client."""
    messages: asyncio.Queue[Any] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            message = pipe.recv()
        except EOFError:
            loop.remove_reader(pipe.fileno())
            message = END
        if message in (STOP, END):
            client.stop()
        if message != STOP:
            messages.put_nowait(message)

    loop.add_reader(pipe.fileno(), read)
    return messages
