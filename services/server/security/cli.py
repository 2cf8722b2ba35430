"""`crossrec tokens new`: generates a bearer token. Knows flags and output."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from services.server.security.caller import Scope
from services.server.security.tokens import new_token, parse_tokens

tokens_app = typer.Typer(help="Bearer tokens of the gRPC servers.", no_args_is_help=True)


@tokens_app.callback()
def root() -> None:
    """Bearer tokens of the gRPC servers."""


@tokens_app.command()
def new(
    name: Annotated[str, typer.Option(help="Name of the client, for its limits; not secret.")],
    scope: Annotated[
        list[Scope],
        typer.Option(
            help="What the token permits; may be repeated: publish (behaviour events), catalogue (items, scenarios), "
            "erase (users), rank (reads the preferences of any user), admin (reflection)."
        ),
    ],
    days: Annotated[float | None, typer.Option(help="Days until the token expires. Default: never.", min=0)] = None,
) -> None:
    """Generate a token: prints it, once, and below it its line for security.tokens_file.

    The line holds a hash of the token, from which the token cannot be recovered.
    """
    expires = datetime.now(UTC) + timedelta(days=days) if days is not None else None
    token, line = new_token(name, frozenset(scope), expires)
    parse_tokens(line)  # fails for a name that is not valid in the file
    typer.echo(token)
    typer.echo(line)
    typer.echo("The first line is for the client and never shown again, the second for security.tokens_file.", err=True)
