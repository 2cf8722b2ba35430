"""Access to the pages with a token."""

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from services.console.token_auth import COOKIE, TokenAuthMiddleware, check_listen
from services.errors import ConfigurationError

TOKEN = "a-long-token"  # noqa: S105 - of a test


async def page(_request: object) -> PlainTextResponse:
    return PlainTextResponse("the page")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = Starlette(routes=[Route("/", page), WebSocketRoute("/socket", socket)])
    app.add_middleware(TokenAuthMiddleware, token=TOKEN)
    with TestClient(app) as client:
        yield client


def test_without_the_token_only_the_login_form_is_served(client: TestClient) -> None:
    answer = client.get("/")
    assert 401 == answer.status_code
    assert "Access token" in answer.text
    assert "the page" not in answer.text


def test_the_token_gives_its_browser_access_to_pages_and_sockets(client: TestClient) -> None:
    assert 303 == client.post("/login", data={"token": f" {TOKEN} "}, follow_redirects=False).status_code
    assert "the page" == client.get("/").text
    with client.websocket_connect("/socket") as socket:
        assert "hello" == socket.receive_text()


def test_the_cookie_is_not_the_token_and_is_not_readable_by_scripts(client: TestClient) -> None:
    cookie = client.post("/login", data={"token": TOKEN}, follow_redirects=False).headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()


@pytest.mark.parametrize("token", ["", "wrong", "a-long-toke", "ä", "x" * 5000])
def test_a_wrong_token_is_rejected(client: TestClient, token: str) -> None:
    answer = client.post("/login", data={"token": token})
    assert 403 == answer.status_code
    assert COOKIE not in answer.headers.get("set-cookie", "")
    assert 401 == client.get("/", headers={"cookie": f"{COOKIE}=", "authorization": "Bearer wrong"}).status_code


def test_the_token_is_accepted_in_the_authorization_header(client: TestClient) -> None:
    assert "the page" == client.get("/", headers={"authorization": f"Bearer {TOKEN}"}).text


def test_sockets_without_the_token_are_closed(client: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/socket"):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_a_loopback_address_needs_no_token(host: str) -> None:
    check_listen(host, "")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])  # noqa: S104 - rejected
def test_other_addresses_need_a_token(host: str) -> None:
    check_listen(host, TOKEN)
    with pytest.raises(ConfigurationError, match="--host"):
        check_listen(host, "")
