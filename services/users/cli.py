"""`crossrec user export` and `user update`: the stored rows of a user as JSON; its attributes.

Knows flags and output. `crossrec user erase` is in export/datasets/cli.py, because it may also write to data sets.
"""

import json
import time
from datetime import datetime
from typing import Annotated

import typer

from services.settings.load import load_settings
from services.settings.times import utc_seconds


def parse_user_id(text: str) -> str:
    """The id of a stored user: any text, also one that the rules of ids refuse today."""
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes of the command line that are not UTF-8
        raise typer.BadParameter("is not text in UTF-8") from None
    if not text:
        raise typer.BadParameter("is empty")
    return text


UserId = Annotated[str, typer.Argument(help="The user's id, as in the events.", callback=parse_user_id)]


def export_command(user_id: UserId) -> None:
    """Print everything that the online store holds of a user, as JSON.

    Scans all item keys to name the items that the user engaged with. `found` is false if there is nothing.
    """
    from services.features.schema import build_schema
    from services.server.security.pseudonyms import open_pseudonymizer
    from services.store.connect import open_rows_for_batches
    from services.users.export import export_user

    settings = load_settings()
    schema, rows = build_schema(settings.features), open_rows_for_batches(settings)
    items = (item for (item,) in rows.ids(schema["item"]))
    exported = export_user(rows, schema, user_id, items, open_pseudonymizer(settings.privacy).all_pseudonyms(user_id))
    typer.echo(json.dumps(exported, indent=2, ensure_ascii=False))


def update_command(
    user_id: UserId,
    attributes: Annotated[
        str,
        typer.Argument(help='All attributes, as JSON like {"age": 24, "job": "student", "likes": ["war", "noir"]}.'),
    ],
    valid_from: Annotated[
        datetime | None,
        typer.Option(help="Start of validity (UTC); older than the stored state: ignored. Default: now."),
    ] = None,
) -> None:
    """Replace the attributes of a user: publish an update, as the gateway does. Those that are not given are unset.

    Attributes are declared in the settings (`[[features.attributes]]`, entity user).
    """
    from services.users.publish import open_intake
    from services.users.update import NEXT_STEPS, parse_attributes, publish_update

    try:
        given = parse_attributes(json.loads(attributes))
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"is not JSON: {error}", param_hint="attributes") from None
    settings, time_s = load_settings(), utc_seconds(valid_from) if valid_from else time.time()
    with open_intake(settings) as intake:
        publish_update(intake, user_id, given, time_s)
    typer.echo(NEXT_STEPS)
