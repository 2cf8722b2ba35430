"""`crossrec health ADDRESS`: asks a server whether it serves, as a probe does.

Knows gRPC health, /ready over HTTP and exit codes; knows nothing of settings. `python -m services.server.health` is the
same command and starts faster, since it loads nothing else: for probes that run again and again.
"""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.errors import CrossRecError

if TYPE_CHECKING:
    from services.client.channel import Tls


class NotServing(CrossRecError):
    """The server does not serve, or does not answer; the text holds the status or the reason."""


Address = Annotated[str, typer.Argument(help="host:port of a gRPC server, or http://host:port/ready.")]
Service = Annotated[str, typer.Option(help="Full name of a gRPC service; empty: the whole server.")]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for the answer.", min=0.1)]
UseTls = Annotated[bool, typer.Option("--tls", help="Use TLS; implied by --tls-ca and --tls-cert.")]
Ca = Annotated[Path | None, typer.Option("--tls-ca", help="PEM file: certificate authorities of the server.")]
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
    """Check whether a server serves; exits with 1 and the reason if it does not."""
    try:
        if address.startswith("http://"):
            check_http(address, timeout_s)
        else:
            plain = not (tls or tls_ca or tls_cert)
            credentials = None if plain else _read_tls(tls_ca, tls_cert, tls_key, tls_server_name)
            check_grpc(address, service, timeout_s, credentials)
    except NotServing as error:
        typer.echo(f"error: {address}: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{address}: serving")


def check_grpc(address: str, service: str, timeout_s: float, tls: "Tls | None" = None) -> None:
    """Return if grpc.health.v1 reports SERVING, else raise NotServing.

    Args:
        address: host:port.
        service: full name; "" for the whole server.
        timeout_s: time-out of the call, seconds.
        tls: TLS; None: plaintext.
    """
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from services.client.channel import open_channel

    try:
        opened = open_channel(address, tls)
    except ValueError as error:
        raise NotServing(str(error)) from None
    with opened as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout_s)  # type: ignore[attr-defined]
        except grpc.RpcError as error:
            raise NotServing(f"no answer: {error.code().name}: {error.details()}") from error
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise NotServing(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def check_http(url: str, timeout_s: float) -> None:
    """Return if /ready or /live answers 200, else raise NotServing with the reasons in the answer."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s):  # noqa: S310 - http only; the caller chooses the address
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


def _read_tls(ca: Path | None, certificate: Path | None, key: Path | None, server_name: str) -> "Tls":
    from services.client.channel import Tls

    try:
        return Tls.from_files(ca, certificate, key, server_name)
    except ValueError:
        raise typer.BadParameter("--tls-cert and --tls-key go together") from None
    except OSError as error:
        raise typer.BadParameter(f"cannot read {error.filename}: {error.strerror}") from error


if __name__ == "__main__":
    typer.run(health_command)
