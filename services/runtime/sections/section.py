"""What every table of the settings file has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of the settings file; unknown names are errors, not typos that pass silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)
