"""Metrics and health over HTTP: /metrics for Prometheus, /live and /ready for whoever restarts processes."""

import json
import logging
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

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """An answer to a probe.

    Args:
        ok: whether all is well.
        reasons: why not, for people.
        details: what else there is to know.
    """

    ok: bool
    reasons: Sequence[str]
    details: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """What the probe reads."""
        return {"ok": self.ok, "reasons": list(self.reasons), **self.details}


class Health(Protocol):
    """What is asked behind /live and /ready, from another thread."""

    def live(self) -> Report:
        """Whether the process is worth keeping."""
        ...

    def ready(self) -> Report:
        """Whether it does what it is there for."""
        ...


class _Handler(WSGIRequestHandler):
    """Answers without a line per request."""

    timeout = 10
    """Seconds for a request to arrive."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Say nothing."""


@contextmanager
def listening(setting: str, listen: str, registry: CollectorRegistry, health: Health) -> Iterator[str]:
    """Serve metrics and health at `listen` (host:port; port 0: any free one) meanwhile; yields the address.

    Raises ConfigurationError, naming `setting`, if the address is none, or the port is taken.
    """
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigurationError(f"{setting}: {listen!r} is not host:port")
    try:
        server = make_server(host, int(port), application(registry, health), ThreadingWSGIServer, _Handler)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(f"{setting}: cannot listen on {listen}: {error}") from error
    worker = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    worker.start()
    address = f"{host}:{server.server_port}"
    log_event(_logger, "metrics_listening", address=address)
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
        worker.join()


def application(
    registry: CollectorRegistry, health: Health
) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    """The WSGI application behind the listener."""
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
            return [b"there are /metrics, /live and /ready\n"]
        return _answer(probe(), start_response)

    return serve


def _answer(report: Report, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK" if report.ok else "503 Service Unavailable", [("Content-Type", "application/json")])
    return [json.dumps(report.as_json()).encode() + b"\n"]
