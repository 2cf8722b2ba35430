"""What every table of the settings file has in common."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

OptionalPath = Annotated[Path | None, BeforeValidator(lambda value: value or None)]
"""A file, or none; empty text, as a variable of the environment may be, is none."""


class Section(BaseModel):
    """A table of the settings file; unknown names are errors, not typos that pass silently.

    What was given for a wrong setting is in no error: it may be a secret in the wrong place.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
