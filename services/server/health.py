"""`crossrec health ADDRESS`: ask a server whether it serves, as a probe does.

Knows gRPC health, /ready over HTTP and exit codes; knows nothing of settings. `python -m services.server.health` does
the same in a quarter of the processor time, since it loads nothing else: for probes that run again and again.
"""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.errors import CrossRecError

if TYPE_CHECKING:
    import grpc


class NotServing(CrossRecError):
    """The server does not serve, or does not answer; the text says which and why."""


Address = Annotated[str, typer.Argument(help="host:port of a gRPC server, or http://host:port/ready.")]
Service = Annotated[str, typer.Option(help="Full name of a gRPC service; empty: the whole server.")]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for the answer.", min=0.1)]
UseTls = Annotated[bool, typer.Option("--tls", help="Encrypt; --tls-ca and --tls-cert do so by themselves.")]
Ca = Annotated[Path | None, typer.Option("--tls-ca", help="PEM file: who signed the server's certificate.")]
Certificate = Annotated[Path | None, typer.Option("--tls-cert", help="PEM file: the client's certificate.")]
Key = Annotated[Path | None, typer.Option("--tls-key", help="PEM file: the key of --tls-cert.")]
ServerName = Annotated[str, typer.Option(help="Name in the server's certificate where it is not the host.")]


def health_command(
    address: Address,
    service: Service = "",
    timeout_s: Timeout = 5.0,
    tls: UseTls = False,
    tls_ca: Ca = None,
    tls_cert: Certificate = None,
    tls_key: Key = None,
    tls_server_name: ServerName = "",
) -> None:
    """Ask a server whether it serves; exits with 1 and the reason if it does not."""
    try:
        if address.startswith("http://"):
            ask_http(address, timeout_s)
        else:
            credentials = _credentials(tls_ca, tls_cert, tls_key) if tls or tls_ca or tls_cert else None
            ask_grpc(address, service, timeout_s, credentials, tls_server_name)
    except NotServing as error:
        typer.echo(f"{address}: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{address}: serving")


def ask_grpc(
    address: str,
    service: str,
    timeout_s: float,
    credentials: "grpc.ChannelCredentials | None" = None,
    server_name: str = "",
) -> None:
    """Return if grpc.health.v1 says SERVING, else raise NotServing.

    Args:
        address: host:port.
        service: full name; "" for the whole server.
        timeout_s: seconds until no answer counts as one.
        credentials: how to encrypt; None: not at all.
        server_name: the name in the certificate; "": that of the address.
    """
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    options = [("grpc.ssl_target_name_override", server_name)] if server_name else []
    secure = grpc.secure_channel(address, credentials, options) if credentials else grpc.insecure_channel(address)
    with secure as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout_s)  # type: ignore[attr-defined]
        except grpc.RpcError as error:
            raise NotServing(f"no answer: {error.code().name}: {error.details()}") from error
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise NotServing(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def ask_http(url: str, timeout_s: float) -> None:
    """Return if /ready or /live says 200, else raise NotServing with the reasons that it gives."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s):  # noqa: S310 - http alone, whoever runs this says where
            return
    except urllib.error.HTTPError as error:
        with error:
            raise NotServing(f"{error.code}: {_reasons(error.read())}") from error
    except OSError as error:
        raise NotServing(f"no answer: {error}") from error


def _reasons(body: bytes) -> str:
    try:
        return "; ".join(json.loads(body)["reasons"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip()


def _credentials(ca: Path | None, certificate: Path | None, key: Path | None) -> "grpc.ChannelCredentials":
    import grpc

    if (certificate is None) != (key is None):
        raise typer.BadParameter("--tls-cert and --tls-key go together")
    try:
        parts = [path.read_bytes() if path else None for path in (ca, key, certificate)]
    except OSError as error:
        raise typer.BadParameter(f"cannot read {error.filename}: {error.strerror}") from error
    return grpc.ssl_channel_credentials(*parts)


if __name__ == "__main__":
    typer.run(health_command)
