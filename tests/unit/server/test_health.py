"""`crossrec health`, against real servers on loopback."""

import datetime
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path

import grpc
import pytest
import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2
from typer.testing import CliRunner

from services.consumers.observer import ConsumerObserver
from services.server.health import health_command
from services.server.health_service import HealthService
from services.server.metrics_endpoint import serve_metrics
from tests.unit.server.health_services import new_health_service

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING

app = typer.Typer()
app.command()(health_command)


def run_health(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


def start_server(servicer: HealthService, credentials: grpc.ServerCredentials | None = None) -> tuple[grpc.Server, str]:
    server = grpc.server(ThreadPoolExecutor(1))
    servicer.add_to(server)
    listen = "127.0.0.1:0"
    port = server.add_secure_port(listen, credentials) if credentials else server.add_insecure_port(listen)
    server.start()
    return server, f"127.0.0.1:{port}"


@pytest.fixture
def servicer() -> HealthService:
    return new_health_service(away=NOT_SERVING)


@pytest.fixture
def address(servicer: HealthService) -> Iterator[str]:
    server, address = start_server(servicer)
    yield address
    server.stop(None).wait()


def test_a_serving_server_exits_with_0(address: str) -> None:
    """The command prints that the server is serving."""
    assert (0, f"{address}: serving\n") == run_health(address)


@pytest.mark.parametrize(("service", "reason"), [("away", "NOT_SERVING"), ("unheard", "no answer: NOT_FOUND")])
def test_a_service_that_is_not_serving_exits_with_1(address: str, service: str, reason: str) -> None:
    """So does a service that the server does not know."""
    code, output = run_health(address, "--service", service)
    assert 1 == code
    assert f"{address}: {reason}" in output


def test_a_stopped_server_exits_with_1(servicer: HealthService) -> None:
    """The error has the status UNAVAILABLE."""
    server, address = start_server(servicer)
    server.stop(None).wait()
    code, output = run_health(address, "--timeout-s", "2")
    assert 1 == code
    assert "no answer: UNAVAILABLE" in output


def test_readiness_over_http_prints_the_reasons() -> None:
    """Consumers and the supervisor of ranking workers serve it."""
    observer = ConsumerObserver("item")
    with serve_metrics("consumers.metrics_listen", "127.0.0.1:0", observer.registry, observer.health) as listen:
        url = f"http://{listen}/ready"
        assert (1, f"error: {url}: 503: no partitions assigned yet\n") == run_health(url)
        observer.on_assigned([0])
        assert (0, f"{url}: serving\n") == run_health(url)
    assert 1 == run_health(url)[0]


def certificate(directory: Path) -> tuple[Path, Path]:
    """A key and a certificate that signs itself, for crossrec.test."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "crossrec.test")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("crossrec.test"), x509.IPAddress(ip_address("127.0.0.9"))])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key_file, certificate_file = directory / "tls.key", directory / "tls.crt"
    form = serialization.PrivateFormat.PKCS8
    key_file.write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    certificate_file.write_bytes(built.public_bytes(pem))
    return key_file, certificate_file


def test_mutual_tls(servicer: HealthService, tmp_path: Path) -> None:
    """The check passes with the name in the certificate; without it, or in plain text, it fails."""
    key, crt = certificate(tmp_path)
    pair = [(key.read_bytes(), crt.read_bytes())]
    server, address = start_server(
        servicer, grpc.ssl_server_credentials(pair, crt.read_bytes(), require_client_auth=True)
    )
    own = ("--tls-ca", str(crt), "--tls-cert", str(crt), "--tls-key", str(key))
    try:
        assert 0 == run_health(address, *own, "--tls-server-name", "crossrec.test")[0]
        assert 1 == run_health(address, *own, "--timeout-s", "2")[0]
        assert 1 == run_health(address, "--timeout-s", "2")[0]
        assert 2 == run_health(address, *own[:4])[0]
    finally:
        server.stop(None).wait()


def test_the_module_does_the_same_as_the_command(address: str) -> None:
    """`python -m services.server.health`, for probes."""
    command = [sys.executable, "-W", "error", "-m", "services.server.health", address]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, f"{address}: serving\n") == (run.returncode, run.stdout)


def test_an_impossible_port_is_refused() -> None:
    assert (1, "error: 127.0.0.1:99999: port 99999 is not between 0 and 65535\n") == run_health("127.0.0.1:99999")
