"""`crossrec load` against real gRPC servers: the command with its client processes, TLS, tokens and signals."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner, Result

from crossrec.ranking.v1.ranking_pb2 import RankRequest, RankResponse
from crossrec.ranking.v1.ranking_pb2_grpc import RankingServiceServicer, add_RankingServiceServicer_to_server
from services.load.client import LoadFailed
from services.load.workload import write_requests
from services.main import app
from tests.contract.certificates import Authority
from tests.contract.rank_server import filled_store, request, running

pytestmark = pytest.mark.integration


class TokenCheck(grpc.ServerInterceptor):
    """Rejects calls without the token."""

    def __init__(self, token: str) -> None:
        self._expected = ("authorization", f"Bearer {token}")

    def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Any], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        if self._expected in {(name, value) for name, value in handler_call_details.invocation_metadata}:
            return continuation(handler_call_details)

        def refuse(_: Any, context: grpc.ServicerContext) -> None:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")

        return grpc.unary_unary_rpc_method_handler(refuse)


class Servicer(RankingServiceServicer):
    """Answers every request alike; the first `refused` ones with UNAVAILABLE."""

    def __init__(self, refused: int = 0) -> None:
        self.called, self._refused, self._lock = threading.Semaphore(0), refused, threading.Lock()

    def Rank(self, request: RankRequest, context: grpc.ServicerContext) -> RankResponse:  # noqa: ARG002, N802
        self.called.release()
        with self._lock:
            self._refused -= 1
            refuse = self._refused >= 0
        if refuse:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        return RankResponse(model_version="small/1")


@contextmanager
def serving(servicer: Servicer, credentials: grpc.ServerCredentials | None = None, token: str = "") -> Iterator[str]:
    """The address of a small server."""
    server = grpc.server(ThreadPoolExecutor(4), interceptors=[TokenCheck(token)] if token else [])
    add_RankingServiceServicer_to_server(servicer, server)
    listen = "127.0.0.1:0"
    port = server.add_secure_port(listen, credentials) if credentials else server.add_insecure_port(listen)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """An authority's certificate, and one that it signed for 127.0.0.1 and ranking.test, with its key."""
    folder, authority = tmp_path_factory.mktemp("tls"), Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    return folder / "ca.pem", *authority.sign("ranking", host="ranking.test").write(folder, "ranking")


@pytest.fixture
def requests_file(tmp_path: Path) -> Path:
    file = tmp_path / "requests.jsonl"
    write_requests(file, [request(), request("", "zoe", ["tea", "cup"])])
    return file


def load(target: str, requests_file: Path, *arguments: str) -> Result:
    options = ["load", "--target", target, "--requests", str(requests_file), "--deadline", "30", *arguments]
    return CliRunner().invoke(app, options, catch_exceptions=False, env={"COLUMNS": "200"})


def measure(target: str, requests_file: Path, *arguments: str) -> dict[str, Any]:
    file = requests_file.with_name("figures.json")
    result = load(target, requests_file, "--json", str(file), *arguments)
    assert 0 == result.exit_code, result.output
    measured: dict[str, Any] = json.loads(file.read_text())
    return measured


def test_a_ranking_server_is_measured_by_two_processes(requests_file: Path) -> None:
    """Every scheduled request is answered and counted once, by the fields of its answer; the report is written."""
    report = requests_file.with_name("report.html")
    options = ("--steps", "50,100", "--step-duration", "1", "--arrivals", "constant", "--clients", "2")
    with running(filled_store()) as server:
        measured = measure(server.built.address, requests_file, *options, "--report", str(report))
    assert [50, 100] == [step["requests"] for step in measured["steps"]]
    whole = measured["overall"]
    assert ({"OK": 150}, {"fake/1": 150}) == (whole["codes"], whole["models"])
    # Every second request is of an unknown user and for an unknown item.
    assert {"DEGRADATION_REASON_UNKNOWN_USER": 75, "DEGRADATION_REASON_UNKNOWN_ITEMS": 75} == whole["degraded"]
    assert 0 < whole["service_ms"]["p50"] <= whole["latency_ms"]["p50"] <= whole["latency_ms"]["max"]
    assert 150 == sum(second["offered"] for second in measured["seconds"])
    assert "Latency against load" in report.read_text()


def test_mutual_tls_and_a_token_are_sent(certificate: tuple[Path, Path, Path], requests_file: Path) -> None:
    """A server that requires both answers; without the token it rejects every request, and that is counted."""
    authority, made, key = certificate
    pair = [(key.read_bytes(), made.read_bytes())]
    credentials = grpc.ssl_server_credentials(pair, authority.read_bytes(), require_client_auth=True)
    token = requests_file.with_name("token")
    token.write_text("s3cret\n")
    tls = ("--tls-ca", str(authority), "--tls-cert", str(made), "--tls-key", str(key))
    steady = ("--rate", "40", "--duration", "0.5", "--arrivals", "constant")
    with serving(Servicer(), credentials, "s3cret") as target:
        with_token = measure(target, requests_file, *tls, *steady, "--token-file", str(token))
        without_token = measure(target, requests_file, *tls, *steady)
    assert ({"OK": 20}, {"UNAUTHENTICATED": 20}) == (with_token["overall"]["codes"], without_token["overall"]["codes"])
    assert with_token["target"]["tls"]
    assert "s3cret" not in json.dumps(with_token)


def test_a_certificate_may_name_another_host(certificate: tuple[Path, Path, Path], requests_file: Path) -> None:
    authority, made, key = certificate
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), made.read_bytes())])
    named = ("--tls-ca", str(authority), "--tls-server-name", "ranking.test", "--rate", "40", "--duration", "0.5")
    with serving(Servicer(), credentials) as target:
        measured = measure(target.replace("127.0.0.1", "localhost"), requests_file, *named)
    assert ["OK"] == list(measured["overall"]["codes"])


def test_an_unreachable_target_is_an_error_that_names_it(requests_file: Path) -> None:
    with serving(Servicer()) as target:
        pass
    with pytest.raises(LoadFailed, match=f"target: no connection to {target}"):
        load(target, requests_file, "--rate", "1", "--duration", "1")


def test_nothing_is_retried_without_the_option(requests_file: Path) -> None:
    """With --retry, a server that is unavailable for the first two calls causes no failure."""
    steady = ("--rate", "1", "--duration", "1", "--arrivals", "constant")
    once, again = Servicer(refused=2), Servicer(refused=2)
    with serving(once) as target:
        assert {"UNAVAILABLE": 1} == measure(target, requests_file, *steady)["overall"]["codes"]
    with serving(again) as target:
        assert {"OK": 1} == measure(target, requests_file, *steady, "--retry")["overall"]["codes"]


def test_ctrl_c_ends_the_run_early_and_still_reports(requests_file: Path) -> None:
    """Also if the terminal sends the signal to the client processes, too."""
    servicer, file, report = Servicer(), requests_file.with_name("early.json"), requests_file.with_name("early.html")
    arguments = ["--requests", str(requests_file), "--rate", "50", "--duration", "3000"]
    with serving(servicer) as target:
        command = [sys.executable, "-W", "ignore", "-c", "from services.main import main; main()", "load"]
        options = ["--target", target, *arguments, "--json", str(file), "--report", str(report)]
        process = subprocess.Popen([*command, *options], start_new_session=True)
        try:
            for _ in range(20):
                assert servicer.called.acquire(timeout=120)
            os.killpg(process.pid, signal.SIGINT)
            assert 0 == process.wait(120)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    measured = json.loads(file.read_text())
    assert measured["interrupted"]
    assert 20 <= measured["overall"]["codes"]["OK"] < 150_000
    assert measured["steps"][0]["duration_s"] < 3000
    assert "ended early" in report.read_text()


def test_requests_can_be_saved_to_a_file(tmp_path: Path, requests_file: Path) -> None:
    """Without a load profile the workload is written and nothing is sent."""
    saved = tmp_path / "saved.jsonl"
    result = load("127.0.0.1:1", requests_file, "--save-requests", str(saved), "--top-k", "2")
    assert 0 == result.exit_code
    assert [2, 2] == [json.loads(line)["topK"] for line in saved.read_text().splitlines()]
