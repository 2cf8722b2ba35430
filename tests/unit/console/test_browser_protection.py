"""Pages of other origins, and frames."""

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from services.console.browser_protection import HEADERS, BrowserProtectionMiddleware, parse_origins
from services.errors import ConfigurationError
from tests.unit.console.test_token_auth import page, socket

OWN = ["http://testserver", "https://testserver", "HTTP://TestServer", "https://console.example"]
OTHERS = ["http://evil.example", "http://testserver.evil.example", "http://testserver:81", "null", "", "http://"]


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = Starlette(routes=[Route("/", page, methods=["GET", "POST"]), WebSocketRoute("/socket", socket)])
    app.add_middleware(BrowserProtectionMiddleware, origins=parse_origins(["https://Console.example/"]))
    with TestClient(app) as client:
        yield client


def test_every_answer_forbids_frames_and_guesses(client: TestClient) -> None:
    for answer in (
        client.get("/"),
        client.get("/nothing"),
        client.post("/", headers={"origin": "http://evil.example"}),
    ):
        assert HEADERS.items() <= dict(answer.headers).items()
    assert "frame-ancestors 'none'" in client.get("/").headers["content-security-policy"]


@pytest.mark.parametrize("origin", OWN)
def test_pages_of_the_console_itself_are_served(client: TestClient, origin: str) -> None:
    """With http and https: a proxy may add TLS."""
    assert "the page" == client.post("/", headers={"origin": origin}).text
    with client.websocket_connect("/socket", headers={"origin": origin}) as opened:
        assert "hello" == opened.receive_text()


@pytest.mark.parametrize("origin", OTHERS)
def test_pages_of_other_origins_are_refused(client: TestClient, origin: str) -> None:
    """Any page could otherwise open the socket of a console on its reader's machine, and publish."""
    assert 403 == client.post("/", headers={"origin": origin}).status_code
    with (
        pytest.raises(WebSocketDisconnect) as closed,
        client.websocket_connect("/socket", headers={"origin": origin}),
    ):
        pass
    assert 1008 == closed.value.code


def test_scripts_send_no_origin(client: TestClient) -> None:
    assert "the page" == client.get("/").text
    with client.websocket_connect("/socket") as opened:
        assert "hello" == opened.receive_text()


@pytest.mark.parametrize("origin", ["console.example", "https://", "ftp://a", "https://a/path", "*", ""])
def test_an_origin_has_scheme_and_host(origin: str) -> None:
    with pytest.raises(ConfigurationError, match="--allow-origin"):
        parse_origins([origin])
