"""Settings of data sets and of training."""

from typing import Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from services.features.event_types import EngagementType
from services.settings.section import SettingsSection

SplitMethod = Literal["time", "user", "random", "user_time"]


class DatasetSettings(SettingsSection):
    """Labels, negatives and splits of own data that has none; values in the data take precedence."""

    label_events: tuple[EngagementType, ...] = Field(
        (), description="Event types that make a positive label; empty: no labels are made."
    )
    rating_threshold: float | None = Field(
        None,
        description="Least rating that is positive; required if label_events contains rating. The same as "
        "features.liked_from.rating: give one of them.",
    )
    label_window_s: float = Field(
        3600.0, gt=0, description="Seconds after an impression, or a first touch, in which an engagement counts for it."
    )
    negatives: Literal["shown", "sampled"] = Field(
        "shown", description="shown: impressions without engagement, or low ratings; sampled: drawn from the catalogue."
    )
    negatives_per_positive: int = Field(4, ge=1, description="Negatives drawn per positive where they are sampled.")
    negative_sampling: Literal["uniform", "popularity", "mixed"] = Field(
        "uniform",
        description="Draw from all items equally, by their number of engagements so far, or half by either: "
        "metrics are then reported for both.",
    )
    split: SplitMethod = Field(
        "time",
        description="Split labelled rows by time, by user (a hash), at random, or by each user's time (user_time).",
    )
    train_share: float = Field(0.8, gt=0, lt=1, description="Share of labelled rows, or users, to train on.")
    validation_share: float = Field(0.1, gt=0, lt=1, description="Share for validation; the rest is for testing.")
    validation_from: AwareDatetime | None = Field(
        None, description="Time split: begin of validation, with time zone, instead of the shares."
    )
    test_from: AwareDatetime | None = Field(None, description="Time split: begin of the test rows.")
    seed: int = Field(0, ge=0, description="Seed of sampled negatives and of the splits by user and at random.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "rating" in self.label_events and self.rating_threshold is None:
            raise ValueError(
                "rating_threshold is missing, but label_events contains rating: set it, or features.liked_from.rating"
            )
        if self.train_share + self.validation_share >= 1:
            raise ValueError("train_share and validation_share leave nothing to test on")
        if (self.validation_from is None) != (self.test_from is None):
            raise ValueError("validation_from and test_from go together")
        if self.validation_from and self.test_from and self.validation_from >= self.test_from:
            raise ValueError("test_from must be later than validation_from")
        if self.split != "time" and self.validation_from:
            raise ValueError("validation_from and test_from need split = time")
        return self


class TrainingSettings(SettingsSection):
    """Training of models; settings that are not set use the kind's own default."""

    device: str | None = Field(None, description="PyTorch device, like cpu or cuda; default cpu.")
    epochs: int | None = Field(None, ge=1, description="Most passes over the training rows.")
    patience: int | None = Field(None, ge=1, description="Passes without a better validation AUC until it stops.")
    batch_rows: int | None = Field(None, ge=1, description="Rows per step.")
    buffer_rows: int | None = Field(None, ge=1, description="Rows in memory among which users are shuffled.")
    learning_rate: float | None = Field(None, gt=0, description="Adam's at the start, or LightGBM's shrinkage.")
    weight_decay: float | None = Field(None, ge=0, description="AdamW's decoupled decay.")
    threads: int | None = Field(None, ge=0, description="Threads of LightGBM; 0: all cores.")
