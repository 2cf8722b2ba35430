"""Protected servers at run time: changing files, streams whose tokens expire, limits per client, no leaked secrets."""

import contextlib
import hashlib
import socket
import ssl
import threading
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from crossrec.events.v1.events_pb2 import PublishRequest
from crossrec.events.v1.events_pb2_grpc import EventServiceStub
from crossrec.ranking.v1.ranking_pb2 import RankResponse
from services.errors import ConfigurationError
from services.gateway.pressure import RateLimits
from services.gateway.stream import EntryStream
from services.kafka.publisher import MemoryPublisher
from services.load.client import connect, open_loop
from services.load.target import Target, read_metadata, read_tls
from services.server.security.caller import Scope
from services.server.security.protection import open_protection
from services.settings.security import SecuritySettings
from tests.contract import event_gateway, secured
from tests.contract.certificates import Authority
from tests.contract.event_stream import TokenStream, scenario
from tests.contract.private import logs
from tests.contract.rank_server import request
from tests.contract.secured import AUTHORITY, MUTUAL, TLS, bearer
from tests.unit.server.security.signing import claims, sign_token, write_keys

PUBLISH = frozenset({Scope.PUBLISH, Scope.CATALOGUE})
ONE = PublishRequest(entries=[scenario(1)])


def publish(channel: grpc.Channel, token: str | None, *more: tuple[str, str]) -> None:
    EventServiceStub(channel).Publish(ONE, timeout=300, metadata=(*bearer(token), *more))


def refused(channel: grpc.Channel, token: str | None, *more: tuple[str, str]) -> tuple[str, str]:
    """Code and reason of the error that answers."""
    with pytest.raises(grpc.RpcError) as caught:
        publish(channel, token, *more)
    return reason(caught.value)


def reason(error: grpc.RpcError) -> tuple[str, str]:
    status, info = rpc_status.from_call(error), ErrorInfo()
    status.details[-1].Unpack(info)
    return error.code().name, info.reason


def served_certificate(address: str) -> bytes:
    """Fingerprint of what the server shows to a new connection."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
    context.set_alpn_protocols(["h2"])
    with socket.create_connection((host, int(port)), 10) as raw, context.wrap_socket(raw, server_hostname=host) as tls:
        return hashlib.sha256(tls.getpeercert(binary_form=True) or b"").digest()


def fingerprint(certificate: bytes) -> bytes:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.decode())).digest()


def test_a_new_certificate_serves_new_connections_at_once(tmp_path: Path) -> None:
    """Open connections stay; if a file is broken, the server keeps the earlier certificate and logs that."""
    secured.listed(tmp_path / "tokens")
    security = secured.settings(tmp_path, TLS)
    before = fingerprint((tmp_path / "server.pem").read_bytes())
    with logs() as lines, secured.running(security, TLS) as servers:
        address = servers.gateway.built.address
        assert before == served_certificate(address)
        assert ("UNAUTHENTICATED", "UNAUTHENTICATED") == refused(servers.to_gateway, None)
        new = AUTHORITY.sign("server")
        new.write(tmp_path, "server")
        assert fingerprint(new.certificate) == served_certificate(address)
        # The connection from before the change.
        assert ("UNAUTHENTICATED", "UNAUTHENTICATED") == refused(servers.to_gateway, None)
        (tmp_path / "server.key").write_bytes(AUTHORITY.sign("other").key)
        assert [fingerprint(new.certificate)] * 2 == [served_certificate(address) for _ in range(2)]
        assert 1 == lines.getvalue().count('"event": "certificate_not_reloaded"')
        assert "is not the key of security.certificate_file" in lines.getvalue()
        assert "PRIVATE KEY" not in lines.getvalue()


def test_clients_of_another_authority_are_accepted_once_it_is_added(tmp_path: Path) -> None:
    """They are rejected before."""
    token = secured.listed(tmp_path / "tokens", shop=PUBLISH)["shop"]
    other = Authority("another")
    stranger = other.sign("stranger")
    credentials = grpc.ssl_channel_credentials(AUTHORITY.pem, stranger.key, stranger.certificate)
    with secured.running(secured.settings(tmp_path, MUTUAL), MUTUAL) as servers:
        address, options = servers.gateway.built.address, [("grpc.use_local_subchannel_pool", 1)]
        with grpc.secure_channel(address, credentials, options) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                publish(channel, token)
            assert grpc.StatusCode.UNAVAILABLE == caught.value.code()
        (tmp_path / "client-ca.pem").write_bytes(AUTHORITY.pem + other.pem)
        with grpc.secure_channel(address, credentials, options) as channel:
            publish(channel, token)
        assert 1 == servers.stored


def test_tokens_and_keys_are_added_and_removed_without_a_restart(tmp_path: Path) -> None:
    old = secured.listed(tmp_path / "tokens", shop=PUBLISH)["shop"]
    with logs() as lines, secured.running(secured.settings(tmp_path)) as servers:
        jwt = sign_token(claims("publish catalogue"))
        publish(servers.to_gateway, old)
        publish(servers.to_gateway, jwt)
        new = secured.listed(tmp_path / "tokens", shop=PUBLISH)["shop"]
        write_keys(tmp_path / "jwks.json", "RS256")
        publish(servers.to_gateway, new)
        publish(servers.to_gateway, sign_token(claims("publish catalogue"), "RS256"))
        for withdrawn in (old, jwt):
            assert ("UNAUTHENTICATED", "UNAUTHENTICATED") == refused(servers.to_gateway, withdrawn)
        (tmp_path / "tokens").write_text(f"{new}\n")
        publish(servers.to_gateway, new)
        for event in ("tokens_reloaded", "jwks_reloaded", "tokens_not_reloaded", "access_refused"):
            assert f'"event": "{event}"' in lines.getvalue()
        assert not [token for token in (old, new, jwt) if token in lines.getvalue()]


def test_a_stream_ends_with_its_token(tmp_path: Path) -> None:
    """What was read before is answered; on a stream where nothing happens, too."""
    secured.listed(tmp_path / "tokens")
    with secured.running(secured.settings(tmp_path)) as servers:
        stream = TokenStream(servers.to_gateway, sign_token(claims("publish catalogue", expires_in_s=2)))
        stream.send(1, scenario(1))
        assert 1 == stream.answer().sequence
        assert ("UNAUTHENTICATED", "TOKEN_EXPIRED") == reason(stream.error())
        assert 1 == servers.stored


def test_a_stream_whose_token_was_revoked_publishes_nothing(tmp_path: Path) -> None:
    token = secured.listed(tmp_path / "tokens", shop=PUBLISH)["shop"]
    with secured.running(secured.settings(tmp_path)) as servers:
        stream = TokenStream(servers.to_gateway, token)
        stream.send(1, scenario(1))
        assert 1 == stream.answer().sequence
        secured.listed(tmp_path / "tokens")
        stream.send(2, scenario(2))
        assert ("UNAUTHENTICATED", "UNAUTHENTICATED") == reason(stream.error())
        assert 1 == servers.stored


def test_without_tokens_servers_are_open_and_log_that() -> None:
    with logs() as lines, secured.running(SecuritySettings()) as servers:
        publish(servers.to_gateway, None)
        assert 2 == lines.getvalue().count('"tls": "none", "access": "open"')


def test_reflection_can_be_disabled(tmp_path: Path) -> None:
    tokens = secured.listed(tmp_path / "tokens", boss=frozenset(Scope))
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    with secured.running(secured.settings(tmp_path, reflection=False)) as servers:
        stub = reflection_pb2_grpc.ServerReflectionStub(servers.to_gateway)
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.ServerReflectionInfo(asked, timeout=300, metadata=bearer(tokens["boss"])))
        assert grpc.StatusCode.UNIMPLEMENTED == caught.value.code()


def test_methods_that_are_not_listed_need_admin(tmp_path: Path) -> None:
    """A service that is added without a scope is closed to other tokens."""
    tokens = secured.listed(tmp_path / "tokens", boss=frozenset(Scope), shop=PUBLISH)
    found = []
    with secured.running(secured.settings(tmp_path)) as servers:
        for token in tokens.values():
            with pytest.raises(grpc.RpcError) as caught:
                servers.to_gateway.unary_unary("/some.Service/Method")(b"", timeout=300, metadata=bearer(token))
            found.append(caught.value.code().name)
    assert ["UNIMPLEMENTED", "PERMISSION_DENIED"] == found


def test_requests_are_not_read_before_the_token(tmp_path: Path) -> None:
    """A caller without a token does not learn which requests are valid."""
    secured.listed(tmp_path / "tokens")
    with secured.running(secured.settings(tmp_path)) as servers:
        for kind in ("unary_unary", "stream_stream"):
            method = getattr(servers.to_gateway, kind)("/crossrec.events.v1.EventService/Publish")
            with pytest.raises(grpc.RpcError) as caught:
                answers = method(b"\xff" if kind == "unary_unary" else iter([b"\xff"]), timeout=300)
                list(answers)
            assert ("UNAUTHENTICATED", "UNAUTHENTICATED") == reason(caught.value)


def test_the_rate_limit_of_a_client_follows_its_token(tmp_path: Path) -> None:
    """Whatever client name and address it calls with; tokens of one name share a rate."""
    tokens = secured.listed(tmp_path / "tokens", shop=PUBLISH, app=PUBLISH)
    bounds = event_gateway.Bounds(rates=RateLimits(0.001, 1))
    protection = open_protection(secured.settings(tmp_path))
    with event_gateway.running(MemoryPublisher(), bounds=bounds, protection=protection) as gateway:
        publish(gateway.channel, tokens["shop"])
        publish(gateway.channel, tokens["app"])
        assert "RESOURCE_EXHAUSTED" == refused(gateway.channel, tokens["shop"], ("crossrec-client", "new"))[0]
        publish(gateway.channel, sign_token(claims("publish catalogue", sub="third")))
        assert "RESOURCE_EXHAUSTED" == refused(gateway.channel, sign_token(claims("publish catalogue", sub="shop")))[0]


def test_concurrent_calls_of_a_client_are_bounded(tmp_path: Path) -> None:
    """Other clients are not affected; a finished call frees its slot."""
    tokens = secured.listed(tmp_path / "tokens", shop=PUBLISH, app=PUBLISH)
    protection = open_protection(secured.settings(tmp_path, max_in_flight_per_client=1))
    publisher = MemoryPublisher(holding=True)
    with event_gateway.running(publisher, protection=protection) as gateway:
        first = threading.Thread(target=publish, args=(gateway.channel, tokens["shop"]))
        first.start()
        assert 1 == publisher.wait_for_held(1)
        assert ("RESOURCE_EXHAUSTED", "OVERLOADED") == refused(gateway.channel, tokens["shop"])
        publisher.holding = False
        publish(gateway.channel, tokens["app"])
        first.join()
        publish(gateway.channel, tokens["shop"])
        assert 3 == len(publisher.stored)


def test_no_token_is_logged_or_shown_on_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a rejected nor an accepted token, and not when the server fails during the call."""
    token = secured.listed(tmp_path / "tokens", shop=PUBLISH)["shop"]
    jwt, garbage = sign_token(claims("publish catalogue")), "garbage-7f3e91"

    def fail(*_: object) -> None:
        raise RuntimeError(f"{token} {jwt}")

    with logs() as lines, secured.running(secured.settings(tmp_path)) as servers:
        answers = [str(refused_error(servers.to_gateway, each)) for each in (garbage, jwt[:-4], token[:-4])]
        monkeypatch.setattr(EntryStream, "answers", fail)
        stream = TokenStream(servers.to_gateway, token)
        answers.append(str(stream.error()))
        for secret in (token, jwt, garbage, token[9:-4]):
            assert secret not in lines.getvalue()
            assert not [answer for answer in answers if secret in answer]
        assert '"event": "request_failed"' in lines.getvalue()


def refused_error(channel: grpc.Channel, token: str) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        publish(channel, token)
    return caught.value


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tokens_file": "absent"}, "security.tokens_file: cannot read"),
        ({"jwks_file": "tokens"}, "security.jwks_file: is not a JSON Web Key Set"),
        (
            {"certificate_file": "tokens", "key_file": "server.key"},
            "security.certificate_file: holds no readable PEM certificate",
        ),
        (
            {"certificate_file": "server.pem", "key_file": "server.pem"},
            "security.key_file: holds no readable PEM private key",
        ),
        ({"certificate_file": "server.pem", "key_file": "other.key"}, "security.key_file: is not the key of"),
    ],
)
def test_invalid_files_prevent_the_start_of_a_server(tmp_path: Path, changes: dict[str, str], reason: str) -> None:
    """The error names the setting, and quotes nothing of the file."""
    secured.listed(tmp_path / "tokens", shop=PUBLISH)
    for name in ("server", "other"):
        AUTHORITY.sign(name).write(tmp_path, name)
    paths = {name: tmp_path / file for name, file in changes.items()}
    with pytest.raises(ConfigurationError, match=reason):
        open_protection(secured.settings(tmp_path, **paths))


def test_unknown_names_in_health_watches_are_not_stored(tmp_path: Path) -> None:
    """Health needs no token, so any client could fill the memory with them."""
    secured.listed(tmp_path / "tokens")
    with secured.running(secured.settings(tmp_path)) as servers:
        stub = health_pb2_grpc.HealthStub(servers.to_gateway)
        for name in ("no.such.Service", "", "crossrec.events.v1.EventService"):
            watch = stub.Watch(health_pb2.HealthCheckRequest(service=name), timeout=300)
            expected = health_pb2.HealthCheckResponse
            assert (expected.SERVICE_UNKNOWN if name.startswith("no") else expected.SERVING) == next(watch).status
            if name.startswith("no"):
                assert {None} == {known.service for known in servers.gateway.built.health._watches}
            watch.cancel()


def test_the_load_client_authenticates_with_its_options(tmp_path: Path) -> None:
    """Certificates and a token from files."""
    token = secured.listed(tmp_path / "tokens", load=frozenset({Scope.RANK}))["load"]
    certificate, key = secured.CLIENT.write(tmp_path, "client")
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.pem)
    (tmp_path / "token").write_text(f"{token}\n")

    async def ask(target: Target) -> RankResponse:
        channels, calls = await connect(target)
        try:
            return RankResponse.FromString(await calls[0](request().SerializeToString()))
        finally:
            for channel in channels:
                await channel.close()

    with secured.running(secured.settings(tmp_path, MUTUAL), MUTUAL) as servers:
        tls = read_tls(False, tmp_path / "ca.pem", certificate, key, "")
        metadata = read_metadata(tmp_path / "token", ())
        with contextlib.closing(open_loop()) as loop:
            answer = loop.run_until_complete(ask(Target(servers.ranking.built.address, 1, 30.0, tls, metadata)))
    assert 3 == len(answer.items)
