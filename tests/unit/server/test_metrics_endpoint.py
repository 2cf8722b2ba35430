"""Metrics and health over HTTP."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from services.consumers.observer import ConsumerObserver
from services.errors import ConfigurationError
from services.server.metrics_endpoint import serve_metrics

SETTING = "consumers.metrics_listen"


@pytest.fixture
def observer() -> ConsumerObserver:
    return ConsumerObserver("item")


@pytest.fixture
def address(observer: ConsumerObserver) -> Iterator[str]:
    with serve_metrics(SETTING, "127.0.0.1:0", observer.registry, observer.health) as address:
        yield address


def get(address: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=300) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_probes_answer_with_the_reasons(address: str, observer: ConsumerObserver) -> None:
    """503 while there are reasons."""
    code, body = get(address, "/ready")
    assert (503, ["no partitions assigned yet"]) == (code, json.loads(body)["reasons"])
    observer.on_assigned([2])
    assert (200, {"ok": True, "reasons": [], "partitions": [2]}) == (
        get(address, "/ready")[0],
        json.loads(get(address, "/ready")[1]),
    )
    assert 200 == get(address, "/live")[0]


def test_metrics_are_prometheus_text(address: str, observer: ConsumerObserver) -> None:
    """They are those of this consumer only."""
    observer.on_assigned([2])
    code, body = get(address, "/metrics")
    assert 200 == code
    assert 'crossrec_consumer_rebalances_total{kind="item"} 1.0' in body
    assert 404 == get(address, "/")[0]


@pytest.mark.parametrize(
    ("listen", "message"),
    [("9101", "is not host:port"), ("127.0.0.1:x", "no number for a port"), ("127.0.0.1:99999", "port 99999 is not")],
)
def test_an_invalid_address_is_rejected(listen: str, message: str, observer: ConsumerObserver) -> None:
    """The error names the setting."""
    with pytest.raises(ConfigurationError, match=f"consumers.metrics_listen: .*{message}"):
        serve_metrics(SETTING, listen, observer.registry, observer.health).__enter__()


def test_it_listens_on_ipv6_too(observer: ConsumerObserver) -> None:
    with serve_metrics(SETTING, "[::1]:0", observer.registry, observer.health) as address:
        assert address.startswith("[::1]:")
        assert 200 == get(address, "/metrics")[0]


def test_a_port_that_is_taken_is_an_error(address: str, observer: ConsumerObserver) -> None:
    """Two processes need two ports."""
    with pytest.raises(ConfigurationError, match=f"consumers.metrics_listen: cannot listen on {address}: .*in use"):
        serve_metrics(SETTING, address, observer.registry, observer.health).__enter__()
