"""Settings of how long the Kafka topics keep what they carry."""

from pydantic import Field

from services.runtime.sections.section import Section


class RetentionSettings(Section):
    """Days per topic; `crossrec setup` applies them, also to topics that exist."""

    behavior_days: int = Field(30, ge=1, description="Days that behaviour events and erasures stay in Kafka.")
    activity_days: int = Field(7, ge=1, description="Days that deltas of item and scenario activity stay in Kafka.")
    dead_letter_days: int = Field(30, ge=1, description="Days that records which could not be used stay in Kafka.")
    ranked_days: int = Field(7, ge=1, description="Days that answered rankings stay in Kafka.")
    deletion_days: int = Field(
        7,
        ge=1,
        description="Days that Kafka keeps the deletion of an item or scenario; of those that are not deleted the "
        "newest record stays.",
    )
