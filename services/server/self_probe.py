"""Asks the server of this process for its health, as a client would: whether it answers, not what.

The answer takes the way of every call: through gRPC's queue, its limit of calls and a thread. So readiness over HTTP,
which has threads of its own, knows when calls are no longer served.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.server.logging import log_event

INTERVAL_S = 1.0
"""Seconds between questions."""

TIMEOUT_S = 2.0
"""Seconds within which the server answers."""

FAILURES = 3
"""Questions in a row without an answer until the server counts as stuck."""

_logger = logging.getLogger(__name__)


class SelfProbe:
    """Whether the server answers, asked on a thread of its own.

    Args:
        address: where the process asks, see `BoundServer.probe_address`.
        stalled: another reason why the server does not serve, empty if there is none; asked each time.
        on_change: called when `reason` has changed, with the reason.
        interval_s: seconds between questions.
        timeout_s: time-out of a question, seconds.
    """

    def __init__(
        self,
        address: str,
        stalled: Callable[[], str] = lambda: "",
        on_change: Callable[[str], object] = lambda _: None,
        interval_s: float = INTERVAL_S,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._address, self._stalled, self._on_change = address, stalled, on_change
        self._interval_s, self._timeout_s = interval_s, timeout_s
        self._failures = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="self-probe", daemon=True)
        self.reason = ""
        """Why the server does not serve; empty while it does."""

    def start(self) -> None:
        """Ask from now on; the server must have been started."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more; call it before the server is stopped."""
        self._stop.set()

    def _run(self) -> None:
        with grpc.insecure_channel(self._address) as channel:
            check: Any = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
            while not self._stop.wait(self._interval_s):
                self._ask(check)

    def _ask(self, check: Callable[..., object]) -> None:
        try:
            check(health_pb2.HealthCheckRequest(), timeout=self._timeout_s)
        except grpc.RpcError as error:
            self._failures += 1
            unanswered = f"the server does not answer its own health check ({error.code().name})"
        else:
            self._failures, unanswered = 0, ""
        reason = (unanswered if self._failures >= FAILURES else "") or self._stalled()
        if self._stop.is_set() or bool(reason) == bool(self.reason):
            return
        self.reason = reason
        if reason:
            log_event(_logger, "server_stuck", level=logging.ERROR, reason=reason)
        else:
            log_event(_logger, "server_answers")
        self._on_change(reason)
