"""Settings of how long the Kafka topics keep what they carry."""

from typing import Self

from pydantic import Field, model_validator

from services.settings.section import Section


class RetentionSettings(Section):
    """Days per topic; `crossrec setup` applies them, also to topics that exist."""

    behavior_days: int = Field(30, ge=1, description="Days that behaviour events and erasures stay in Kafka.")
    activity_days: int = Field(7, ge=1, description="Days that deltas of item and scenario activity stay in Kafka.")
    dead_letter_days: int = Field(30, ge=1, description="Days that records which could not be used stay in Kafka.")
    ranked_days: int = Field(
        7,
        ge=1,
        description="Days that answers of the served log stay in Kafka; at most behavior_days, where erasures are.",
    )
    deletion_days: int = Field(
        7,
        ge=1,
        description="Days that Kafka keeps the deletion of an item or scenario; of those that are not deleted the "
        "newest record stays.",
    )

    @model_validator(mode="after")
    def _erasures_outlive_answers(self) -> Self:
        if self.ranked_days > self.behavior_days:
            raise ValueError("ranked_days must not be more than behavior_days: erasures are read from there")
        return self
