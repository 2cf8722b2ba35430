"""The address of the online store."""

import pytest
from pydantic import ValidationError

from services.settings.infrastructure import StoreSettings
from services.settings.store_url import parse_store_url
from services.store.redis.connection import redis_arguments

PLANTED = "hunter2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost:6379", "localhost:6379"),
        ("a:1, b:2 ,c:3", "a:1,b:2,c:3"),
        ("a:1,db=2,ssl=True", "a:1,db=2,ssl=true"),
        ("a:1,password=hunter2,username=me", "a:1"),
        ("redis://a", "a:6379"),
        ("redis://a:7000/", "a:7000"),
        ("redis://me:hunter2@a:7000/3", "a:7000,db=3"),
        ("rediss://:hunter2@a/0", "a:6379,ssl=true"),
        ("valkey://[::1]", "[::1]:6379"),
        ("valkeys://[::1]:7000/1", "[::1]:7000,db=1,ssl=true"),
    ],
)
def test_urls_and_addresses_become_the_form_of_feast(text: str, expected: str) -> None:
    assert expected == parse_store_url(text).connection_string()
    assert expected == StoreSettings(url=text).url


def test_a_login_within_a_url_is_kept_apart() -> None:
    """With percent-encoded characters as URLs have them; a login of its own takes precedence."""
    store = StoreSettings(url="redis://me:p%40ss%3Aw@a:1")
    assert ("me", "p@ss:w") == (store.username, store.password.get_secret_value())
    assert "you" == StoreSettings(url="redis://me:x@a:1", username="you").username
    assert {"host": "::1", "port": 1, "db": 2, "ssl": True, "password": PLANTED} == redis_arguments(
        StoreSettings(url=f"rediss://:{PLANTED}@[::1]:1/2")
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("localhost", "is not host:port"),
        ("localhost:99999", "port 99999 is not between 1 and 65535"),
        ("redis://:hunter2@a:99999", "port 99999"),
        ("redis://:hunter2@", "is not host:port"),
        ("redis://:hunter2@a/x", "db is not a number"),
        ("redis://:hunter2@a?ssl_cert_reqs=none", "has options"),
        ("redis://:hunter2@a:1,b:2", "has options or several nodes"),
        ("redis://:hunter2@[::1", "is not a URL"),
        ("http://:hunter2@a:1", "scheme other than redis://, rediss://"),
        ("a:1,db=x", "db is not a number"),
        ("a:1,db=-1", "db is not a number"),
        ("a:1,ssl=maybe", "ssl is neither true nor false"),
        ("a:1,pasword=hunter2", "unknown option pasword"),
        ("db=1", "has no address"),
        ("", "has no address"),
    ],
)
def test_what_is_no_address_of_a_store_is_refused_with_the_expected_form(text: str, reason: str) -> None:
    """The error names the setting and never shows a password."""
    with pytest.raises(ValidationError, match=rf"(?s)url\n.*{reason}.*expected host:port.*redis://") as caught:
        StoreSettings(url=text)
    assert PLANTED not in str(caught.value)
