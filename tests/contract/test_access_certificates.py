"""Identity and scopes by client certificate, over mutual TLS."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from crossrec.events.v1.events_pb2 import PublishRequest
from crossrec.events.v1.events_pb2_grpc import EventServiceStub
from services.errors import ConfigurationError
from services.gateway.pressure import RateLimits
from services.kafka.publisher import MemoryPublisher
from services.server.security.caller import Scope
from services.server.security.protection import open_protection
from services.settings.security import SecuritySettings
from tests.contract import event_gateway, secured
from tests.contract.event_stream import TokenStream, scenario
from tests.contract.secured import AUTHORITY, MUTUAL, bearer

ONE = PublishRequest(entries=[scenario(1)])
NAMES = ("shop", "app", "nobody")


@contextmanager
def gateway(
    folder: Path, rates: RateLimits | None = None, **changes: object
) -> Iterator[tuple[event_gateway.Gateway, dict[str, grpc.Channel]]]:
    """A gateway, and a channel per client, each with a certificate of its own."""
    (folder / "tokens").touch()
    security = secured.settings(folder, MUTUAL, **changes)
    bounds = None if rates is None else event_gateway.Bounds(rates=rates)
    protection = open_protection(security, check_interval_s=0.0)
    with event_gateway.running(MemoryPublisher(), bounds=bounds, protection=protection) as running:
        channels = {}
        for name in NAMES:
            pair = AUTHORITY.sign(name)
            own = grpc.ssl_channel_credentials(AUTHORITY.pem, pair.key, pair.certificate)
            options = [("grpc.use_local_subchannel_pool", 1)]
            channels[name] = grpc.secure_channel(running.built.address, own, options)
        yield running, channels
        for each in channels.values():
            each.close()


NO_TOKENS = {"tokens_file": None, "jwks_file": None, "jwt_issuer": "", "jwt_audience": ""}


def publish(channel: grpc.Channel, *metadata: tuple[str, str]) -> str:
    """The code of the answer, and its field at fault if the entry is rejected."""
    try:
        answer = EventServiceStub(channel).Publish(ONE, timeout=30, metadata=metadata)
    except grpc.RpcError as error:
        return str(error.code().name)
    return str(answer.results[0].WhichOneof("result"))


def write(path: Path, **scopes: list[str]) -> Path:
    lines = [json.dumps({"name": name, "scopes": of}) for name, of in scopes.items()]
    path.write_text("# who may do what\n" + "".join(f"{line}\n" for line in lines))
    return path


def test_a_client_is_the_name_in_its_certificate(tmp_path: Path) -> None:
    """Not one that it gives itself: it neither empties another's rate, nor escapes its own."""
    with gateway(tmp_path, RateLimits(0.001, 1), **NO_TOKENS) as (_, channels):
        assert "accepted" == publish(channels["shop"], ("crossrec-client", "app"))
        assert "RESOURCE_EXHAUSTED" == publish(channels["shop"], ("crossrec-client", "new"))
        assert "accepted" == publish(channels["app"])


def test_names_in_certificates_have_the_scopes_of_their_file(tmp_path: Path) -> None:
    """A scenario needs `catalogue`; a name that is not listed may do nothing. Changes count at once."""
    file = write(tmp_path / "names", shop=["catalogue"], app=["publish"])
    with gateway(tmp_path, certificate_scopes_file=file, **NO_TOKENS) as (running, channels):
        assert ["accepted", "rejected", "PERMISSION_DENIED"] == [publish(channels[name]) for name in NAMES]
        stream = TokenStream(channels["shop"], None)
        stream.send(1, scenario(1))
        assert "accepted" == stream.answer().results[0].WhichOneof("result")
        write(file, nobody=["catalogue"])
        assert ["PERMISSION_DENIED"] * 2 + ["accepted"] == [publish(channels[name]) for name in NAMES]
        stream.send(2, scenario(2))
        assert grpc.StatusCode.PERMISSION_DENIED == stream.error().code()
        assert 3 == len(running.publisher.stored)


def test_a_token_comes_before_the_certificate(tmp_path: Path) -> None:
    """One that is not valid is not replaced by it."""
    tokens = secured.listed(tmp_path / "tokens", boss=frozenset(Scope))
    file = write(tmp_path / "names", shop=["catalogue"])
    with gateway(tmp_path, certificate_scopes_file=file) as (_, channels):
        assert "accepted" == publish(channels["nobody"], *bearer(tokens["boss"]))
        assert "UNAUTHENTICATED" == publish(channels["shop"], *bearer("wrong"))
        assert "accepted" == publish(channels["shop"])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"name": "a", "scopes": ["rank"], "sha256": ""}', "line 1: has fields other than expires, name, scopes"),
        ('{"name": "a", "scopes": ["read"]}', "line 1: scopes must be a list of"),
        ('{"name": "a", "scopes": ["rank"]}\n' * 2, "line 2: name repeats that of an earlier line"),
        ("shop rank", "line 1: is not a JSON object"),
    ],
)
def test_a_broken_line_prevents_the_start(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "tokens").touch()
    (tmp_path / "names").write_text(line)
    with pytest.raises(ConfigurationError, match=f"security.certificate_scopes_file: {reason}"):
        open_protection(secured.settings(tmp_path, MUTUAL, certificate_scopes_file=tmp_path / "names"))


def test_scopes_of_certificates_need_mutual_tls(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="certificate_scopes_file needs require_client_certificate"):
        SecuritySettings(certificate_scopes_file=tmp_path / "names")
