"""Settings of the served log."""

from pydantic import Field

from services.settings.section import Section


class ServedLogSettings(Section):
    """The record of what was answered, with the features behind it."""

    # Off by default: records name users and hold what is known of them, so keeping them is for the operator to decide.
    share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the answers that are written to the topic <prefix>.ranked, drawn at random; 0: none.",
    )
    waiting: int = Field(64, ge=1, description="Answers per worker process that wait to be written; more are dropped.")
    feature_items: int = Field(
        32, ge=0, description="Items per answer, the first ones, whose features are kept: about 1 to 2 kB each."
    )
