"""Access control of the pages: a token is required, except on loopback.

The middleware protects every page, asset and web socket. It asks for the token once and then recognises the browser by
a cookie that is valid until the console ends; scripts may send the token as a bearer token.
"""

import hmac
import secrets
from ipaddress import ip_address
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.errors import ConfigurationError

COOKIE = "crossrec-console"
LOGIN = "/login"
LOOPBACK_NAMES = ["localhost", "127.0.0.1", "::1", "[::1]"]
"""Host names that are accepted on loopback: no other site can pose as them (DNS rebinding)."""

POLICY_VIOLATION = 1008
MAX_FORM_BYTES = 4096
"""Limit of the login form's body."""

FORM = """<!doctype html><html lang="en-GB"><head><meta charset="utf-8"><title>CrossRec console</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body {{ font: 16px/1.5 system-ui, sans-serif; background: #f5f7fa; color: #1f2933; margin: 0; padding: 24px; }}
form {{ max-width: 360px; margin: 10vh auto; background: #fff; border: 1px solid #d9e2ec; border-radius: 8px;
  padding: 24px; }}
h1 {{ font-size: 20px; margin: 0 0 16px; }} label, input, button {{ display: block; width: 100%; font: inherit;
  box-sizing: border-box; }}
input {{ margin: 4px 0 16px; padding: 8px; }} button {{ padding: 8px; background: #0b5394; color: #fff; border: 0;
  border-radius: 4px; }}
p {{ color: #b3261e; }}</style></head><body><form method="post" action="{action}"><h1>CrossRec console</h1>{problem}
<label for="token">Access token</label><input id="token" name="token" type="password" autocomplete="current-password"
required autofocus><button>Open</button></form></body></html>"""


def is_loopback(host: str) -> bool:
    """Whether an address is reachable from this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_listen(host: str, token: str) -> None:
    """ConfigurationError if other machines could reach the pages without a token."""
    if not token and not is_loopback(host):
        raise ConfigurationError(f"--host: {host} listens beyond this machine, which needs --token-file")


class TokenAuthMiddleware:
    """ASGI middleware that requires the token or the session cookie.

    Args:
        app: the protected application.
        token: the token.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token
        self._session_secret = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an authorised request on; answer others with the login form."""
        if scope["type"] not in {"http", "websocket"} or self._is_authorised(Headers(scope=scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            answer = await self._answer(Request(scope, receive))
            await answer(scope, receive, send)

    def _is_authorised(self, headers: Headers) -> bool:
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        return _same(cookie, self._session_secret) or (scheme.lower() == "bearer" and _same(sent, self._token))

    async def _answer(self, request: Request) -> Response:
        if request.method != "POST" or request.url.path != LOGIN:
            return _form("", 401)
        if not _same(await _sent_token(request), self._token):
            return _form("<p role='alert'>That is not the token.</p>", 403)
        answer = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, self._session_secret, httponly=True, samesite="strict", secure=secure)
        return answer


async def _sent_token(request: Request) -> str:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM_BYTES:
            return ""
    return parse_qs(body.decode(errors="replace")).get("token", [""])[0].strip()


def _form(problem: str, status: int) -> Response:
    return HTMLResponse(FORM.format(action=LOGIN, problem=problem), status, {"cache-control": "no-store"})


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
