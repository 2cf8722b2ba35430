"""What a browser may do with the console: requests of pages of other origins are refused, no page may frame it.

Browsers name the origin of the page in every web socket and every request that changes something. Scripts, which send
none, need the token alone.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.errors import ConfigurationError

POLICY_VIOLATION = 1008

HEADERS = {
    "x-frame-options": "DENY",
    "content-security-policy": "frame-ancestors 'none'; base-uri 'self'; object-src 'none'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
"""Of every answer. Scripts are not restricted: the pages' framework has inline ones."""


def parse_origins(origins: Iterable[str]) -> frozenset[str]:
    """Origins like https://console.example:8443. Raises ConfigurationError naming --allow-origin."""
    found = frozenset(origin.rstrip("/").lower() for origin in origins)
    for origin in found:
        url = urlsplit(origin)
        if url.scheme not in {"http", "https"} or origin != f"{url.scheme}://{url.netloc}" or not url.netloc:
            raise ConfigurationError(f"--allow-origin: {origin!r} is not like https://console.example:8443")
    return found


class BrowserProtectionMiddleware:
    """ASGI middleware that refuses requests of other origins, and adds HEADERS to every answer.

    Args:
        app: the protected application.
        origins: accepted besides the console's own, as `parse_origins` gives them.
    """

    def __init__(self, app: ASGIApp, origins: frozenset[str] = frozenset()) -> None:
        self._app, self._origins = app, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if its origin is accepted."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if scope["type"] not in {"http", "websocket"} or self._is_accepted(Headers(scope=scope)):
            await self._app(scope, receive, send_with_headers)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            answer = PlainTextResponse("requests of pages of other origins are refused; see --allow-origin\n", 403)
            await answer(scope, receive, send_with_headers)

    def _is_accepted(self, headers: Headers) -> bool:
        origins = headers.getlist("origin")
        return not origins or (len(origins) == 1 and self._is_own(origins[0].lower(), headers.get("host", "").lower()))

    def _is_own(self, origin: str, host: str) -> bool:
        # The scheme is not compared: behind a proxy with TLS the console sees http.
        return origin in self._origins or (bool(host) and origin in {f"http://{host}", f"https://{host}"})
