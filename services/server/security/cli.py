"""`crossrec tokens new`: makes a bearer token. Knows flags and output."""

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
    name: Annotated[str, typer.Option(help="Whose token it is: in its rate limit, never secret.")],
    scope: Annotated[list[Scope], typer.Option(help="What it lets its holder do; several times for several.")],
    days: Annotated[float | None, typer.Option(help="Days until it expires. Default: never.", min=0)] = None,
) -> None:
    """Make a token: printed once on standard output, and the line for security.tokens_file below it.

    Only the line is kept: it holds the token's hash, from which nobody gets the token back.
    """
    expires = datetime.now(UTC) + timedelta(days=days) if days is not None else None
    token, line = new_token(name, frozenset(scope), expires)
    parse_tokens(line)  # a name that the file could not hold is an error here
    typer.echo(token)
    typer.echo(line)
    typer.echo("The first line is for the client, shown this once; the second is for security.tokens_file.", err=True)
