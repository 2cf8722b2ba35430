"""Connection settings, as far as they need no server."""

from pathlib import Path

import grpc
import pytest

from services.client import RankingClient, tls
from services.client.channel import ConnectionSettings, check_ports, is_loopback

TLS = grpc.ssl_channel_credentials()


@pytest.mark.parametrize(
    "target",
    ["127.0.0.1:5", "127.8.9.1:5", "localhost:5", "[::1]:5", "dns:///localhost:5", "ipv4:127.0.0.1:5,127.0.0.2:5"],
)
def test_loopback_addresses_are_recognised(target: str) -> None:
    assert is_loopback(target)


def test_a_unix_socket_is_loopback() -> None:
    assert is_loopback("unix:/run/crossrec.sock")
    assert is_loopback("unix:///run/crossrec.sock")


@pytest.mark.parametrize(
    "target",
    ["10.0.0.1:5", "ranking:5", "localhost.example:5", "dns://127.0.0.1/ranking:5", "ipv4:127.0.0.1:5,10.0.0.1:5", "5"],
)
def test_other_addresses_are_not_loopback(target: str) -> None:
    assert not is_loopback(target)


def test_a_token_is_not_sent_unencrypted_to_another_machine() -> None:
    """The error does not show the token."""
    with pytest.raises(ValueError, match="token: would be sent unencrypted to ranking:5, give credentials") as caught:
        RankingClient("ranking:5", token="secret-token")  # noqa: S106 - not a secret
    assert "secret-token" not in str(caught.value)


def test_a_token_may_be_sent_anywhere_over_tls() -> None:
    """The channel's credentials carry it, not the calls' metadata."""
    assert () == ConnectionSettings("ranking:5", TLS, "secret-token").call_metadata()


def test_the_token_function_is_called_before_every_call() -> None:
    tokens = iter(["first", "second"])
    access = ConnectionSettings("127.0.0.1:5", token=lambda: next(tokens), metadata=[("x-crossrec-priority", "batch")])
    assert (("x-crossrec-priority", "batch"), ("authorization", "Bearer first")) == access.call_metadata()
    assert ("authorization", "Bearer second") == access.call_metadata()[-1]


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="certificate and key go together"):
        tls(certificate=tmp_path / "client.pem")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"missing\.pem"):
        tls(ca=tmp_path / "missing.pem")


@pytest.mark.parametrize("target", ["127.0.0.1:99999", "dns:///ranking:65536", "a:1,b:123456", "[::1]:" + "9" * 50])
def test_a_port_beyond_65535_is_refused(target: str) -> None:
    """A resolver takes it modulo 65536, and call another server."""
    with pytest.raises(ValueError, match="is not between 0 and 65535"):
        check_ports(target)
    with pytest.raises(ValueError, match="is not between 0 and 65535"):
        RankingClient(target)


@pytest.mark.parametrize("target", ["127.0.0.1:65535", "unix:/run/99999", "[::1]", "dns:///ranking:50051", "localhost"])
def test_other_targets_are_left_to_grpc(target: str) -> None:
    check_ports(target)
