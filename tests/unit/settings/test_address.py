"""Addresses: host:port."""

import pytest
from pydantic import ValidationError

from services.settings.address import join_address, split_address
from services.settings.infrastructure import KafkaSettings
from services.settings.processes import ConsumerSettings, GatewaySettings, RankingSettings
from services.settings.security import TelemetrySettings


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:50051", "127.0.0.1", 50051),
        ("localhost:1", "localhost", 1),
        ("kafka-0.kafka.svc.cluster.local:9092", "kafka-0.kafka.svc.cluster.local", 9092),
        ("my_store:6379", "my_store", 6379),
        (" [::1]:65535 ", "::1", 65535),
        ("[2001:db8::1]:80", "2001:db8::1", 80),
    ],
)
def test_an_address_has_a_host_and_a_port(text: str, host: str, port: int) -> None:
    assert (host, port) == split_address(text)
    assert text.strip() == join_address(host, port)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("127.0.0.1:99999", "port 99999 is not between 1 and 65535"),
        ("127.0.0.1:65536", "port 65536 is not"),
        ("127.0.0.1:" + "9" * 5000, "port 99999999999999999999 is not"),
        ("127.0.0.1:0", "port 0 is not"),
        ("127.0.0.1:-1", "no number for a port"),
        ("127.0.0.1:٣", "no number for a port"),
        ("127.0.0.1:", "no number for a port"),
        ("localhost", "is not host:port"),
        (":50051", "is not host:port"),
        ("", "is not host:port"),
        ("::1:50051", "IPv6 address in brackets"),
        ("[::g]:50051", "no IPv6 address in its brackets"),
        ("[::1:50051", "IPv6 address in brackets"),
        ("256.0.0.1:80", "no IPv4 address"),
        ("user@host:80", "no name or address"),
        ("http://host:80", "IPv6 address in brackets"),
        ("a b:80", "no name or address"),
        ("a\x00:80", "no name or address"),
    ],
)
def test_what_is_no_address_is_refused_with_the_expected_form(text: str, reason: str) -> None:
    """A port beyond 65535 used to listen on another one: sockets take it modulo 65536."""
    with pytest.raises(ValueError, match=reason):
        split_address(text)


@pytest.mark.parametrize("section", [GatewaySettings, RankingSettings])
def test_servers_listen_on_a_free_port_or_a_given_one(section: type[GatewaySettings | RankingSettings]) -> None:
    assert "[::]:0" == section(listen="[::]:0", metrics_listen="").listen
    for wrong in ({"listen": "127.0.0.1:99999"}, {"metrics_listen": "127.0.0.1:99999"}, {"listen": ""}):
        with pytest.raises(ValidationError, match="listen"):
            section(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("servers", ["a:9092,b:99999", "a:9092,", "a", "PLAINTEXT://a:9092"])
def test_every_broker_has_an_address(servers: str) -> None:
    assert "a:9092,[::1]:9093" == KafkaSettings(bootstrap_servers="a:9092, [::1]:9093").bootstrap_servers
    with pytest.raises(ValidationError):
        KafkaSettings(bootstrap_servers=servers)


@pytest.mark.parametrize("url", ["http://a:99999", "ftp://a", "http://me:x@a", "http://a/path", "a:4317", "http://"])
def test_a_collector_has_an_address(url: str) -> None:
    for right in ("", "http://collector", "https://[::1]:4317"):
        assert right == TelemetrySettings(endpoint=right).endpoint
    with pytest.raises(ValidationError):
        TelemetrySettings(endpoint=url)


def test_consumers_may_have_no_metrics_endpoint() -> None:
    assert "" == ConsumerSettings(metrics_listen=" ").metrics_listen
