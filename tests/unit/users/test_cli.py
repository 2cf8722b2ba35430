"""Ids on the command line."""

import pytest
import typer
from typer.testing import CliRunner

from services.users.cli import UserId, parse_user_id


@pytest.mark.parametrize(("given", "reason"), [("", "is empty"), ("a\udcff", "is not text in UTF-8")])
def test_what_no_row_can_be_stored_under_is_refused(given: str, reason: str) -> None:
    """In one line; Python gives bytes that are not UTF-8 as halves of surrogate pairs."""
    app = typer.Typer()

    @app.command()
    def show(user_id: UserId) -> None:
        raise AssertionError(user_id)

    done = CliRunner().invoke(app, [given])
    assert 2 == done.exit_code
    assert reason in done.output


@pytest.mark.parametrize("given", ["ann", "a\nb", "\u202e", "x" * 500])
def test_any_stored_id_is_accepted(given: str) -> None:
    """Rows may be older than the rules of ids."""
    assert given == parse_user_id(given)
