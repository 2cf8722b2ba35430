"""The address of the online store: Feast's `host:port[,host:port][,db=0][,ssl=true]`, or a redis:// URL.

Both become Feast's form; user name and password are taken out of it, since urls are printed and logged. Opens no
connection.
"""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator

from services.settings.address import join_address, split_address

FORM = "expected host:port[,host:port][,db=0][,ssl=true] or redis://[user:password@]host[:port][/db], rediss:// for TLS"
SCHEMES = {"redis": False, "rediss": True, "valkey": False, "valkeys": True}
"""Whether a URL with this scheme means TLS."""

DEFAULT_PORT = 6379
MAX_DB = 1_000_000


@dataclass(frozen=True)
class StoreUrl:
    """A store's address.

    Args:
        nodes: host and port of each node; several for a cluster.
        db: number of the database.
        ssl: whether to use TLS.
        username: empty: none is given.
        password: empty: none is given.
    """

    nodes: tuple[tuple[str, int], ...]
    db: int = 0
    ssl: bool = False
    username: str = ""
    password: str = ""

    def connection_string(self) -> str:
        """The address in Feast's form, without user name and password."""
        parts = [join_address(host, port) for host, port in self.nodes]
        return ",".join([*parts, *([f"db={self.db}"] if self.db else []), *(["ssl=true"] if self.ssl else [])])


def parse_store_url(text: str) -> StoreUrl:
    """The address of a store. Raises ValueError with what is wrong and the expected form, without a password."""
    stripped = text.strip()
    return _parse_url(stripped) if "://" in stripped.partition(",")[0] else _parse_parts(stripped)


def _parse_url(text: str) -> StoreUrl:
    try:
        url = urlsplit(text)
    except ValueError:
        raise ValueError(f"is not a URL; {FORM}") from None
    if url.scheme not in SCHEMES:
        raise ValueError(f"has a scheme other than {', '.join(f'{name}://' for name in SCHEMES)}; {FORM}")
    if url.query or url.fragment or "," in url.netloc.rpartition("@")[2]:
        raise ValueError(f"has options or several nodes after {url.scheme}://; {FORM}")
    login, _, address = url.netloc.rpartition("@")
    username, _, password = login.partition(":")
    has_port = address.rpartition(":")[1] and not address.endswith("]")
    node = _node(address if has_port else f"{address}:{DEFAULT_PORT}")
    db = _db(url.path.strip("/") or "0")
    return StoreUrl((node,), db, SCHEMES[url.scheme], unquote(username), unquote(password))


def split_nodes(text: str) -> list[str]:
    """The addresses, host:port each, of a store's address in Feast's form; the other parts are options."""
    return [part for part in map(str.strip, text.split(",")) if part and "=" not in part]


def _parse_parts(text: str) -> StoreUrl:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    nodes = tuple(map(_node, split_nodes(text)))
    options = dict(part.split("=", 1) for part in parts if "=" in part)
    if unknown := sorted(options.keys() - {"db", "ssl", "username", "password"}):
        raise ValueError(f"has the unknown option {unknown[0][:40]}; {FORM}")
    if not nodes:
        raise ValueError(f"has no address; {FORM}")
    ssl = options.get("ssl", "false").lower()
    if ssl not in {"true", "false"}:
        raise ValueError(f"ssl is neither true nor false; {FORM}")
    return StoreUrl(
        nodes, _db(options.get("db", "0")), ssl == "true", options.get("username", ""), options.get("password", "")
    )


def _node(text: str) -> tuple[str, int]:
    try:
        return split_address(text)
    except ValueError as error:
        raise ValueError(f"{error}; {FORM}") from None


def _db(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_DB)) and int(text) <= MAX_DB):
        raise ValueError(f"db is not a number from 0; {FORM}")
    return int(text)


StoreAddress = Annotated[str, AfterValidator(lambda text: parse_store_url(text).connection_string())]
"""The address of a store in Feast's form."""
