"""The Prometheus endpoint, and health over HTTP: /metrics, and the probes /live and /ready of an orchestrator."""

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from services.errors import ConfigurationError
from services.server.logging import log_event
from services.settings.address import join_address, split_address

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HealthReport:
    """The answer to a probe.

    Args:
        ok: whether the check passed.
        reasons: why it failed, for people.
        details: more facts about the process.
    """

    ok: bool
    reasons: Sequence[str]
    details: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The body of the answer."""
        return {"ok": self.ok, "reasons": list(self.reasons), **self.details}


class HealthProbes(Protocol):
    """The checks behind /live and /ready; called on threads of the endpoint."""

    def live(self) -> HealthReport:
        """Whether the process works; if not, it should be restarted."""
        ...

    def ready(self) -> HealthReport:
        """Whether the process can serve now."""
        ...


class _Handler(WSGIRequestHandler):
    """Answers without a log line per request."""

    timeout = 10
    """Seconds for a request to arrive."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Log nothing."""


class _ThreadingServer6(ThreadingWSGIServer):
    """Listens on an IPv6 address."""

    address_family = socket.AF_INET6


@contextmanager
def serve_metrics(setting: str, listen: str, registry: CollectorRegistry, health: HealthProbes) -> Iterator[str]:
    """Serve metrics and health at `listen` (host:port; port 0: any free one) inside the block; yields the address.

    Raises ConfigurationError, naming `setting`, if the address is not valid or the port is taken.
    """
    try:
        host, port = split_address(listen, listening=True)
    except ValueError as error:
        raise ConfigurationError(f"{setting}: {listen!r} {error}") from None
    kind = _ThreadingServer6 if ":" in host else ThreadingWSGIServer
    try:
        server = make_server(host, port, metrics_application(registry, health), kind, _Handler)
    except OSError as error:
        raise ConfigurationError(f"{setting}: cannot listen on {listen}: {error}") from error
    worker = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    worker.start()
    address = join_address(host, server.server_port)
    log_event(_logger, "metrics_listening", address=address)
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
        worker.join()


def metrics_application(
    registry: CollectorRegistry, health: HealthProbes
) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    """The WSGI application of the endpoint."""
    metrics = make_wsgi_app(registry)
    probes = {"/live": health.live, "/ready": health.ready}

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            served: Iterable[bytes] = metrics(environ, start_response)
            return served
        probe = probes.get(path)
        if probe is None:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"not found: try /metrics, /live or /ready\n"]
        return _answer(probe(), start_response)

    return serve


def _answer(report: HealthReport, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK" if report.ok else "503 Service Unavailable", [("Content-Type", "application/json")])
    return [json.dumps(report.as_json()).encode() + b"\n"]
