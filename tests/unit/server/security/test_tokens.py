"""Static tokens, and the file with their hashes."""

from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from services.errors import ConfigurationError
from services.server.security.caller import Caller, Scope
from services.server.security.cli import tokens_app
from services.server.security.tokens import digest_of, new_token, parse_tokens

BOTH = frozenset({Scope.RANK, Scope.PUBLISH})


def test_the_line_identifies_the_token_without_containing_it() -> None:
    token, line = new_token("shop", BOTH, datetime(2030, 1, 1, tzinfo=UTC))
    assert {digest_of(token): Caller("shop", BOTH, datetime(2030, 1, 1, tzinfo=UTC).timestamp())} == parse_tokens(line)
    assert token not in line


def test_tokens_are_long_and_unique() -> None:
    """43 characters of base 64 carry 256 bits."""
    tokens = {new_token("shop", BOTH)[0] for _ in range(100)}
    assert (100, {len("crossrec_") + 43}) == (len(tokens), {len(token) for token in tokens})


def test_the_file_may_have_comments_and_several_tokens_of_a_name() -> None:
    """During a rotation, the old and the new token are accepted."""
    (old, old_line), (new, new_line) = new_token("shop", BOTH), new_token("shop", frozenset({Scope.RANK}))
    found = parse_tokens(f"# the shop's\n\n{old_line}\n{new_line}\n")
    assert (BOTH, {Scope.RANK}) == (found[digest_of(old)].scopes, found[digest_of(new)].scopes)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("crossrec_secret", "line 2: is not a JSON object"),
        ("[]", "line 2: is not a JSON object"),
        ('{"token": "crossrec_secret"}', "line 2: has fields other than"),
        ('{"scopes": ["rank"], "sha256": "HASH"}', "line 2: name must be printable text"),
        (
            '{"name": "a", "scopes": ["root"], "sha256": "HASH"}',
            "line 2: scopes must be a list of publish",
        ),
        ('{"name": "a", "scopes": [], "sha256": "HASH"}', "line 2: scopes must be a list of"),
        ('{"name": "a", "scopes": ["rank"], "sha256": "crossrec_secret"}', "line 2: sha256 must be 64 hexadecimal"),
        ('{"name": "a", "scopes": ["rank"], "sha256": "HASH", "expires": "2030-01-01"}', "line 2: expires must be"),
        ('{"name": "a", "scopes": ["rank"], "sha256": "HASH", "expires": 7}', "line 2: expires must be"),
    ],
)
def test_invalid_lines_are_named_by_number_and_not_shown(line: str, reason: str) -> None:
    """The line may contain the token itself."""
    with pytest.raises(ConfigurationError, match=reason) as caught:
        parse_tokens("# tokens\n" + line.replace("HASH", "0" * 64))
    assert "secret" not in str(caught.value)


def test_a_repeated_hash_is_rejected() -> None:
    line = new_token("shop", BOTH)[1]
    with pytest.raises(ConfigurationError, match="line 2: sha256 repeats"):
        parse_tokens(f"{line}\n{line}")


def test_the_command_prints_the_token_and_then_its_line() -> None:
    arguments = ["new", "--name", "shop", "--scope", "rank", "--scope", "publish", "--days", "30"]
    done = CliRunner().invoke(tokens_app, arguments)
    token, line = done.stdout.splitlines()
    caller = parse_tokens(line)[digest_of(token)]
    assert ("shop", BOTH, 0) == (caller.name, caller.scopes, done.exit_code)
    assert caller.expires_s < float("inf")


def test_the_command_rejects_an_unknown_scope() -> None:
    assert 0 != CliRunner().invoke(tokens_app, ["new", "--name", "shop", "--scope", "root"]).exit_code
