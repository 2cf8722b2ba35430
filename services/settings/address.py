"""Addresses in settings and options: host:port, with IPv6 hosts in brackets. Opens no socket.

A port beyond 65535 is refused here: sockets and gRPC take it modulo 65536, and so listen on another port.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

EXAMPLES = "like 127.0.0.1:50051 or [::1]:50051"
MAX_PORT = 65535

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
"""Names of machines as resolvers and containers have them, underscores included."""


def split_address(text: str, *, listening: bool = False) -> tuple[str, int]:
    """The host, without brackets, and the port of host:port.

    Raises ValueError with what is wrong and the expected form; it shows the port, but not the text, which may hold a
    secret.

    Args:
        text: the address.
        listening: whether port 0, any free one, is allowed.
    """
    host, colon, port = text.strip().rpartition(":")
    if not colon or not host:
        raise ValueError(f"is not host:port, {EXAMPLES}")
    if not (port.isascii() and port.isdecimal()):
        raise ValueError(f"has no number for a port after the last colon; expected host:port, {EXAMPLES}")
    least = 0 if listening else 1
    # By length first: Python converts at most 4300 digits.
    if len(port) > len(str(MAX_PORT)) or not least <= int(port) <= MAX_PORT:
        raise ValueError(f"port {port[:20]} is not between {least} and {MAX_PORT}")
    return _host(host), int(port)


def _host(text: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        try:
            IPv6Address(text[1:-1])
        except AddressValueError:
            raise ValueError(f"has no IPv6 address in its brackets; expected host:port, {EXAMPLES}") from None
        return text[1:-1]
    if ":" in text:
        raise ValueError(f"has several colons: put an IPv6 address in brackets, {EXAMPLES}")
    if not _NAME.fullmatch(text):
        raise ValueError(f"has no name or address of a machine before the port; expected host:port, {EXAMPLES}")
    if set(text) <= set("0123456789."):
        try:
            IPv4Address(text)
        except AddressValueError:
            raise ValueError(f"has no IPv4 address before the port; expected host:port, {EXAMPLES}") from None
    return text


def join_address(host: str, port: int) -> str:
    """host:port, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listen_address(text: str) -> str:
    return join_address(*split_address(text, listening=True))


def _optional_listen_address(text: str) -> str:
    return _listen_address(text) if text.strip() else ""


def _addresses(text: str) -> str:
    return ",".join(join_address(*split_address(part)) for part in text.split(","))


def _collector(text: str) -> str:
    """An http or https URL without a path."""
    if not text:
        return text
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or text != f"{url.scheme}://{url.netloc}" or "@" in url.netloc:
        raise ValueError("is not http://host:port or https://host:port")
    split_address(url.netloc if re.search(r":\d*$", url.netloc) else f"{url.netloc}:4317")
    return text


ListenAddress = Annotated[str, AfterValidator(_listen_address)]
"""host:port to listen on; port 0: any free one."""

OptionalListenAddress = Annotated[str, AfterValidator(_optional_listen_address)]
"""The same, or empty."""

Addresses = Annotated[str, AfterValidator(_addresses)]
"""One or more host:port, comma-separated."""

CollectorUrl = Annotated[str, AfterValidator(_collector)]
"""URL of an OpenTelemetry collector, or empty."""
