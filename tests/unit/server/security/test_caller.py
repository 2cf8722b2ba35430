"""Who a caller is for its limits."""

import pytest

from services.server.security.caller import CURRENT_GRANT, Caller, Grant, Scope, client_of, waiter_of


class Call:
    """A call as services see it."""

    def __init__(self, peer: str, **auth: list[bytes]) -> None:
        self._peer, self._auth = peer, auth

    def peer(self) -> str:
        return self._peer

    def auth_context(self) -> dict[str, list[bytes]]:
        return self._auth

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("crossrec-client", "somebody-else"),)


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        ("ipv4:10.0.0.7:4242", "ipv4:10.0.0.7"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:4242", "ipv6:2001:db8:1:2::"),
        ("ipv6:%5B2001:db8:1:2:ffff::9%5D:1", "ipv6:2001:db8:1:2::"),
        ("ipv6:%5B::ffff:10.0.0.7%5D:4242", "ipv6:10.0.0.7"),
        ("ipv6:%5Bfe80::1%25eth0%5D:4242", "ipv6:fe80::"),
        ("unix:", "unix"),
        ("odd", "odd"),
    ],
)
def test_without_token_and_certificate_a_client_is_its_address(peer: str, client: str) -> None:
    """Without the port; of IPv6 the network. Each connection is waited for by itself."""
    assert client == client_of(Call(peer))  # type: ignore[arg-type]
    assert peer == waiter_of(Call(peer))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("auth", "client"),
    [
        ({"x509_common_name": [b"shop"], "x509_dns": [b"a.example"]}, "client:shop"),
        ({"x509_common_name": [b"shop"], "x509_uri": [b"spiffe://x/shop"]}, "client:spiffe://x/shop"),
        ({"x509_common_name": [b""], "x509_dns": [b"a.example", b"b.example"]}, "client:a.example"),
    ],
)
def test_with_a_certificate_a_client_is_its_name(auth: dict[str, list[bytes]], client: str) -> None:
    """On all connections together."""
    call = Call("ipv4:10.0.0.7:4242", **auth)
    assert (client, client) == (client_of(call), waiter_of(call))  # type: ignore[arg-type]


def test_a_token_comes_before_the_certificate() -> None:
    caller = Caller("app", frozenset({Scope.RANK}))
    token = CURRENT_GRANT.set(Grant(caller, lambda: caller))
    try:
        assert "client:app" == client_of(Call("ipv4:10.0.0.7:1", x509_common_name=[b"shop"]))  # type: ignore[arg-type]
    finally:
        CURRENT_GRANT.reset(token)
